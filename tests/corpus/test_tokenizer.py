import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from codellama_jax.corpus.document import Document
from codellama_jax.corpus.tokenizer import TokenizerSettings, train_tokenizer
from codellama_jax.errors import UserError
from codellama_jax.text.vocabulary import SENTINELS, Vocabulary

from .trees import python_module

SIZE = 500
# Sentinel names in the training text must neither clash with the sentinels nor become pieces.
DOCUMENTS = [
    Document(python_module(i) + "\n# ▁<PRE> <SUF> <MID> <EOT>\n" * 20, f"{i}", "python", "code")
    for i in range(60)
]


@pytest.fixture(scope="module")
def model() -> bytes:
    return train_tokenizer(DOCUMENTS, SIZE, 0, TokenizerSettings())


@pytest.fixture(scope="module")
def vocabulary(model) -> Vocabulary:
    return Vocabulary(model)


def test_layout_is_llamas(model, vocabulary):
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    assert len(proto.pieces) == vocabulary.size == SIZE
    assert [p.piece for p in proto.pieces[:4]] == ["<unk>", "<s>", "</s>", "<0x00>"]
    assert tuple(p.piece for p in proto.pieces[-4:]) == SENTINELS
    assert {p.type for p in proto.pieces[-4:]} == {
        sentencepiece_model_pb2.ModelProto.SentencePiece.CONTROL
    }
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    assert (trainer.model_type, trainer.pad_id, trainer.vocab_size) == (2, -1, SIZE)
    assert trainer.byte_fallback and trainer.split_digits and trainer.allow_whitespace_only_pieces
    assert normalizer.name == "identity" and normalizer.add_dummy_prefix
    assert not normalizer.remove_extra_whitespaces and not normalizer.precompiled_charsmap
    ids = [vocabulary.pre_id, vocabulary.suf_id, vocabulary.mid_id, vocabulary.eot_id]
    assert ids == list(range(SIZE - 4, SIZE))


def test_training_is_deterministic_and_seeded(model):
    assert train_tokenizer(DOCUMENTS, SIZE, 0, TokenizerSettings()) == model
    small = TokenizerSettings(sample_bytes=15_000)
    assert train_tokenizer(DOCUMENTS, 400, 0, small) != train_tokenizer(DOCUMENTS, 400, 1, small)


def test_digits_are_single_and_rare_characters_are_bytes(vocabulary):
    pieces = [vocabulary.piece(i) for i in vocabulary.encode("x = 31415")]
    assert pieces[-5:] == list("31415")
    assert [vocabulary.piece(i) for i in vocabulary.encode_infix("☃")] == [
        "<0xE2>",
        "<0x98>",
        "<0x83>",
    ]
    assert vocabulary.encode_infix("\n") == [13]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from([*SENTINELS, "<PRE>", "<s>", "</s>", "<unk>", " ", "\n", "def f", "é", "7"])
    ).map("".join)
)
def test_text_never_becomes_a_sentinel(vocabulary, text):
    ids = vocabulary.encode(text) + vocabulary.encode_infix(text)
    assert not set(ids) & {0, 1, 2, *range(SIZE - 4, SIZE)}


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab \n\t(:☃é9"), max_size=40))
def test_text_and_its_white_space_come_back(vocabulary, text):
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_too_little_text_is_the_users_error():
    with pytest.raises(UserError, match="vocab_size=9000 .*lower it"):
        train_tokenizer(DOCUMENTS[:2], 9000, 0, TokenizerSettings())
