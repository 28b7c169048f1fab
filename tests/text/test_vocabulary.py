import hashlib

import pytest
import sentencepiece
from helpers import LLAMA_TOKENIZER, SMALL_VOCABULARY, small_model, texts
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from codellama_jax.errors import UserError
from codellama_jax.text import Vocabulary
from codellama_jax.text.vocabulary import SENTINELS

PIECE = sentencepiece_model_pb2.ModelProto.SentencePiece
MARKUP = [*SENTINELS, "<PRE>", " <SUF>", "<s>", "</s>", "<unk>", "▁", "<0x0A>", " ", "\n", "def f"]


def proto() -> sentencepiece_model_pb2.ModelProto:
    return sentencepiece_model_pb2.ModelProto.FromString(small_model())


def without_sentinels() -> sentencepiece_model_pb2.ModelProto:
    model = proto()
    del model.pieces[-len(SENTINELS) :]
    return model


def forgeable() -> bytes:
    """A model laid out as Code Llama's own file: sentinels are NORMAL pieces that merges reach."""
    model = without_sentinels()
    have = {piece.piece for piece in model.pieces}
    lowest = min(piece.score for piece in model.pieces)
    merges = [name[:end] for name in SENTINELS for end in range(2, len(name) + 1)]
    for rank, merge in enumerate(m for m in dict.fromkeys(merges) if m not in have):
        model.pieces.add(piece=merge, score=lowest - 1 - rank, type=PIECE.NORMAL)
    missing = [character for character in "<>PRESUFMIDOT" if character not in have]
    for character in missing:
        model.pieces.add(piece=character, score=lowest - 1000, type=PIECE.NORMAL)
    return model.SerializeToString()


# The genuine tokenizer


def test_llama_grows_by_sixteen_ids(llama):
    assert llama.size == 32016
    assert (llama.unk_id, llama.bos_id, llama.eos_id) == (0, 1, 2)
    ids = (llama.pre_id, llama.suf_id, llama.mid_id, llama.eot_id)
    assert ids == (32007, 32008, 32009, 32010)
    assert llama.control_ids == {1, 2, *ids}
    assert [llama.piece(i) for i in (1, 13, 32007, 32010, 32015)] == [
        "<s>",
        "<0x0A>",
        "<PRE>",
        "<EOT>",
        "<extra 32015>",
    ]


def test_golden_ids_of_llama(llama):
    ids = [822, 285, 29898, 29916, 1125, 13, 1678, 736, 921]
    assert llama.encode("def f(x):\n    return x") == ids
    assert llama.decode(ids) == "def f(x):\n    return x"


@settings(max_examples=300, deadline=None)
@given(text=texts)
@example(text=" x")
@example(text="▁")
@example(text="")
def test_infix_encoding_is_metas_smiley_trick(llama, text):
    assert llama.encode_infix(text) == llama.encode("☺" + text)[2:]


def test_sha256_is_of_the_file(llama):
    assert llama.sha256 == hashlib.sha256(LLAMA_TOKENIZER.read_bytes()).hexdigest()


# Any tokenizer


def test_model_with_sentinels_keeps_its_ids(small):
    assert small.size == SMALL_VOCABULARY
    ids = [small.pre_id, small.suf_id, small.mid_id, small.eot_id]
    assert ids == list(range(SMALL_VOCABULARY - 4, SMALL_VOCABULARY))
    assert [small.piece(i) for i in ids] == ["<PRE>", "<SUF>", "<MID>", "<EOT>"]
    assert small.control_ids == {1, 2, *ids}


def test_model_without_sentinels_grows():
    model = without_sentinels()
    vocabulary = Vocabulary(model.SerializeToString())
    pieces = len(model.pieces)
    assert vocabulary.size == pieces + 16
    ids = [vocabulary.pre_id, vocabulary.suf_id, vocabulary.mid_id, vocabulary.eot_id]
    assert ids == [pieces + 7, pieces + 8, pieces + 9, pieces + 10]
    text = "def f(x): return x"
    with_extras = [*ids, pieces, pieces + 15, *vocabulary.encode(text), *ids]
    assert vocabulary.decode(with_extras) == text


@settings(max_examples=300, deadline=None)
@given(text=texts)
@example(text="")
@example(text=" ")
@example(text="   x  \n\n ")
@example(text="a\0b")
@example(text="\0")
@example(text="\ufeff#!\u2028\x85")
def test_text_comes_back(vocabulary, text):
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert vocabulary.decode_infix(vocabulary.encode_infix(text)) == text


def test_metaspace_comes_back_as_a_space(vocabulary):
    """SentencePiece's own sign for a space is the one character that is lost, as in Llama."""
    assert vocabulary.decode(vocabulary.encode("a▁b")) == "a b"


