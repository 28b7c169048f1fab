"""A piece of a row as styled parts, which the terminal and the page render alike."""

from collections.abc import Sequence
from typing import NamedTuple

from codellama_jax.data.inspection import ShownPiece, ShownRow

BOUNDARY = "│"  # between two tokens


class Part(NamedTuple):
    """Text in one style.

    Attributes:
      kind: "control", "boundary", or the token's part: "text", "prefix", "middle", "suffix".
      in_loss: whether the model is trained to write it.
    """

    kind: str
    in_loss: bool
    text: str


def styled(piece: ShownPiece, boundaries: bool) -> list[Part]:
    """The tokens of a piece; neighbours of one style are one part.

    Args:
      piece: of a row.
      boundaries: whether to mark where tokens meet.
    """
    parts: list[Part] = []
    for n, token in enumerate(piece.tokens):
        kind = "control" if token.control else token.part
        if boundaries and n and not (token.control or piece.tokens[n - 1].control):
            parts.append(Part("boundary", token.in_loss, BOUNDARY))
        text = token.control or visible(token.text)
        if parts and parts[-1][:2] == (kind, token.in_loss) and kind != "control":
            text = parts.pop().text + text
        parts.append(Part(kind, token.in_loss, text))
    return [part for part in parts if part.text]


def visible(text: str) -> str:
    """`text` that no terminal obeys and no page hides: control characters as pictures of them.

    Signs that turn the direction of writing would hide code from a reader, too.
    """
    return "".join(map(_visible, text.encode("utf-8", "replace").decode("utf-8")))


def _visible(sign: str) -> str:
    code = ord(sign)
    if sign in "\n\t":
        return sign
    if code < 0x20:
        return chr(0x2400 + code)
    hidden = (
        0x7F <= code < 0xA0
        or code in (0x061C, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF)
        or 0x202A <= code <= 0x202E
        or 0x2066 <= code <= 0x2069
    )
    return f"⟨U+{code:04X}⟩" if hidden else sign


def row_title(row: ShownRow) -> str:
    """One line on a row."""
    count = len(row.pieces)
    return (
        f"row {row.number:,} of task {row.task}: {row.filled:,} of {row.row_length:,} positions,"
        f" {count} piece{'' if count == 1 else 's'}"
    )


def piece_title(piece: ShownPiece) -> Sequence[str]:
    """What is said of a piece, the document's name first."""
    name = f"{piece.source or 'unknown source'}: {piece.path or f'document {piece.document}'}"
    facts = [visible(" ".join(name.split())), f"segment {piece.segment}"]
    if piece.language:
        facts.append(visible(piece.language))
    facts.append(f"epoch {piece.epoch}")
    if not piece.tokens:
        return [*facts, "could not be used"]
    facts.append(f"positions {piece.start:,}–{piece.stop - 1:,}")
    facts.append(piece.order)
    if not piece.whole:
        facts.append(f"cut, from its position {piece.first:,} on")
    if silent := sum(not token.in_loss for token in piece.tokens[1:]):
        facts.append(f"no loss on {silent:,} of {len(piece.tokens) - 1:,} tokens")
    return facts
