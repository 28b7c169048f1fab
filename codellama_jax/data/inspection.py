"""What stands in the rows of a mixture, as numbers and pieces for people to look at.

Everything is read back from the rows that training gets, not from how they were made: what is shown
is what the model sees. Rendering is in inspection_text.py and inspection_page.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from codellama_jax.data.stream import RowStream, Span
from codellama_jax.text import Vocabulary

LEFT_TO_RIGHT, PSM, SPM = "left-to-right", "PSM", "SPM"
_REPLACED = "\N{REPLACEMENT CHARACTER}"
# Tokens that may wait for the end of a character: a text of nothing but that sign itself, three
# bytes each, is parted between two of them.
_WAITING = 300


class Token(NamedTuple):
    """One id of a piece.

    Attributes:
      id: in the vocabulary.
      text: what it adds to the document; nothing for a control id, and for a token that ends
        within a character, whose text the token that completes it has.
      control: the printable name of a control id, or "".
      part: "prefix", "middle" or "suffix" in an infilled piece, else "text". What is behind MID
        in SPM is prefix and middle, encoded jointly: "middle".
      in_loss: whether predicting it counts in this row.
    """

    id: int
    text: str
    control: str
    part: str
    in_loss: bool


@dataclass(frozen=True)
class ShownPiece:
    """A piece of a document in a row.

    Attributes:
      segment: its number in the row, from 1.
      start, stop: its positions in the row.
      document: its number in source and split.
      first: the document's position at which it begins; 0 unless the document is cut.
      whole: whether all of the document is here.
      order: "left-to-right", "PSM" or "SPM". A document that is all suffix is the same sequence in
        both formats, and counts as PSM.
      source, path, language: of the document, None where the record does not say.
      tokens: from the first input to the last target; none when the record cannot be used.
    """

    segment: int
    start: int
    stop: int
    document: int
    epoch: int
    first: int
    whole: bool
    order: str
    source: str | None
    path: str | None
    language: str | None
    tokens: list[Token]

    @property
    def text(self) -> str:
        """The document's text, put in its own order where it is infilled."""
        said = {"prefix": "", "middle": "", "suffix": "", "text": ""}
        for token in self.tokens:
            said[token.part] += token.text
        return "".join(said[part] for part in ("text", "prefix", "middle", "suffix"))


@dataclass(frozen=True)
class ShownRow:
    """A row: `number` in the stream, its task, and the pieces in it."""

    number: int
    task: str
    row_length: int
    pieces: list[ShownPiece]

    @property
    def filled(self) -> int:
        """Positions that hold something."""
        return sum(piece.stop - piece.start for piece in self.pieces)


@dataclass
class TaskCounts:
    """Of one task in some rows.

    Attributes:
      asked: the rate the mixture asks for, as a share.
      rows: of this task.
      rows_an_epoch: rows after which the task has shown each of its documents once.
      positions: in those rows.
      tokens: positions that hold a token to predict.
      in_loss: tokens whose prediction counts.
      pieces: of documents, each visit and each part counted.
      whole: pieces that are whole documents.
      infilled: pieces in the order, by PSM and SPM.
      documents: numbers of those seen.
    """

    asked: float
    rows_an_epoch: int
    rows: int = 0
    positions: int = 0
    tokens: int = 0
    in_loss: int = 0
    pieces: int = 0
    whole: int = 0
    infilled: dict[str, int] = field(default_factory=lambda: {PSM: 0, SPM: 0})
    documents: set[int] = field(default_factory=set)


def show_row(stream: RowStream, number: int) -> ShownRow:
    """Row `number` of the stream, piece by piece."""
    task, row, spans = stream.explain(number)
    pieces = []
    for segment, span in enumerate(spans, 1):
        record = _record(stream, task, span.piece.document)
        ids, in_loss = _sequence(row, span)
        order = _order(stream.vocabulary, ids, record)
        pieces.append(
            ShownPiece(
                segment=segment,
                start=span.start,
                stop=span.stop,
                document=span.piece.document,
                epoch=span.epoch,
                first=span.piece.start,
                whole=span.piece.whole,
                order=order,
                source=record.get("source"),
                path=record.get("path"),
                language=record.get("language"),
                tokens=list(_tokens(stream.vocabulary, ids, in_loss, order, span.piece.start == 0)),
            )
        )
    return ShownRow(number, task, stream.row_length, pieces)


