"""Rows and counts for a terminal, in colour or without."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codellama_jax.data.inspection import ShownRow
from codellama_jax.data.inspection_parts import Part, piece_title, row_title, styled
from codellama_jax.writing import aligned

_COLORS = {"control": "1;35", "boundary": "2", "text": "", "prefix": "36", "middle": "33",
           "suffix": "34"}  # fmt: skip
_GUTTER = "  ┆ "
# Columns of the counts: head, name in the summary, how it is written.
COLUMNS = (
    ("rows", "rows", "{:,}"),
    ("asked", "asked_share", "{:.1%}"),
    ("of tokens", "token_share", "{:.1%}"),
    ("tokens", "tokens", "{:,}"),
    ("in loss", "in_loss_share", "{:.1%}"),
    ("documents", "documents", "{:,}"),
    ("epochs", "epochs", "{:.3f}"),
    ("fill", "fill", "{:.2%}"),
    ("whole", "whole_share", "{:.1%}"),
    ("infilled", "infilled_share", "{:.1%}"),
    ("of whole", "infilled_share_of_whole", "{:.1%}"),
    ("PSM", "psm_share", "{:.1%}"),
)


def legend(color: bool) -> str:
    """How to read what follows."""
    marks = "dimmed" if color else "between ⟦ and ⟧"
    names = [("control", "control"), ("prefix", "prefix"), ("middle", "middle"),
             ("suffix", "suffix")]  # fmt: skip
    shown = ", ".join(_paint(_COLORS[kind], name, color) for kind, name in names)
    return f"{shown}; what the model is not trained to write is {marks}"


def rows_text(rows: Sequence[ShownRow], color: bool, boundaries: bool) -> Iterator[str]:
    """Lines of the rows."""
    for row in rows:
        yield ""
        yield _paint("1", row_title(row), color)
        for piece in row.pieces:
            name, *facts = piece_title(piece)
            yield ""
            yield f"  {_paint('1', name, color)}  {_paint('2', ' · '.join(facts), color)}"
            yield from _lines(styled(piece, boundaries), color)


def counts_text(summary: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Lines of the table of counts."""
    table = [["task", *(head for head, _, _ in COLUMNS)], *count_cells(summary)]
    yield from aligned(table)


def count_cells(summary: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The cells of each task, its name first; – where a number says nothing."""
    return [
        [
            task,
            *("–" if counts[key] is None else form.format(counts[key]) for _, key, form in COLUMNS),
        ]
        for task, counts in summary.items()
    ]


def _lines(parts: Sequence[Part], color: bool) -> Iterator[str]:
    line = _GUTTER
    for part in parts:
        first, *others = part.text.split("\n")
        line += _mark(part, first, color)
        for text in others:
            yield line
            line = _GUTTER + _mark(part, text, color)
    yield line


def _mark(part: Part, text: str, color: bool) -> str:
    if not text:
        return ""
    if color:
        codes = [_COLORS[part.kind], "" if part.in_loss else "2"]
        return _paint(";".join(filter(None, codes)), text, True)
    return text if part.in_loss or part.kind == "boundary" else f"⟦{text}⟧"


def _paint(codes: str, text: str, color: bool) -> str:
    return f"\x1b[{codes}m{text}\x1b[0m" if color and codes else text
