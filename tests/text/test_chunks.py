"""Remembered chunks give the ids of the whole text."""

import pytest
import sentencepiece
from helpers import small_model, texts
from hypothesis import example, given, settings
from sentencepiece import sentencepiece_model_pb2

from codellama_jax.text.chunks import ChunkEncoder, independent_chunks

PIECE = sentencepiece_model_pb2.ModelProto.SentencePiece


def proto() -> sentencepiece_model_pb2.ModelProto:
    return sentencepiece_model_pb2.ModelProto.FromString(small_model())


def without_prefix() -> sentencepiece.SentencePieceProcessor:
    model = proto()
    model.normalizer_spec.add_dummy_prefix = False
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


WHOLE = without_prefix()
CHUNKS = independent_chunks(proto())
FORGETFUL = ChunkEncoder(WHOLE, CHUNKS, remembered=2000)
ENCODER = ChunkEncoder(WHOLE, CHUNKS)


@settings(max_examples=500, deadline=None)
@given(text=texts)
@example(text="")
@example(text="▁")
@example(text="x▁ ▁y  ▁\n▁ \n\n z")
@example(text="aé.b é.é a1é2.3▁4 xé\n5\n")
@example(text=" \r\n\t \0 é")
def test_ids_are_those_of_the_whole_text(text):
    for encoder in (ENCODER, FORGETFUL, ENCODER):
        assert encoder.encode(text) == WHOLE.encode(text)


@settings(max_examples=300, deadline=None)
@given(text=texts)
@example(text="x▁ ▁y  ▁\n▁ \n\n z")
def test_vocabularies_give_the_processors_ids(vocabulary, text):
    """The genuine Llama 2 tokenizer among them."""
    assert vocabulary._chunks is not None
    assert vocabulary.encode(text) == vocabulary.encode_batch([text])[0]
    assert vocabulary.encode_infix(text) == vocabulary._infix.encode(text)


def test_a_lone_surrogate_is_refused_and_leaves_nothing_behind():
    for _ in range(2):
        with pytest.raises(ValueError):  # which rows set aside as a record that cannot be used
            ENCODER.encode("x \ud800 y")


def spelt(model: sentencepiece_model_pb2.ModelProto) -> list[str]:
    """The chunks of a text that has a place of every kind."""
    return independent_chunks(model).findall("ab.c  (é.d1 2▁\n\n x_é, ")


def test_models_of_llamas_settings_are_encoded_word_by_word():
    words = ["ab", ".", "c", "  (é.", "d", "1", " 2", "▁", "\n", "\n", " x", "_é,", " "]
    assert spelt(proto()) == words


@pytest.mark.parametrize("piece", ["a.", "_a", "▁x(", "12", "1x", "x1", "é1"])
def test_models_whose_words_are_joined_are_encoded_by_longer_ones(piece):
    model = proto()
    model.pieces.add(piece=piece, score=-1e6)
    assert spelt(model) == ["ab.c", "  (é.d1", " 2", "▁", "\n", "\n", " x_é,", " "]


@pytest.mark.parametrize("piece", ["x▁y", "▁▁x▁", "\n\n", "}\n", "\n▁▁"])
def test_a_piece_that_spans_chunks_is_seen(piece):
    for kind in (PIECE.NORMAL, PIECE.USER_DEFINED):
        model = proto()
        model.pieces.add(piece=piece, score=-1e6, type=kind)
        assert independent_chunks(model) is None


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("normalizer_spec", "remove_extra_whitespaces", True),
        ("normalizer_spec", "precompiled_charsmap", b"nfkc"),
        ("normalizer_spec", "escape_whitespaces", False),
        ("trainer_spec", "treat_whitespace_as_suffix", True),
        ("trainer_spec", "byte_fallback", False),
        ("trainer_spec", "model_type", 1),
    ],
)
def test_other_models_are_seen(part, name, value):
    model = proto()
    setattr(getattr(model, part), name, value)
    assert independent_chunks(model) is None
