"""How one of our parameters stands in a tensor file of another project, and back.

Our projections keep their axes apart and multiply from the right: query (D, N, H), output
(N, H, D), gate (D, F). Files hold (out, in) matrices, heads merged. Rotary pairs are (i, i + H/2)
here and in Hugging Face's files; in Meta's and in GGUF they are neighbours (2i, 2i + 1), so the
rows of query and key are interleaved within each head. A mistake here loads without an error and
gives wrong text, so every kind is tested both ways against an independent reader.

Letters: D model, N heads, H head size, F ffn.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

import numpy as np


class Kind(Enum):
    """How a parameter's axes stand in the file."""

    SAME = "same"
    MATRIX = "ours (in, out), file (out, in)"
    HEADS_IN = "ours (D, N, H), file (N H, D)"
    HEADS_IN_INTERLEAVED = "the same with neighbouring rotary pairs"
    HEADS_OUT = "ours (N, H, D), file (D, N H)"


class Tensor(Protocol):
    """A tensor that is read by slices."""

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray: ...


def file_shape(kind: Kind, shape: Sequence[int]) -> tuple[int, ...]:
    """Shape in the file of a parameter of `shape`."""
    if kind == Kind.SAME:
        return tuple(shape)
    if kind == Kind.MATRIX:
        return shape[1], shape[0]
    if kind == Kind.HEADS_OUT:
        return shape[2], shape[0] * shape[1]
    return shape[1] * shape[2], shape[0]


def read_slice(
    kind: Kind, tensor: Tensor, shape: Sequence[int], index: Sequence[slice]
) -> np.ndarray:
    """`parameter[index]`, reading no more rows and columns of the file's tensor than it needs.

    Args:
      kind: of the parameter.
      tensor: in the file.
      shape: of the whole parameter.
      index: a slice of each axis.
    """
    index = [slice(*part.indices(size)) for part, size in zip(index, shape)]
    if kind == Kind.SAME:
        return tensor[tuple(index)]
    if kind == Kind.MATRIX:
        return tensor[index[1], index[0]].T
    heads, size = (index[0], shape[1]) if kind == Kind.HEADS_OUT else (index[1], shape[2])
    merged = slice(heads.start * size, heads.stop * size)
    if kind == Kind.HEADS_OUT:
        block = tensor[index[2], merged]
        return block.T.reshape(-1, size, block.shape[0])[:, index[1]]
    block = tensor[merged, index[0]]
    block = block.reshape(-1, size, block.shape[1])
    if kind == Kind.HEADS_IN_INTERLEAVED:
        block = block[:, _halves(size)]
    return block.transpose(2, 0, 1)[..., index[2]]


def to_file(kind: Kind, parameter: np.ndarray) -> np.ndarray:
    """A whole parameter as the file has it, contiguous."""
    if kind == Kind.SAME:
        found = parameter
    elif kind == Kind.MATRIX:
        found = parameter.T
    elif kind == Kind.HEADS_OUT:
        found = parameter.reshape(-1, parameter.shape[2]).T
    else:
        found = parameter.transpose(1, 2, 0)
        if kind == Kind.HEADS_IN_INTERLEAVED:
            found = found[:, np.argsort(_halves(found.shape[1]))]
        found = found.reshape(-1, found.shape[2])
    return np.ascontiguousarray(found)


def _halves(size: int) -> np.ndarray:
    """Rows of an interleaved head in the order of our halves: first members, then second."""
    return np.concatenate([np.arange(0, size, 2), np.arange(1, size, 2)])