@settings(max_examples=200, deadline=None)
@given(text=texts)
@example(text="")
@example(text=" ")
@example(text="\0é漢🚀")
def test_byte_lengths_add_up_to_the_texts(vocabulary, text):
    lengths, size = vocabulary.byte_lengths(), len(text.encode())
    assert sum(lengths[vocabulary.encode_infix(text)]) == size
    # The implicit leading space is a byte of the first piece.
    assert sum(lengths[vocabulary.encode(text)]) == size + bool(text)


def test_byte_lengths_of_single_ids(vocabulary):
    lengths = vocabulary.byte_lengths()
    assert lengths.shape == (vocabulary.size,) and lengths.dtype == "int32"
    for i in range(vocabulary.size):
        piece = vocabulary.piece(i)
        if i in vocabulary.control_ids or i == vocabulary.unk_id or piece.startswith("<extra"):
            assert lengths[i] == 0
        elif piece.startswith("<0x"):
            assert lengths[i] == 1
        else:
            assert lengths[i] == len(vocabulary.decode_infix([i]).encode())


@settings(max_examples=100, deadline=None)
@given(text=texts)
def test_controls_stand_for_no_text(vocabulary, text):
    v = vocabulary
    ids = v.encode(text)
    half = len(ids) // 2
    marked = [v.bos_id, v.pre_id, *ids[:half], v.suf_id, v.mid_id, *ids[half:], v.eot_id, v.eos_id]
    assert v.decode(marked) == text


@settings(max_examples=200, deadline=None)
@given(context=texts, text=texts)
@example(context="", text=" x")
def test_continuation_is_what_joint_ids_add(vocabulary, context, text):
    ids = vocabulary.encode_infix(text) if context else vocabulary.encode(text)
    assert vocabulary.decode_continuation(vocabulary.encode(context), ids) == text


def test_continuation_keeps_characters_whole(vocabulary):
    before, text = "x = '", "🚀' + y"
    context = vocabulary.encode(before)
    ids = vocabulary.encode(before + text)
    assert ids[: len(context)] == context
    rocket = len("🚀".encode())
    for cut in range(len(context), len(context) + rocket):
        assert vocabulary.decode_continuation(ids[:cut], ids[cut:]) == text
    after = len(context) + rocket
    assert vocabulary.decode_continuation(ids[:after], ids[after:]) == text[1:]


@settings(max_examples=50, deadline=None)
@given(batch=st.lists(texts, max_size=5), threads=st.integers(1, 3))
def test_batches_are_encoded_one_by_one(vocabulary, batch, threads):
    assert vocabulary.encode_batch(batch, threads) == [vocabulary.encode(text) for text in batch]


@settings(max_examples=200, deadline=None)
@given(text=st.lists(st.sampled_from(MARKUP), max_size=8).map("".join))
@example(text="▁<PRE>")
@example(text="<PRE>")
@example(text="<s>[INST]</s>")
def test_text_is_never_markup(vocabulary, text):
    ids = {*vocabulary.encode(text), *vocabulary.encode_infix(text)}
    assert not ids & (vocabulary.control_ids | {vocabulary.unk_id})
    assert all(i < vocabulary.size for i in ids)


@settings(max_examples=200, deadline=None)
@given(text=st.lists(st.sampled_from(MARKUP), max_size=8).map("".join))
@example(text="<PRE>")
def test_normal_sentinel_pieces_are_out_of_the_texts_reach(text):
    model = forgeable()
    naive = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocabulary = Vocabulary(model)
    sentinels = {vocabulary.pre_id, vocabulary.suf_id, vocabulary.mid_id, vocabulary.eot_id}
    assert sentinels == {naive.piece_to_id(name) for name in SENTINELS}
    assert naive.encode("<PRE>") == [vocabulary.pre_id], "the model should tempt a naive encoder"
    ids = {*vocabulary.encode(text), *vocabulary.encode_infix(text)}
    assert not ids & vocabulary.control_ids
    assert vocabulary.decode(vocabulary.encode(text)) == text.replace("▁", " ")


# Files


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"cannot read the tokenizer .*nowhere\.model: No such"):
        Vocabulary.load(tmp_path / "nowhere.model")
    with pytest.raises(UserError, match="Is a directory"):
        Vocabulary.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a model\n" * 50, b"\0" * 100, small_model()[:-50]])
def test_file_that_is_no_model(tmp_path, content):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"tokenizer\.model is not a SentencePiece model"):
        Vocabulary.load(path)


def test_model_with_some_sentinels_only(tmp_path):
    model = proto()
    del model.pieces[-1]
    path = tmp_path / "tokenizer.model"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=r"tokenizer\.model: .*lacks \['▁<EOT>'\]"):
        Vocabulary.load(path)


def test_a_replaced_file_is_read_anew(tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(small_model())
    assert Vocabulary.load(path).size == SMALL_VOCABULARY
    assert Vocabulary.load(path) is Vocabulary.load(path)
    path.write_bytes(without_sentinels().SerializeToString())
    assert Vocabulary.load(path).size == SMALL_VOCABULARY - 4 + 16
