"""Draws candidate files in a seeded order until a budget of bytes is full."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import gin

from codellama_jax.corpus.deduplicate import DeduplicateSettings, Deduplicator
from codellama_jax.corpus.document import Candidate, Document
from codellama_jax.corpus.drops import Drops
from codellama_jax.corpus.filters import FilterSettings
from codellama_jax.corpus.load import load_batch
from codellama_jax.corpus.workers import Workers


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class SampleSettings:
    """The mix of what is drawn.

    Attributes:
      python_fraction: of the bytes of code that Python may fill; other languages fill the rest.
      small_file_bytes, small_file_fraction: this share of each budget is filled from files of at
        most so many bytes, as far as there are any. Large files hold most of the bytes, and
        documents that fit a short context whole would be few if files were drawn blindly.
      max_package_fraction: of each budget that one package may fill.
      extra_python_bytes: so much more Python is drawn for questions, prose and dialogues alone, as
        the Python among the code has too few short documented functions.
      batch_files: files a worker reads at a time.
    """

    python_fraction: float = 0.7
    small_file_bytes: int = 4000
    small_file_fraction: float = 0.3
    max_package_fraction: float = 0.2
    extra_python_bytes: int = 14_000_000
    batch_files: int = 16


class Sampler:
    """Reads, filters and de-duplicates candidates in the order drawn, and stops when it has enough.

    All decisions are taken in that order by the calling process, so the result does not depend on
    the number of workers.
    """

    def __init__(
        self,
        settings: SampleSettings,
        limits: FilterSettings,
        signing: DeduplicateSettings,
        workers: Workers,
        drops: Drops,
        seed: int,
    ):
        self._settings = settings
        self._limits = limits
        self._signing = signing
        self._workers = workers
        self._drops = drops
        self._seed = seed
        self.read_files = 0
        self._looked_at: set[str] = set()

    def draw(
        self, name: str, candidates: Sequence[Candidate], budget: int, index: Deduplicator
    ) -> list[Document]:
        """Documents of at most about `budget` bytes, small files first, none drawn before.

        Args:
          name: distinguishes this drawing's random order from others of the same seed.
          index: what the documents must not repeat, and where they are remembered.
        """
        order = [c for c in candidates if c.path not in self._looked_at]
        random.Random(f"{self._seed}/{name}").shuffle(order)
        small_bytes = self._settings.small_file_bytes
        small = [c for c in order if c.size <= small_bytes]
        large = [c for c in order if c.size > small_bytes]
        used: Counter = Counter()
        limit = self._settings.max_package_fraction * budget
        share = int(self._settings.small_file_fraction * budget)
        documents, rest = self._fill(small, share, used, limit, index)
        more, _ = self._fill(large, budget - sum(d.size for d in documents), used, limit, index)
        documents += more
        more, _ = self._fill(rest, budget - sum(d.size for d in documents), used, limit, index)
        return documents + more

    def drop_rest(self, candidates: Sequence[Candidate]) -> None:
        """Accounts for the candidates that no drawing looked at."""
        for candidate in candidates:
            if candidate.path not in self._looked_at:
                self._drops.add(candidate.source, "not drawn", candidate.size, candidate.path)

    def _fill(
        self,
        candidates: list[Candidate],
        budget: int,
        used: Counter,
        limit: float,
        index: Deduplicator,
    ) -> tuple[list[Document], list[Candidate]]:
        """(documents, candidates not looked at)."""
        documents: list[Document] = []
        looked_at = filled = 0
        if budget <= 0:
            return documents, candidates
        batches = self._batches(candidates, used, limit)
        results = self._workers.map(_load_some, batches, self._limits, self._signing)
        for batch_outcomes in results:
            for candidate, outcomes in batch_outcomes:
                if filled >= budget:
                    results.close()
                    return documents, candidates[looked_at:]
                looked_at += 1
                self._looked_at.add(candidate.path)
                if used[candidate.package] >= limit:
                    self._drops.add(
                        candidate.source, "package limit", candidate.size, candidate.path
                    )
                    continue
                self.read_files += 1
                self._drops.see(candidate.source, len(outcomes) - 1)
                for outcome in outcomes:
                    document, reason = outcome.document, outcome.reason
                    reason = reason or index.reason_to_drop(document)
                    if reason:
                        self._drops.add(candidate.source, reason, outcome.size, outcome.path)
                        continue
                    documents.append(document)
                    filled += outcome.size
                    used[candidate.package] += outcome.size
        return documents, []

    def _batches(
        self, candidates: Sequence[Candidate], used: Counter, limit: float
    ) -> Iterator[list[tuple[Candidate, bool]]]:
        """Candidates and whether they are worth reading: a package at its limit only grows."""
        for start in range(0, len(candidates), self._settings.batch_files):
            chunk = candidates[start : start + self._settings.batch_files]
            yield [(candidate, used[candidate.package] < limit) for candidate in chunk]


def _load_some(
    batch: list[tuple[Candidate, bool]], limits: FilterSettings, signing: DeduplicateSettings
) -> list[tuple[Candidate, list]]:
    wanted = [candidate for candidate, worth_reading in batch if worth_reading]
    loaded = iter(load_batch(wanted, limits, signing))
    return [(candidate, next(loaded) if worth else []) for candidate, worth in batch]
