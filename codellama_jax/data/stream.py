"""Rows of a registered mixture by number: the data as a pure function of (mixture, seed, step).

seqio names the tasks and their rates (tasks.py), rows.py makes the rows. Any host computes any row,
and resuming is a number.
"""

from collections import Counter
from typing import Any

import gin
import numpy as np

from codellama_jax.data.encoding import Encoder
from codellama_jax.data.quiet import seqio
from codellama_jax.data.rows import MixtureRows, Span, TaskRows, features, new_blocks
from codellama_jax.data.tasks import EncodeDocuments, register
from codellama_jax.errors import UserError

VERSION = 2  # of the rows a stream makes of the same inputs; part of the fingerprint


@gin.configurable
class RowStream:
    """Rows of a registered mixture or task.

    Args:
      mixture: name of a mixture or a task (data/tasks.py).
      row_length: S, positions of a row.
      seed: of order, mixing and infilling.
      corpus: directory of a prepared corpus; its tasks and mixtures are registered.
      split: "train" or "heldout".
      cache_bytes: memory for documents that are cut over several rows, per task.

    Raises:
      UserError: no such corpus, mixture or split.

    Attributes:
      rows: what makes the rows, without this process's registry of tasks.
    """

    def __init__(
        self,
        mixture: str,
        row_length: int,
        seed: int,
        corpus: str = gin.REQUIRED,
        split: str = "train",
        cache_bytes: int = 64 << 20,
    ):
        self.vocabulary = register(corpus)
        known = sorted([*seqio.MixtureRegistry.names(), *seqio.TaskRegistry.names()])
        if mixture not in known:
            raise UserError(f"no mixture or task {mixture!r}: there are {known}")
        self.mixture, self.row_length, self.seed, self.split = mixture, row_length, seed, split
        provider = seqio.get_mixture_or_task(mixture)
        if isinstance(provider, seqio.Mixture):
            self.rates = {task.name: float(provider.get_rate(task)) for task in provider.tasks}
        else:
            self.rates = {mixture: 1.0}
        tasks = []
        for name in self.rates:
            task = seqio.get_mixture_or_task(name)
            if not isinstance(task.preprocessors[0], EncodeDocuments):
                raise TypeError(f"task {name} is not one of this package's")
            encoder, records = task.preprocessors[0].encoder, task.source.records(split)
            tasks.append(TaskRows(name, encoder, records, row_length, seed, cache_bytes))
        self.rows = MixtureRows(self.rates, tasks)
        self._set_aside_elsewhere: Counter[str] = Counter()

    @property
    def tasks(self) -> list[TaskRows]:
        """The rows of each task, in the order that a row's `task` counts."""
        return self.rows.tasks

    def row(self, number: int) -> dict[str, np.ndarray]:
        """Features of row `number`: int32 inputs, targets, positions, segment_ids (S,), float32
        weights (S,), and int32 task ()."""
        block = new_blocks(self.row_length)
        task, _ = self.rows.fill(number, block)
        return {**features(block), "task": np.int32(task)}

    def explain(self, number: int) -> tuple[str, dict[str, np.ndarray], list[Span]]:
        """The row's task, its features, and which piece of which document stands where."""
        block = new_blocks(self.row_length)
        task, spans = self.rows.fill(number, block)
        return self.tasks[task].name, features(block), spans

    def fingerprint(self) -> dict[str, Any]:
        """What the rows depend on; equal fingerprints mean equal rows. Small for any corpus."""
        return {
            "version": VERSION,
            "mixture": self.mixture,
            "rates": self.rates,
            "row_length": self.row_length,
            "seed": self.seed,
            "split": self.split,
            "tokenizer": self.vocabulary.sha256,
            "encoders": {rows.name: _describe(rows.encoder) for rows in self.tasks},
            "files": {rows.name: rows.records.digest for rows in self.tasks},
            "lengths": {rows.name: rows.records.lengths_digest for rows in self.tasks},
        }

    def set_aside(self) -> dict[str, int]:
        """Records that could not be used so far, by place and reason."""
        return dict(self.rows.set_aside() + self._set_aside_elsewhere)

    def shortened(self) -> list[str]:
        """A line for each task whose dialogues do not all fit into a row."""
        return [
            f"{rows.name}: longer than a row are {rows.shortened['dialogues']:,} dialogues, which"
            f" lose their oldest {rows.shortened['messages']:,} messages, and the last answers of"
            f" {rows.shortened['too long']:,}, which are left out"
            for rows in self.tasks
            if rows.shortened
        ]

    def count_set_aside(self, elsewhere: Counter[str]) -> None:
        """Adds what another process, which makes rows of this stream, could not use."""
        self._set_aside_elsewhere.update(elsewhere)


def _describe(encoder: Encoder) -> dict[str, Any]:
    settings = {k: v for k, v in vars(encoder).items() if k != "vocabulary"}
    return {"class": type(encoder).__name__, **settings}
