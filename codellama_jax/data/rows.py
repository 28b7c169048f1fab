"""Rows by number: what the rows of a mixture are made of, without seqio, so that any process can.

Row r of a mixture belongs to a task (mixing.py), is some epoch's some row of that task
(permutation.py), which holds certain pieces of certain documents (packing.py), which become ids
(encoding.py) with random choices keyed by the document's visit. Nothing depends on other rows.

Rates are of tokens: a task whose rows hold fewer of them on average has more rows.

A row is written into a block of int32 (features, row_length) that the caller gives, such as a part
of a batch; `features` names its parts.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from codellama_jax.data.encoding import DocumentKey, Encoder, Record
from codellama_jax.data.encoding import Sequence as Encoded
from codellama_jax.data.mixing import MixingCycle
from codellama_jax.data.packing import Piece, pack
from codellama_jax.data.permutation import permuted
from codellama_jax.data.records import Records
from codellama_jax.errors import UserError

FEATURES = ("inputs", "targets", "positions", "segment_ids", "weights")


class Span(NamedTuple):
    """Where a piece of a document stands in a row: positions [start, stop), segment number."""

    piece: Piece
    epoch: int
    start: int
    stop: int


def new_blocks(*shape: int) -> np.ndarray:
    """Room for rows: int32 (features, *shape), the last of which is the row's length."""
    return np.empty((len(FEATURES), *shape), np.int32)


def features(block: np.ndarray) -> dict[str, np.ndarray]:
    """The parts of a block by name: int32, but weights, which are float32."""
    row = dict(zip(FEATURES, block))
    row["weights"] = row["weights"].view(np.float32)
    return row


