"""A keyed permutation of range(size), evaluated at one index without listing the others."""

import hashlib


def permuted(index: int, size: int, key: str) -> int:
    """Where `index` goes in the permutation of range(size) that `key` names.

    A balanced Feistel network of four keyed rounds on the smallest even number of bits that holds
    `size`; a value that falls outside walks on until it is inside, which keeps it a permutation
    (Black and Rogaway 2002). O(1) in `size`, so any row of any epoch is found at once.
    """
    if not 0 <= index < size:
        raise IndexError(f"index {index} is outside range({size})")
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(4):
            digest = hashlib.blake2b(f"{key}/{turn}/{right}".encode(), digest_size=8).digest()
            left, right = right, left ^ (int.from_bytes(digest, "little") & mask)
        index = left << half | right
        if index < size:
            return index
