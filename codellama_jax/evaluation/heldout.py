"""Bits per byte on held-out documents, beside what file compressors need for the same text."""

import gzip
import lzma
from collections.abc import Sequence
from typing import Any, NamedTuple

import gin
import numpy as np

from codellama_jax.data import Records
from codellama_jax.evaluation.likelihood import token_losses
from codellama_jax.model import LlamaConfig, Params
from codellama_jax.text import Vocabulary


class HeldoutText(NamedTuple):
    """Texts of one source."""

    source: str
    texts: list[str]

    @property
    def size(self) -> int:
        """Bytes, UTF-8."""
        return sum(len(text.encode()) for text in self.texts)


@gin.configurable
def heldout_texts(
    corpus: str = gin.REQUIRED,
    sources: Sequence[str] = ("code", "python", "nl"),
    max_bytes: int = 150_000,
    max_document_characters: int = 12_000,
) -> list[HeldoutText]:
    """Held-out documents of each source, drawn evenly over the shards.

    Args:
      corpus: directory of a prepared corpus.
      sources: of the corpus.
      max_bytes: of text per source.
      max_document_characters: the beginning of a longer document is taken.
    """
    chosen = []
    for source in sources:
        records = Records(corpus, source, "heldout")
        order = np.random.default_rng(0).permutation(len(records))
        texts: list[str] = []
        left = max_bytes
        for number in order.tolist():
            record = records[number]
            text = record["text"][:max_document_characters] if record else ""
            size = len(text.encode())
            if text and size <= left:
                texts.append(text)
                left -= size
        chosen.append(HeldoutText(source, texts))
    return chosen


def compressed_bits_per_byte(heldout: HeldoutText) -> dict[str, float]:
    """gzip -9 and xz -9 on the texts: each document by itself, as the model reads them, and all
    of them as one file, which lets the compressor learn from one document for the next."""
    documents = [text.encode() for text in heldout.texts]
    joined = b"".join(documents)

    def bits(parts: Sequence[bytes], compress: Any) -> float:
        return 8 * sum(len(compress(part)) for part in parts) / len(joined)

    gz = lambda part: gzip.compress(part, 9, mtime=0)  # noqa: E731
    xz = lambda part: lzma.compress(part, preset=9)  # noqa: E731
    return {
        "gzip -9": bits(documents, gz),
        "xz -9": bits(documents, xz),
        "gzip -9, one file": bits([joined], gz),
        "xz -9, one file": bits([joined], xz),
    }


def bits_per_byte(
    config: LlamaConfig,
    params: Params,
    vocabulary: Vocabulary,
    heldout: HeldoutText,
    window: int,
    batch_size: int = 8,
) -> float:
    """The model's bits per UTF-8 byte, each document by itself from bos to eos."""
    sequences = [
        [vocabulary.bos_id, *vocabulary.encode(text), vocabulary.eos_id] for text in heldout.texts
    ]
    losses = token_losses(config, params, sequences, window, batch_size)
    return float(sum(loss.sum(dtype=np.float64) for loss in losses) / np.log(2) / heldout.size)
