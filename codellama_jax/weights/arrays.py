"""Arrays of a checkpoint on their devices, with few copies on the way.

Orbax reads a file into memory, copies that into a second, zeroed buffer and that onto the device,
for all arrays at once. Here the system maps the files, and a few parts are under way at a time, the
only memory it takes beside the arrays. The format is Orbax's.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gin
import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from orbax.checkpoint import type_handlers

_T = TypeVar("_T")
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
        context, turns = ts.Context(_CONTEXT), asyncio.Semaphore(self._parts_at_once)
        return await _all(
            _array(info, wanted, context, turns) for info, wanted in zip(infos, args or ())
        )


async def _array(
    info: type_handlers.ParamInfo,
    wanted: type_handlers.ArrayRestoreArgs,
    context: ts.Context,
    turns: asyncio.Semaphore,
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
        async with turns:
            part = await _part(stored, bounds)
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


async def _part(stored: ts.TensorStore, bounds: tuple) -> np.ndarray:
    """What an array holds from first to last index along each axis, zeros where it has none."""
    domain = ts.IndexDomain(
        inclusive_min=[first for first, _ in bounds], exclusive_max=[last for _, last in bounds]
    )
    common = domain.intersect(stored.domain)
    make = np.empty if common == domain else np.zeros
    part = make(domain.shape, stored.dtype.numpy_dtype)
    target = ts.array(part).translate_to[domain.origin] if bounds else ts.array(part)
    await target[common].write(stored[common])
    return part


def _on_devices(part: np.ndarray, dtype: Any, devices: list[jax.Device]) -> list[jax.Array]:
    part = part.astype(dtype or part.dtype, copy=False)
    return jax.block_until_ready([jax.device_put(part, device) for device in devices])
