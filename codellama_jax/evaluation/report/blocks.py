"""What a report is made of; HTML and Markdown render the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """Of a table: its text, smaller lines below it, the colour of a phase, whether it is a best."""

    text: str
    detail: str = ""
    color: str = ""
    best: bool = False


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` is "plain", "finding" (computed from the numbers) or "missing"."""

    text: str
    kind: str = "plain"


@dataclass(frozen=True)
class Table:
    """Columns are (name, unit); the first `labels` columns are left-aligned, the others right."""

    caption: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[Cell]]
    labels: int = 1
    rule_before: int | None = None  # number of a row that a thin rule stands above


@dataclass(frozen=True)
class Figure:
    """A drawing; `name` is that of its file beside the Markdown, `svg` begins with <svg."""

    name: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Listing:
    """Text of a model or of the corpus in parts (style, text).

    Styles: "context" (given to the model), "new" (written by it), "hit", "miss" (written and
    compared), "expected" (what should have been written), "note" (ours), "plain".
    """

    title: str
    parts: Sequence[tuple[str, str]]
    color: str = ""
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """Listings side by side."""

    listings: Sequence[Listing]


@dataclass(frozen=True)
class Fold:
    """Blocks behind a line that opens them."""

    title: str
    blocks: Sequence["Block"]
    opened: bool = False


Block = Text | Table | Figure | Listing | Gallery | Fold


@dataclass(frozen=True)
class Section:
    """A part of the report with a title; `anchor` links to it."""

    title: str
    anchor: str
    blocks: list[Block] = field(default_factory=list)


def printable(text: str, limit: int = 4000) -> str:
    """`text` fit for a page: control characters made visible, lone surrogates replaced, cut."""
    shown = text[:limit].encode("utf-8", "replace").decode("utf-8")
    shown = "".join(
        chr(0x2400 + ord(c)) if ord(c) < 32 and c not in "\n\t" else "�" if ord(c) == 127 else c
        for c in shown.replace("\r\n", "\n")
    )
    return shown if len(text) <= limit else f"{shown} … [{len(text) - limit:,} characters more]"