def count_rows(stream: RowStream, first: int, rows: int) -> dict[str, TaskCounts]:
    """Counts of each task in rows first … first + rows - 1."""
    total = sum(stream.rates.values())
    counts = {
        task.name: TaskCounts(stream.rates[task.name] / total, len(task.rows))
        for task in stream.tasks
    }
    for number in range(first, first + rows):
        task, row, spans = stream.explain(number)
        count = counts[task]
        count.rows += 1
        count.positions += stream.row_length
        count.in_loss += int((row["weights"] > 0).sum())
        for span in spans:
            if span.start == span.stop:
                continue
            count.tokens += span.stop - span.start
            count.pieces += 1
            count.whole += span.piece.whole
            count.documents.add(span.piece.document)
            ids, _ = _sequence(row, span)
            if stream.vocabulary.pre_id in ids[:2]:
                record = _record(stream, task, span.piece.document)
                count.infilled[_order(stream.vocabulary, ids, record)] += 1
    return counts


def summarise(counts: dict[str, TaskCounts]) -> dict[str, dict[str, Any]]:
    """The same as plain numbers and shares; "all" is the whole mixture, which has no epochs."""
    tokens = sum(count.tokens for count in counts.values())
    summary = {name: _shares([count], tokens) for name, count in counts.items()}
    for name, count in counts.items():
        summary[name]["epochs"] = count.rows / count.rows_an_epoch
    return {**summary, "all": _shares(list(counts.values()), tokens)}


def _shares(counts: Sequence[TaskCounts], tokens: int) -> dict[str, Any]:
    def total(name: str) -> int:
        return sum(getattr(count, name) for count in counts)

    psm, spm = (sum(count.infilled[order] for count in counts) for order in (PSM, SPM))
    return {
        "rows": total("rows"),
        "asked_share": total("asked"),
        "tokens": total("tokens"),
        "token_share": total("tokens") / max(1, tokens),
        "in_loss_share": total("in_loss") / max(1, total("tokens")),
        "documents": sum(len(count.documents) for count in counts),
        "pieces": total("pieces"),
        "whole_share": total("whole") / max(1, total("pieces")),
        "epochs": None,
        "fill": total("tokens") / max(1, total("positions")),
        "infilled_share": (psm + spm) / max(1, total("pieces")),
        "infilled_share_of_whole": (psm + spm) / max(1, total("whole")),
        "psm_share": psm / max(1, psm + spm),
    }


def _record(stream: RowStream, task: str, document: int) -> dict[str, Any]:
    (rows,) = (rows for rows in stream.tasks if rows.name == task)
    return rows.records[document] or {}


def _sequence(row: dict[str, np.ndarray], span: Span) -> tuple[list[int], list[bool]]:
    """Ids of a piece and whether each is predicted: its first input, then its targets."""
    here = slice(span.start, span.stop)
    if span.start == span.stop:
        return [], []
    ids = [int(row["inputs"][span.start]), *row["targets"][here].tolist()]
    return ids, [False, *(row["weights"][here] > 0).tolist()]


def _order(vocabulary: Vocabulary, ids: Sequence[int], record: dict[str, Any]) -> str:
    v = vocabulary
    if v.pre_id not in ids[:2]:
        return LEFT_TO_RIGHT
    if ids[2] != v.suf_id:
        return PSM
    # Both formats begin so where PSM's prefix is empty: PSM's middle has no implicit space.
    mid = ids.index(v.mid_id)
    middle, suffix = v.decode_infix(ids[mid:]), v.decode_infix(ids[:mid])
    return PSM if middle + suffix == record.get("text") else SPM


def _tokens(
    vocabulary: Vocabulary,
    ids: Sequence[int],
    in_loss: Sequence[bool],
    order: str,
    begins: bool,
) -> Iterator[Token]:
    """Tokens with their texts; `begins`: the document begins here, with bos."""
    v = vocabulary
    parts = {v.pre_id: "prefix", v.suf_id: "suffix", v.mid_id: "middle"}
    spaced = {v.bos_id, v.pre_id, *([v.mid_id] if order == SPM else [])}
    part, fresh = "text", False  # fresh: the implicit leading space is still to come
    pending: list[int] = []
    for n, (token, counts) in enumerate(zip(ids, in_loss)):
        if token in v.control_ids:
            part = parts.get(token, part)
            fresh = token in spaced and (n > 0 or begins)
            yield Token(token, "", v.piece(token), part, counts)
            continue
        pending.append(token)
        decode = v.decode if fresh else v.decode_infix
        text = decode(pending)
        last = n + 1 == len(ids) or ids[n + 1] in v.control_ids
        if text.endswith(_REPLACED) and len(pending) < _WAITING and not last:
            text = ""  # within a character, whose bytes stand in several tokens
        else:
            pending, fresh = [], False
        yield Token(token, text, "", part, counts)
