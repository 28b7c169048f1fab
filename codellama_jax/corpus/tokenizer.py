"""Trains a SentencePiece tokenizer with Llama's settings and adds the infilling sentinels."""

import io
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import gin

from codellama_jax.corpus.document import Document
from codellama_jax.errors import UserError
from codellama_jax.text.vocabulary import SENTINELS

_SENTINEL_TEXT = re.compile("|".join(name.lstrip("▁") for name in SENTINELS))


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class TokenizerSettings:
    """How the tokenizer is trained; what is not named here is as in Llama's own model file.

    Attributes:
      sample_bytes: of the training documents, drawn whole in a seeded order.
      character_coverage: Llama's; rarer characters fall back to bytes.
      max_piece_length: characters a piece; SentencePiece's and Llama's 16.
    """

    sample_bytes: int = 6_000_000
    character_coverage: float = 0.99995
    max_piece_length: int = 16


def train_tokenizer(
    documents: Sequence[Document], vocab_size: int, seed: int, settings: TokenizerSettings
) -> bytes:
    """A serialised SentencePiece model of exactly `vocab_size` ids, the last four the sentinels.

    Ids: unk 0, bos 1, eos 2, no pad, 256 bytes, then pieces. Raises UserError when the documents
    do not hold enough different text for so many pieces.
    """
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(documents, seed, settings.sample_bytes),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size - len(SENTINELS),
            character_coverage=settings.character_coverage,
            max_sentencepiece_length=settings.max_piece_length,
            byte_fallback=True,
            split_digits=True,
            allow_whitespace_only_pieces=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=True,
            unk_surface=" \u2047 ",
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            num_threads=1,  # Its only effect here is on speed; one is sure to be deterministic.
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"cannot train a tokenizer of vocab_size={vocab_size} on this corpus: lower it or"
            f" widen the roots ({_one_line(error)})"
        ) from error
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    # Control pieces never match text, so that "<PRE>" in a document stays text.
    for name in SENTINELS:
        proto.pieces.add(
            piece=name, score=0.0, type=sentencepiece_model_pb2.ModelProto.SentencePiece.CONTROL
        )
    proto.trainer_spec.vocab_size = len(proto.pieces)
    if len(proto.pieces) != vocab_size:
        raise UserError(
            f"the corpus gave {len(proto.pieces)} pieces instead of vocab_size={vocab_size}:"
            " lower it or widen the roots"
        )
    return proto.SerializeToString(deterministic=True)


def _lines(documents: Sequence[Document], seed: int, budget: int) -> Iterator[str]:
    """Lines of documents in a seeded order; a line break is always a byte piece of its own."""
    order = list(documents)
    random.Random(f"{seed}/tokenizer").shuffle(order)
    for document in order:
        if budget <= 0:
            return
        budget -= document.size
        for line in document.text.split("\n"):
            # A piece of a sentinel's name would clash with the sentinel.
            if line and not _SENTINEL_TEXT.search(line):
                yield line


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