class TaskRows:
    """The rows of one task, epoch after epoch.

    Args:
      name: the task's.
      encoder: how its records become sequences.
      records: its documents.
      row_length: S, positions of a row.
      seed: of order and infilling.
      cache_bytes: memory for documents that are cut over several rows.

    Attributes:
      tokens_a_row: how many a row holds on average.
      shortened: "dialogues" that lose their oldest "messages" to fit into a row, and those that
        are "too long", being left out as their last answer does not fit.

    Raises:
      UserError: no document takes a position.
    """

    def __init__(
        self,
        name: str,
        encoder: Encoder,
        records: Records,
        row_length: int,
        seed: int,
        cache_bytes: int,
    ):
        self.name, self.encoder, self.records = name, encoder, records
        self.row_length, self.seed = row_length, seed
        self._cache: OrderedDict[int, Encoded] = OrderedDict()
        self._cache_left = self._cache_bytes = cache_bytes
        self.shortened: Counter[str] = Counter()
        self._counted = np.arange(row_length, dtype=np.int32)
        self.positions = self._planned()
        self.rows = pack(self.positions, row_length)
        if not self.rows:
            raise UserError(
                f"task {name!r} has no {records.split} documents that fit: prepare a larger corpus"
                " or leave the task out of the mixture (mixture_rates.overrides)"
            )
        # Summed exactly, so that all hosts agree to the last bit.
        self.tokens_a_row = math.fsum(self._expected()) / len(self.rows)

    def __getstate__(self) -> dict[str, Any]:
        # Another process fills a cache of its own.
        return {**vars(self), "_cache": OrderedDict(), "_cache_left": self._cache_bytes}

    def pieces(self, number: int) -> tuple[int, list[Piece]]:
        """The epoch of the task's row `number`, and the pieces of documents in it."""
        epoch, place = divmod(number, len(self.rows))
        order = f"{self.seed}/{self.name}/{epoch}"
        return epoch, self.rows[permuted(place, len(self.rows), order)]

    def fill(self, number: int, block: np.ndarray) -> list[Span]:
        """Writes the task's row `number` into a block, and tells what stands where."""
        epoch, pieces = self.pieces(number)
        row = features(block)
        spans, start = [], 0
        reserved = sum(piece.length for piece in pieces)
        for segment, piece in enumerate(pieces, 1):
            reserved -= piece.length
            ids, in_loss, _ = self._sequence(piece, epoch, self.row_length - start - reserved)
            stop = start + max(0, len(ids) - 1)
            row["inputs"][start:stop] = ids[:-1]
            row["targets"][start:stop] = ids[1:]
            row["positions"][start:stop] = self._counted[: stop - start]
            row["segment_ids"][start:stop] = segment
            row["weights"][start:stop] = in_loss[1:]
            spans.append(Span(piece, epoch, start, stop))
            start = stop
        block[:, start:] = 0
        return spans

    def render(self, number: int) -> tuple[dict[str, np.ndarray], list[Span]]:
        """Features of the task's row `number`, each (row_length,), and what stands where."""
        block = new_blocks(self.row_length)
        spans = self.fill(number, block)
        return features(block), spans

    def _planned(self) -> np.ndarray:
        if not self.encoder.plain:
            # Message texts alone do not tell how long the rendered dialogue is.
            return np.array([self._rendered(n) for n in range(len(self.records))], np.int64)
        plan = self.encoder.plan
        return np.array([plan(n, self.row_length) for n in self.records.lengths.tolist()], np.int64)

    def _expected(self) -> Iterator[float]:
        """Positions that each document takes on average."""
        counts = self.records.lengths if self.encoder.plain else self.positions
        return (self.encoder.expected(n, self.row_length) for n in counts.tolist())

    def _rendered(self, document: int) -> int:
        """Positions of a dialogue that stands whole in a row; counts what is left out for that."""
        sequence = self._encoded(document, self.row_length)
        if sequence.left_out and len(sequence.ids):
            self.shortened["dialogues"] += 1
            self.shortened["messages"] += sequence.left_out
        elif sequence.left_out:
            self.shortened["too long"] += 1
        return max(0, len(sequence.ids) - 1)

    def _sequence(self, piece: Piece, epoch: int, available: int) -> Encoded:
        stored = self.encoder.plain and self.records.tokens is not None
        if stored and not (piece.whole and self.encoder.draws):
            return self._stored(piece)
        if piece.whole:
            key = DocumentKey(self.seed, self.name, epoch, piece.document)

            def encode(record: Record) -> Encoded:
                sequence = self.encoder.encode_whole(record, key, available)
                if len(sequence.ids) - 1 > available:
                    raise UserError("longer than lengths.npy says, prepare the corpus anew")
                return sequence

            return self._usable(piece.document, encode)
        whole = self._encoded(piece.document, None)
        here = slice(piece.start, piece.stop + 1)
        return Encoded(whole.ids[here], whole.in_loss[here])

    def _stored(self, piece: Piece) -> Encoded:
        """The piece of bos, tokens, eos, without reading the record."""
        vocabulary, tokens = self.encoder.vocabulary, self.records.tokens_of(piece.document)
        ids = np.empty(piece.length + 1, np.int32)
        begins, ends = piece.start == 0, piece.stop == len(tokens) + 1
        ids[begins : len(ids) - ends] = tokens[max(0, piece.start - 1) : piece.stop]
        if begins:
            ids[0] = vocabulary.bos_id
        if ends:
            ids[-1] = vocabulary.eos_id
        return Encoded(ids, np.ones(len(ids), bool))

    def _encoded(self, document: int, row_length: int | None) -> Encoded:
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

    def _usable(self, document: int, encode: Callable[[Record], Encoded]) -> Encoded:
        """What `encode` makes of a document; nothing, and a count, where it cannot be used."""
        record = self.records[document]
        if record is None:
            return _EMPTY
        try:
            return encode(record)
        except (UserError, LookupError, TypeError, ValueError, AttributeError) as error:
            self.records.put_aside(document, error)
            return _EMPTY


_EMPTY = Encoded(np.zeros(0, np.int32), np.zeros(0, bool))


class MixtureRows:
    """The rows of a mixture; pickled, they go to another process and are the same there.

    Args:
      rates: of the tasks' tokens, by name.
      tasks: in the order of `rates`.
    """

    def __init__(self, rates: Mapping[str, float], tasks: Sequence[TaskRows]):
        self.tasks = list(tasks)
        self.cycle = MixingCycle({t.name: rates[t.name] / t.tokens_a_row for t in self.tasks})

    def fill(self, number: int, block: np.ndarray) -> tuple[int, list[Span]]:
        """Writes row `number` into a block; its task's number, and what stands where."""
        task, place = self.cycle.locate(number)
        return task, self.tasks[task].fill(place, block)

    def affinity(self, number: int) -> int:
        """Rows of one affinity have a document in common that all of them must encode in full."""
        task, place = self.cycle.locate(number)
        rows = self.tasks[task]
        if rows.records.tokens is None:
            for piece in rows.pieces(place)[1]:
                if not piece.whole:
                    return piece.document
        return number

    def set_aside(self) -> Counter[str]:
        """Records that could not be used so far, by place and reason."""
        counts: Counter[str] = Counter()
        for records in {id(rows.records): rows.records for rows in self.tasks}.values():
            counts.update(records.set_aside)
        return counts
