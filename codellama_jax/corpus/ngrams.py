"""Hashes of runs of consecutive tokens, which de-duplication and decontamination compare."""

import zlib
from collections.abc import Collection, Sequence

import numpy as np


def run_hashes(tokens: Sequence[str], sizes: Collection[int]) -> dict[int, np.ndarray]:
    """64-bit hashes of every run of so many tokens, in the order of the text.

    Args:
      tokens: words, marks, whatever is compared; without lone surrogates.
      sizes: lengths of runs. One pass makes them all, as a run's hash grows token by token.

    Returns:
      {size: uint64 hashes}; none for sizes beyond the number of tokens.
    """
    known = {token: zlib.crc32(token.encode()) for token in set(tokens)}
    values = np.fromiter(map(known.__getitem__, tokens), np.uint64, len(tokens))
    found = {size: np.zeros(0, np.uint64) for size in sizes}
    mixed = np.zeros(len(values), np.uint64)
    for i in range(min(max(sizes), len(values))):
        mixed = mixed[: len(values) - i] * np.uint64(0x9E3779B97F4A7C15) + values[i:]
        mixed ^= mixed >> np.uint64(29)
        if i + 1 in found:
            found[i + 1] = mixed
    return found
