"""Documents to rows: long documents are cut, short ones are kept whole and packed best-fit.

Concatenate-then-split cuts a document wherever a row happens to end, and a cut document cannot be
infilled (paper section 2.3). Best-fit-decreasing (Ding et al. 2024, arXiv 2404.10830) cuts only
documents longer than a row and leaves under one percent of the row unused.
"""

from typing import NamedTuple

import numpy as np


class Piece(NamedTuple):
    """Positions [start, stop) of a document; `whole` when that is all of it."""

    document: int
    start: int
    stop: int
    whole: bool

    @property
    def length(self) -> int:
        return self.stop - self.start


def pack(lengths: np.ndarray, row_length: int) -> list[list[Piece]]:
    """Packs documents into rows of `row_length` positions.

    Args:
      lengths: positions each document takes; documents of length 0 are left out.
      row_length: positions of a row.

    Returns:
      Rows; every position of every document stands in exactly one. The order of rows and pieces
      depends on nothing but the arguments.
    """
    rows: list[list[Piece]] = []
    rest: list[Piece] = []
    for document, length in enumerate(lengths.tolist()):
        for start in range(0, length, row_length):
            stop = min(start + row_length, length)
            piece = Piece(document, start, stop, stop - start == length)
            if piece.length == row_length:
                rows.append([piece])
            else:
                rest.append(piece)
    rest.sort(key=lambda piece: -piece.length)
    open_rows: list[list[list[Piece]]] = [[] for _ in range(row_length + 1)]  # by free positions
    nonempty = 0  # bit f is set when open_rows[f] has rows
    for piece in rest:
        fitting = nonempty >> piece.length
        if fitting:
            free = piece.length + (fitting & -fitting).bit_length() - 1
            row = open_rows[free].pop()
            if not open_rows[free]:
                nonempty ^= 1 << free
        else:
            free, row = row_length, []
            rows.append(row)
        row.append(piece)
        free -= piece.length
        open_rows[free].append(row)
        nonempty |= 1 << free
    return rows
