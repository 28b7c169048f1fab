"""Arrays of a checkpoint on their devices, with few copies on the way.

Orbax reads a file into memory, copies that into a second, zeroed buffer and that onto the device,
for all arrays at once. Here the system maps the files, and a few parts are under way at a time, in
memory that is used again: fresh memory costs more than what is copied into it. The format is
Orbax's.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gin
import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from orbax.checkpoint import type_handlers

_T = TypeVar("_T")
_ALIGNED = 64  # bytes: memory on such a boundary is good enough for XLA
# Orbax's own limit of its index nodes; the files are mapped instead of read.
_CONTEXT = {
    "cache_pool#ocdbt": {"total_bytes_limit": 100_000_000},
    "file_io_mode": {"mode": "memmap"},
}


@gin.configurable
def restore_arrays(folder: Path, like: Any, strict: bool, parts_at_once: int = 4) -> Any:
    """A tree of arrays that Orbax wrote, laid out as asked, whatever mesh wrote it.

    Args:
      folder: of the tree.
      like: jax.ShapeDtypeStruct with shardings, in a tree of the same structure.
      strict: whether the shapes must be those that were written; otherwise an array is cut, or
        filled up with zeros.
      parts_at_once: devices' parts of arrays read at a time; each is held twice until it is there.

    Raises:
      ValueError, KeyError, OSError: files that are not there or not of this tree.
    """
    registry = type_handlers.create_type_handler_registry((jax.Array, _Arrays(parts_at_once)))
    handler = ocp.PyTreeCheckpointHandler(type_handler_registry=registry)
    layouts = ocp.checkpoint_utils.construct_restore_args(like, strict=strict)
    arguments = ocp.args.PyTreeRestore(like, restore_args=layouts)
    with ocp.Checkpointer(handler) as checkpointer:
        return checkpointer.restore(folder, args=arguments)


class _Arrays(type_handlers.ArrayHandler):
    """How Orbax is told to restore a jax.Array."""

    def __init__(self, parts_at_once: int):
        super().__init__()
        self._parts_at_once = parts_at_once

    async def deserialize(
        self,
        infos: Sequence[type_handlers.ParamInfo],
        args: Sequence[type_handlers.ArrayRestoreArgs] | None = None,
    ) -> Sequence[jax.Array]:
        context, desks = ts.Context(_CONTEXT), _Desks(self._parts_at_once)
        return await _all(
            _array(info, wanted, context, desks) for info, wanted in zip(infos, args or ())
        )


class _Desks:
    """Memory for so many parts under way, each piece as large as the largest part it has held."""

    def __init__(self, number: int):
        self._turns = asyncio.Semaphore(number)
        self._free = [np.empty(0, np.uint8)] * number

    @contextlib.asynccontextmanager
    async def room(self, shape: tuple[int, ...], dtype: np.dtype) -> AsyncIterator[np.ndarray]:
        """An array in memory that nobody else uses meanwhile; what it holds is left over."""
        size = math.prod(shape) * dtype.itemsize
        async with self._turns:
            memory = self._free.pop()
            if memory.size < size + 2 * _ALIGNED:
                memory = np.empty(size + 2 * _ALIGNED, np.uint8)
            try:
                # Off the boundary at which XLA would take the memory itself for a CPU's array
                # instead of a copy, also because such an array cannot be donated.
                first = -memory.ctypes.data % _ALIGNED + dtype.itemsize
                yield memory[first : first + size].view(dtype).reshape(shape)
            finally:
                self._free.append(memory)


async def _array(
    info: type_handlers.ParamInfo,
    wanted: type_handlers.ArrayRestoreArgs,
    context: ts.Context,
    desks: _Desks,
) -> jax.Array:
    path = {"driver": "ocdbt", "base": f"file://{info.parent_dir}", "path": f"{info.name}/"}
    spec = {"driver": "zarr3" if info.use_zarr3 else "zarr", "kvstore": path}
    stored = await ts.open(spec, open=True, read=True, context=context)
    shape = tuple(wanted.global_shape)
    if wanted.strict and shape != stored.shape:
        raise ValueError(f"{info.name} has the shape {stored.shape} instead of {shape}")
    places: dict[tuple, list[jax.Device]] = {}
    for device, index in wanted.sharding.addressable_devices_indices_map(shape).items():
        bounds = tuple(part.indices(size)[:2] for part, size in zip(index, shape))
        places.setdefault(bounds, []).append(device)

    async def of(bounds: tuple, devices: list[jax.Device]) -> list[jax.Array]:
        part_shape = tuple(last - first for first, last in bounds)
        async with desks.room(part_shape, stored.dtype.numpy_dtype) as part:
            await _read(stored, bounds, part)
            return await asyncio.to_thread(_on_devices, part, wanted.dtype, devices)

    parts = await _all(of(*place) for place in places.items())
    return jax.make_array_from_single_device_arrays(
        shape, wanted.sharding, [array for arrays in parts for array in arrays]
    )


async def _all(work: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Results of all; the first error only when nothing is under way any more."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for result in done:
        if isinstance(result, BaseException):
            raise result
    return done


async def _read(stored: ts.TensorStore, bounds: tuple, part: np.ndarray) -> None:
    """Reads what an array holds from first to last index along each axis, zeros where it ends."""
    domain = ts.IndexDomain(
        inclusive_min=[first for first, _ in bounds], exclusive_max=[last for _, last in bounds]
    )
    common = domain.intersect(stored.domain)
    if common != domain:
        part[...] = 0
    target = ts.array(part).translate_to[domain.origin] if bounds else ts.array(part)
    await target[common].write(stored[common])


def _on_devices(part: np.ndarray, dtype: Any, devices: list[jax.Device]) -> list[jax.Array]:
    part = part.astype(dtype or part.dtype, copy=False)
    return jax.block_until_ready([jax.device_put(part, device) for device in devices])
