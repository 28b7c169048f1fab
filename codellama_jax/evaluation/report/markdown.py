"""Markdown of a report; its figures are SVG files beside it."""

import re
from collections.abc import Iterator, Sequence

from codellama_jax.evaluation.report.blocks import (
    Block,
    Cell,
    Figure,
    Fold,
    Gallery,
    Listing,
    Section,
    Table,
    Text,
)


def markdown(
    title: str, scale: str, summary: Sequence[str], sections: Sequence[Section], files: str
) -> str:
    """The report's text; `files` is the folder of the figures, relative to it."""
    parts = [f"# {escape(title)}", f"*{escape(scale)}*", escape(" ".join(summary))]
    for section in sections:
        parts.append(f"## {escape(section.title)}")
        parts += [text for block in section.blocks for text in _render(block, files)]
    return "\n\n".join(parts) + "\n"


def figures(blocks: Sequence[Block]) -> Iterator[Figure]:
    """Every figure among blocks, folded ones too."""
    for block in blocks:
        if isinstance(block, Figure):
            yield block
        elif isinstance(block, Fold):
            yield from figures(block.blocks)


def escape(text: str) -> str:
    """Text that Markdown and the HTML in it leave alone."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|])", r"\\\1", text).replace("\n", " ")


def _render(block: Block, files: str) -> Iterator[str]:
    if isinstance(block, Text):
        text = escape(block.text)
        yield f"> {text}" if block.kind in ("missing", "finding") else text
    elif isinstance(block, Table):
        yield _table(block)
    elif isinstance(block, Figure):
        yield f"![{escape(block.caption)}]({files}/{block.name}.svg)"
        yield f"*{escape(block.caption)}*"
    elif isinstance(block, Fold):
        yield f"### {escape(block.title)}"
        for inner in block.blocks:
            yield from _render(inner, files)
    elif isinstance(block, Gallery):
        for listing in block.listings:
            yield from _listing(listing)
    else:
        yield from _listing(block)


def _table(table: Table) -> str:
    heads = [f"{escape(name)} ({escape(unit)})" if unit and name else escape(name or unit)
             for name, unit in table.columns]  # fmt: skip
    rules = [":--" if n < table.labels else "--:" for n in range(len(heads))]
    lines = [heads, rules, *[[_cell(cell) for cell in row] for row in table.rows]]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{escape(table.caption)}\n\n{rows}"


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    text = f"**{text}**" if cell.best else text
    detail = escape(cell.detail.replace("\n", "; "))
    return f"{text} ({detail})" if detail else text


def _listing(listing: Listing) -> Iterator[str]:
    """A fence cannot colour: what the model wrote stands between ⟦ and ⟧."""
    marked = {"new", "hit", "miss"}
    text = ""
    for style, part in listing.parts:
        if style == "expected":
            text += f"\n⟦expected: {part}⟧"
        else:
            text += f"⟦{part}⟧" if style in marked else part
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    note = f" ({escape(listing.note)})" if listing.note else ""
    yield f"**{escape(listing.title)}**{note}"
    yield f"{fence}text\n{text}\n{fence}"
