"""Exact and near de-duplication: SHA-256; MinHash finds candidates, shingles decide on them."""

import functools
import hashlib
import math
import re
from dataclasses import dataclass

import gin
import numpy as np

from codellama_jax.corpus.document import Document
from codellama_jax.corpus.ngrams import run_hashes

_TOKEN = re.compile(r"\w+|[^\w\s]")
_SKETCHED = 512  # values a step of sketching: their products with the hashes stay in the cache
_SURE = 5.0  # standard errors off the threshold from which the estimate needs no second look


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class DeduplicateSettings:
    """Near de-duplication (the paper says that it was done, not how).

    Attributes:
      threshold: Jaccard similarity of two texts' shingles from which the later one is dropped.
      shingle_tokens: tokens (words, punctuation marks) a shingle; white space does not count.
      num_perm: hashes a signature; the estimate's standard error at 0.8 is 0.4 / sqrt(num_perm).
      false_negative_weight: how much a missed pair counts against a needless comparison when the
        index chooses its bands. At 0.99 it finds 98.5 % of the pairs at exactly the threshold, and
        nearly all above; what it finds is decided by the shingles themselves.
    """

    threshold: float = 0.8
    shingle_tokens: int = 5
    num_perm: int = 128
    false_negative_weight: float = 0.99


def shingles(text: str, size: int) -> np.ndarray:
    """Distinct 32-bit hashes of every run of `size` tokens; of the whole text if it is shorter."""
    tokens = _TOKEN.findall(text)
    size = max(1, min(size, len(tokens)))
    hashes = run_hashes(tokens, [size])[size]
    return np.unique((hashes >> np.uint64(16)).astype(np.uint32))


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Exact similarity of two texts' shingles."""
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / max(1, len(a) + len(b) - common)


@functools.cache
def _empty_sketch(num_perm: int):  # noqa: ANN202 - the library is imported late: it takes a second
    from datasketch import MinHash

    return MinHash(num_perm=num_perm, hashfunc=int, scheme="affine32")


def signature_of(values: np.ndarray, settings: DeduplicateSettings) -> np.ndarray:
    """MinHash values of a text's shingles, each below 2**32."""
    sketch = _empty_sketch(settings.num_perm).copy()
    for start in range(0, len(values), _SKETCHED):
        sketch.update_batch(values[start : start + _SKETCHED].tolist())
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
        self._kept: list[Document] = []
        self._index = MinHashLSH(
            threshold=settings.threshold, num_perm=settings.num_perm, weights=(1 - weight, weight)
        )

    def reason_to_drop(self, document: Document) -> str | None:
        """Why the document is not new; None when it is, and then it is remembered."""
        if document.sha256 in self._exact:
            return "exact duplicate"
        sketch = _empty_sketch(self._settings.num_perm).copy()
        sketch.hashvalues = document.signature
        if self._near_one_of(document, [self._kept[i] for i in self._index.query(sketch)]):
            return "near duplicate"
        self._exact.add(document.sha256)
        self._index.insert(len(self._kept), sketch, check_duplication=False)
        self._kept.append(document)
        return None

    def _near_one_of(self, document: Document, others: list[Document]) -> bool:
        """Whether one is similar: by the signatures where they leave no doubt, else exactly."""
        if not others:
            return False
        threshold, size = self._settings.threshold, self._settings.shingle_tokens
        margin = _SURE * math.sqrt(threshold * (1 - threshold) / self._settings.num_perm)
        signatures = np.stack([other.signature for other in others])
        estimates = np.mean(signatures == document.signature, axis=1)
        if np.max(estimates) > threshold + margin:
            return True
        doubtful = np.flatnonzero(estimates >= threshold - margin)
        if not len(doubtful):
            return False
        own = shingles(document.text, size)
        likely_first = doubtful[np.argsort(-estimates[doubtful])]
        return any(jaccard(own, shingles(others[i].text, size)) >= threshold for i in likely_first)
