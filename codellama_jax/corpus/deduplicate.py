"""Exact and near de-duplication: SHA-256, then MinHash signatures in a locality-sensitive index."""

import functools
import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import gin
import numpy as np

from codellama_jax.corpus.document import Document

_TOKEN = re.compile(r"\w+|[^\w\s]")


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class DeduplicateSettings:
    """Near de-duplication (the paper says that it was done, not how).

    Attributes:
      threshold: Jaccard similarity of two texts' shingles from which the later one is dropped.
      shingle_tokens: tokens (words, punctuation marks) a shingle; white space does not count.
      num_perm: hashes a signature; the estimate's standard error at 0.8 is 0.4 / sqrt(num_perm).
      false_negative_weight: how much a missed pair counts against a needless comparison when the
        index chooses its bands. Pairs found are compared by their whole signatures anyway.
    """

    threshold: float = 0.8
    shingle_tokens: int = 5
    num_perm: int = 128
    false_negative_weight: float = 0.8


def shingles(text: str, size: int) -> np.ndarray:
    """Distinct 32-bit hashes of every run of `size` tokens; of the whole text if it is shorter."""
    hashes: dict[str, int] = {}
    tokens = _TOKEN.findall(text)
    for token in tokens:
        if token not in hashes:
            hashes[token] = zlib.crc32(token.encode())
    values = np.fromiter((hashes[token] for token in tokens), np.uint64, len(tokens))
    size = max(1, min(size, len(values)))
    mixed = np.zeros(max(0, len(values) - size + 1), np.uint64)
    for i in range(size):
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + values[i : i + len(mixed)]
        mixed ^= mixed >> np.uint64(29)
    return np.unique((mixed >> np.uint64(16)).astype(np.uint32))


@functools.cache
def _empty_sketch(num_perm: int):  # noqa: ANN202 - the library is imported late: it takes a second
    from datasketch import MinHash

    return MinHash(num_perm=num_perm, hashfunc=int, scheme="affine32")


def signature_of(values: np.ndarray, settings: DeduplicateSettings) -> np.ndarray:
    """MinHash values of a text's shingles, each below 2**32."""
    sketch = _empty_sketch(settings.num_perm).copy()
    for start in range(0, len(values), 4096):  # bounds the sketch's (values x permutations) array
        sketch.update_batch(values[start : start + 4096].tolist())
    return sketch.hashvalues


def sign(document: Document, settings: DeduplicateSettings) -> Document:
    """Sets the document's digest and MinHash signature, and returns it."""
    values = shingles(document.text, settings.shingle_tokens)
    document.sha256 = hashlib.sha256(document.text.encode()).hexdigest()
    document.signature = signature_of(values, settings)
    return document


class Deduplicator:
    """Remembers documents and tells whether a new one repeats an earlier one."""

    def __init__(self, settings: DeduplicateSettings):
        from datasketch import MinHashLSH

        weight = settings.false_negative_weight
        self._settings = settings
        self._exact: set[str] = set()
        self._signatures: list[np.ndarray] = []
        self._index = MinHashLSH(
            threshold=settings.threshold, num_perm=settings.num_perm, weights=(1 - weight, weight)
        )

    def reason_to_drop(self, document: Document) -> str | None:
        """Why the document is not new; None when it is, and then it is remembered."""
        if document.sha256 in self._exact:
            return "exact duplicate"
        sketch = _empty_sketch(self._settings.num_perm).copy()
        sketch.hashvalues = document.signature
        if self._near(document.signature, self._index.query(sketch)):
            return "near duplicate"
        self._exact.add(document.sha256)
        self._index.insert(len(self._signatures), sketch, check_duplication=False)
        self._signatures.append(document.signature)
        return None

    def _near(self, signature: np.ndarray, found: Sequence[int]) -> bool:
        return any(
            float(np.mean(self._signatures[i] == signature)) >= self._settings.threshold
            for i in found
        )
