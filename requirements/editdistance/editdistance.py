"""The one function of `editdistance` that seqio calls, to suggest a task for a misspelt name.

The package itself has no wheel for Python 3.13, and building it takes a C++ compiler and
Python's headers, which a fresh machine lacks.
"""

from collections.abc import Hashable, Sequence


def eval(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The Levenshtein distance between `a` and `b`: insertions, deletions and substitutions."""
    row = list(range(len(b) + 1))  # distances of a[:i] to every prefix of b
    for i, left in enumerate(a, 1):
        corner, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            substituted = corner + (left != right)
            corner = row[j]
            row[j] = min(substituted, row[j] + 1, row[j - 1] + 1)
    return row[-1]
