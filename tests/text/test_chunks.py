"""Remembered chunks give the ids of the whole text."""

import pytest
import sentencepiece
from helpers import small_model, texts
from hypothesis import example, given, settings
from sentencepiece import sentencepiece_model_pb2

from codellama_jax.text.chunks import ChunkEncoder, chunks_are_independent

PIECE = sentencepiece_model_pb2.ModelProto.SentencePiece


def proto() -> sentencepiece_model_pb2.ModelProto:
    return sentencepiece_model_pb2.ModelProto.FromString(small_model())


def without_prefix() -> sentencepiece.SentencePieceProcessor:
    model = proto()
    model.normalizer_spec.add_dummy_prefix = False
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


WHOLE = without_prefix()
FORGETFUL = ChunkEncoder(WHOLE, remembered=5)
ENCODER = ChunkEncoder(WHOLE)


@settings(max_examples=500, deadline=None)
@given(text=texts)
@example(text="")
@example(text="▁")
@example(text="x▁ ▁y  ▁\n▁ \n\n z")
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
        with pytest.raises(TypeError):  # which rows set aside as a record that cannot be used
            ENCODER.encode("x \ud800 y")


def test_models_of_llamas_settings_are_independent():
    assert chunks_are_independent(proto())


@pytest.mark.parametrize("piece", ["x▁y", "▁▁x▁", "\n\n", "}\n", "\n▁▁"])
def test_a_piece_that_spans_chunks_is_seen(piece):
    for kind in (PIECE.NORMAL, PIECE.USER_DEFINED):
        model = proto()
        model.pieces.add(piece=piece, score=-1e6, type=kind)
        assert not chunks_are_independent(model)


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
    assert not chunks_are_independent(model)
