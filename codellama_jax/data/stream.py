"""Rows of a mixture by number: the data as a pure function of (mixture, seed, step).

Row r of a mixture belongs to a task (mixing.py), is some epoch's some row of that task
(permutation.py), which holds certain pieces of certain documents (packing.py), which become ids
(encoding.py) with random choices keyed by the document's visit. Nothing depends on other rows, so
any host computes any row, and resuming is a number.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import gin
import numpy as np
import seqio

from codellama_jax.data.encoding import Dialogue, DocumentKey, Encoder, Record, Sequence
from codellama_jax.data.mixing import MixingCycle
from codellama_jax.data.packing import Piece, pack
from codellama_jax.data.permutation import permuted
from codellama_jax.data.records import Records
from codellama_jax.data.tasks import EncodeDocuments, register
from codellama_jax.errors import UserError

VERSION = 1  # of the rows a stream makes of the same inputs; part of the fingerprint
FEATURES = ("inputs", "targets", "positions", "segment_ids", "weights")


class Span(NamedTuple):
    """Where a piece of a document stands in a row: positions [start, stop), segment number."""

    piece: Piece
    epoch: int
    start: int
    stop: int


class TaskRows:
    """The rows of one task, epoch after epoch."""

    def __init__(self, task: seqio.Task, split: str, row_length: int, seed: int, cache_bytes: int):
        preprocessor = task.preprocessors[0]
        if not isinstance(preprocessor, EncodeDocuments):
            raise TypeError(f"task {task.name} is not one of this package's")
        self.name, self.row_length, self.seed = task.name, row_length, seed
        self.encoder: Encoder = preprocessor.encoder
        self.records: Records = task.source.records(split)
        self._cache: OrderedDict[int, Sequence] = OrderedDict()
        self._cache_left = cache_bytes
        self.positions = self._planned()
        self.rows = pack(self.positions, row_length)
        if not self.rows:
            raise UserError(
                f"task {task.name!r} has no {split} documents that fit: prepare a larger corpus or"
                " leave the task out of the mixture"
            )

    def render(self, number: int) -> tuple[dict[str, np.ndarray], list[Span]]:
        """Features of the task's row `number`, each (row_length,), and what stands where."""
        epoch, place = divmod(number, len(self.rows))
        order = f"{self.seed}/{self.name}/{epoch}"
        pieces = self.rows[permuted(place, len(self.rows), order)]
        row = {name: np.zeros(self.row_length, np.int32) for name in FEATURES[:-1]}
        row["weights"] = np.zeros(self.row_length, np.float32)
        spans: list[Span] = []
        start = 0
        reserved = sum(piece.length for piece in pieces)
        for segment, piece in enumerate(pieces, 1):
            reserved -= piece.length
            ids, in_loss = self._sequence(piece, epoch, self.row_length - start - reserved)
            stop = start + max(0, len(ids) - 1)
            row["inputs"][start:stop] = ids[:-1]
            row["targets"][start:stop] = ids[1:]
            row["positions"][start:stop] = np.arange(stop - start)
            row["segment_ids"][start:stop] = segment
            row["weights"][start:stop] = in_loss[1:]
            spans.append(Span(piece, epoch, start, stop))
            start = stop
        return row, spans

    def _planned(self) -> np.ndarray:
        if isinstance(self.encoder, Dialogue):
            # Message texts alone do not tell how long the rendered dialogue is.
            return np.array(
                [
                    max(0, len(self._encoded(n, self.row_length).ids) - 1)
                    for n in range(len(self.records))
                ],
                np.int64,
            )
        plan = self.encoder.plan
        return np.array([plan(n, self.row_length) for n in self.records.lengths.tolist()], np.int64)

    def _sequence(self, piece: Piece, epoch: int, available: int) -> Sequence:
        if piece.whole:
            key = DocumentKey(self.seed, self.name, epoch, piece.document)

            def encode(record: Record) -> Sequence:
                sequence = self.encoder.encode_whole(record, key, available)
                if len(sequence.ids) - 1 > available:
                    raise UserError("longer than lengths.npy says, prepare the corpus anew")
                return sequence

            return self._usable(piece.document, encode)
        ids, in_loss = self._encoded(piece.document, None)
        return Sequence(*(part[piece.start : piece.stop + 1] for part in (ids, in_loss)))

    def _encoded(self, document: int, row_length: int | None) -> Sequence:
        """The left-to-right sequence of a document, kept while there is room."""
        if document in self._cache:
            self._cache.move_to_end(document)
            return self._cache[document]
        sequence = self._usable(document, lambda record: self.encoder.encode(record, row_length))
        self._cache[document] = sequence
        self._cache_left -= sequence.ids.nbytes + sequence.in_loss.nbytes
        while self._cache_left < 0 and len(self._cache) > 1:
            _, dropped = self._cache.popitem(last=False)
            self._cache_left += dropped.ids.nbytes + dropped.in_loss.nbytes
        return sequence

    def _usable(self, document: int, encode: Callable[[Record], Sequence]) -> Sequence:
        """What `encode` makes of a document; nothing, and a count, where it cannot be used."""
        record = self.records[document]
        if record is None:
            return _EMPTY
        try:
            return encode(record)
        except (UserError, LookupError, TypeError, ValueError, AttributeError) as error:
            self.records.put_aside(document, error)
            return _EMPTY


_EMPTY = Sequence(np.zeros(0, np.int32), np.zeros(0, bool))


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
        self._cycle = MixingCycle(self.rates)
        self.tasks = [
            TaskRows(seqio.get_mixture_or_task(name), split, row_length, seed, cache_bytes)
            for name in self._cycle.tasks
        ]

    def row(self, number: int) -> dict[str, np.ndarray]:
        """Features of row `number`: int32 inputs, targets, positions, segment_ids (S,), float32
        weights (S,), and int32 task ()."""
        task, place = self._cycle.locate(number)
        row, _ = self.tasks[task].render(place)
        return {**row, "task": np.int32(task)}

    def explain(self, number: int) -> tuple[str, dict[str, np.ndarray], list[Span]]:
        """The row's task, its features, and which piece of which document stands where."""
        task, place = self._cycle.locate(number)
        return (self._cycle.tasks[task], *self.tasks[task].render(place))

    def fingerprint(self) -> dict[str, Any]:
        """What the rows depend on; equal fingerprints mean equal rows."""
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
        }

    def set_aside(self) -> dict[str, int]:
        """Records that could not be used so far, by place and reason."""
        return {place: n for rows in self.tasks for place, n in rows.records.set_aside.items()}


def _describe(encoder: Encoder) -> dict[str, Any]:
    settings = {k: v for k, v in vars(encoder).items() if k != "vocabulary"}
    return {"class": type(encoder).__name__, **settings}
