"""How numbers and tables are written for people, in a terminal and in a report."""

import math
from collections.abc import Sequence


def number(value: float | None, digits: int = 3) -> str:
    """A number with `digits` decimals, – for one that is missing or not finite."""
    return "–" if not finite(value) else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """The same with its sign, for differences."""
    return "–" if not finite(value) else f"{value:+.{digits}f}".replace("-", "−")


def percent(share: float | None, digits: int = 1) -> str:
    """A share as a percentage."""
    return "–" if not finite(share) else f"{100 * share:.{digits}f} %"


def count(value: float | None) -> str:
    """A count with thousands separated, in millions and billions (10⁹) where it is large."""
    if not finite(value):
        return "–"
    for unit, name in ((1e9, " B"), (1e6, " M")):
        if abs(value) >= unit:
            return (
                f"{value / unit:.3g}{name}" if value / unit < 1000 else f"{value / unit:,.0f}{name}"
            )
    return f"{value:,.0f}"


def size(value: float) -> str:
    """Bytes in decimal units."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:,.1f} {name}"
    return f"{value:,.0f} B"


def scientific(value: float) -> str:
    """A round number as 1e4, others in full: rotary bases, learning rates."""
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def finite(value: float | None) -> bool:
    """Whether there is a number at all."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def plural(quantity: int, name: str) -> str:
    """1 phase, 2 phases."""
    return f"{quantity:,} {name}" + ("" if quantity == 1 else "s")


def aligned(table: Sequence[Sequence[str]], labels: int = 1) -> list[str]:
    """A line for each row; the first `labels` columns stand to the left, the others to the right.

    A row of fewer cells than the widest leaves its last columns empty.
    """
    columns = max(map(len, table))
    full = [[*row, *[""] * (columns - len(row))] for row in table]
    widths = [max(map(len, column)) for column in zip(*full)]
    return [
        "  ".join(
            cell.ljust(width) if n < labels else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in full
    ]
