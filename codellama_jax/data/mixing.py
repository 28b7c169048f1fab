"""Which task a row comes from: a fixed cycle of rows that holds each task at its rate."""

from collections.abc import Mapping

import numpy as np

CYCLE = 10_000  # rows; rates are kept to a ten-thousandth, exactly, in every cycle


class MixingCycle:
    """Spreads tasks evenly over a cycle of rows.

    Args:
      rates: of each task's rows, in any unit.

    Row r belongs to task `task_of[r % CYCLE]`; every prefix of the stream is within a row or two
    of the asked rates.
    """

    def __init__(self, rates: Mapping[str, float]):
        self.tasks = tuple(rates)
        asked = np.array([rates[task] for task in self.tasks], np.float64)
        if not len(asked) or not np.all(np.isfinite(asked)) or np.any(asked <= 0):
            raise ValueError(f"mixing rates must be positive numbers, got {dict(rates)}")
        self.counts = _largest_remainder(asked / asked.sum(), CYCLE)
        due = [
            ((k + 0.5) / count, n, k) for n, count in enumerate(self.counts) for k in range(count)
        ]
        order = sorted(due)
        self._task = np.array([n for _, n, _ in order])
        self._rank = np.array([k for _, _, k in order])

    def locate(self, row: int) -> tuple[int, int]:
        """Number of the row's task, and the row's number within that task."""
        cycle, place = divmod(row, CYCLE)
        task = int(self._task[place])
        return task, cycle * int(self.counts[task]) + int(self._rank[place])


def _largest_remainder(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers in proportion to `shares` that add to `total`, none of them zero."""
    counts = np.maximum(1, np.floor(shares * total)).astype(int)
    while counts.sum() != total:
        gap = shares * total - counts
        if counts.sum() < total:
            counts[int(np.argmax(gap))] += 1
        else:
            counts[int(np.argmin(np.where(counts > 1, gap, np.inf)))] -= 1
    return counts
