"""Exact and near duplicates: datatrove's stages, with the shingles and hashes of this project.

datatrove's own shingles are words of natural language, lower case and without punctuation, which
is no measure for code; and a pair that shares one band counts as a pair of duplicates there. Here
the shingles and hashes are those of corpus/deduplicate.py, and a pair counts when the whole
signatures agree as far as the threshold asks.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup.exact_dedup import ExactDedupConfig
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
from datatrove.utils.hashing import HashConfig
from datatrove.utils.word_tokenizers import WordTokenizer

from codellama_jax.corpus.deduplicate import DeduplicateSettings, shingles, signature_of
from codellama_jax.corpus.files.atomic import replacing


def digest_of(document: Document) -> str:
    """What two exact duplicates have in common."""
    return document.metadata["sha256"]


def exact_config() -> ExactDedupConfig:
    """64 bits of the digest: in 2e8 documents, one loss by chance in a thousand corpora."""
    return ExactDedupConfig(digest_of, hash_config=HashConfig(precision=64, hash_fc="sha1"))


def band_config(signing: DeduplicateSettings, recall: float) -> MinhashConfig:
    """The longest bands by which a pair at the threshold is found with probability `recall`."""
    for rows in range(signing.num_perm, 0, -1):
        bands = signing.num_perm // rows
        if 1 - (1 - signing.threshold**rows) ** bands >= recall:
            break
    return MinhashConfig(
        n_grams=signing.shingle_tokens,
        num_buckets=bands,
        hashes_per_bucket=rows,
        hash_config=HashConfig(precision=32, hash_fc="sha1"),
    )


class _NoWords(WordTokenizer):
    """Stands where datatrove wants a tokenizer of natural language, which it then never asks."""

    def word_tokenize(self, text: str) -> list[str]:
        raise NotImplementedError

    sent_tokenize = span_tokenize = word_tokenize


class Sign(MinhashDedupSignature):
    """Writes the bands of each document's signature for datatrove, and the whole for `Verify`."""

    def __init__(
        self, bands: Path, signatures: Path, signing: DeduplicateSettings, config: MinhashConfig
    ):
        super().__init__(str(bands), config, language=_NoWords())
        self.signatures, self.signing = signatures, signing

    def get_shingles(self, text: str) -> np.ndarray:
        """Those of corpus/deduplicate.py."""
        return shingles(text, self.signing.shingle_tokens)

    def get_signature(self, shingles: np.ndarray) -> list[list[int]]:
        """Its bands."""
        signature = signature_of(shingles, self.signing).astype("<u4")
        self._stream.write(signature.tobytes())
        banded = signature[: self.num_hashes].reshape(self.config.num_buckets, -1)
        return banded.tolist()

    def run(self, data: Iterator[Document], rank: int = 0, world_size: int = 1) -> None:
        """Signs one task's documents."""
        with (
            replacing(_signatures(self.signatures, rank)) as temporary,
            open(temporary, "wb") as self._stream,
        ):
            super().run(data, rank, world_size)
            del self._stream


class Verify(PipelineStep):
    """Keeps the pairs of one bucket whose signatures agree as far as the threshold asks."""

    type, name = "dedup", "verify"

    def __init__(self, pairs: Path, signatures: Path, output: Path, signing: DeduplicateSettings):
        super().__init__()
        self.pairs, self.signatures, self.output = pairs, signatures, output
        self.signing = signing

    def run(self, data: None = None, rank: int = 0, world_size: int = 1) -> None:
        """Copies the pairs that hold."""
        name = f"{rank:05d}_00.dups"
        pairs = np.fromfile(self.pairs / name, "<u4").reshape(-1, 4)
        # Each row: task and document of the one, task and document of the other.
        holds = np.zeros(len(pairs), bool)
        tasks = {task: self._load(task) for task in np.unique(pairs[:, [0, 2]]).tolist()}
        for i, (one, first, other, second) in enumerate(pairs.tolist()):
            agree = np.mean(tasks[one][first] == tasks[other][second])
            holds[i] = agree >= self.signing.threshold
        with replacing(self.output / name) as temporary:
            pairs[holds].tofile(temporary)

    def _load(self, task: int) -> np.ndarray:
        path = _signatures(self.signatures, task)
        return np.memmap(path, "<u4", "r").reshape(-1, self.signing.num_perm)


def _signatures(folder: Path, rank: int) -> Path:
    return folder / f"{rank:05d}.u4"
