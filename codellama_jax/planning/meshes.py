"""The mesh of a phase on a slice: its own, or the nearest where the slice has other chips."""

import math
from collections.abc import Iterator, Sequence

import jax

from codellama_jax.data import check_batch
from codellama_jax.errors import UserError
from codellama_jax.parallel import AXES, make_mesh
from codellama_jax.training import Phase


def mesh_of(phase: Phase, devices: Sequence[jax.Device], slices: int) -> jax.sharding.Mesh:
    """The phase's mesh over these devices; to be called in the gin scope of its name.

    Where the configured sizes multiply to another number of devices, tensor stays, the slices go
    along data, fsdp takes as many as there are rows for, and context what remains.

    Raises:
      UserError: no such mesh.
    """
    asked = make_mesh(devices=0).shape
    if math.prod(asked.values()) == len(devices) and not asked["data"] % slices:
        return make_mesh(devices=devices)
    try:
        mesh = make_mesh(devices=devices)
        check_batch(phase.batch_size, phase.sequence_length, mesh)
        return mesh
    except UserError:
        pass
    sizes = next(meshes(len(devices), slices, phase.batch_size, tensor=asked["tensor"]), None)
    if sizes is None:
        raise UserError(
            f"no mesh of {len(devices)} devices with make_mesh.tensor ="
            f" {asked['tensor']} on {slices} slices: set make_mesh's sizes"
        )
    return make_mesh(**sizes, devices=devices)


def meshes(devices: int, slices: int, rows: int, tensor: int) -> Iterator[dict[str, int]]:
    """Meshes with slices along data, in the order of their context axes, the shortest first.

    Args:
      devices: of all slices.
      slices: along data; or more, where a slice holds several replicas of the model.
      rows: of a batch, or of a micro-batch, which data × fsdp divides.
      tensor: size of that axis.
    """
    left, rest = divmod(devices, slices * tensor)
    if rest:
        return
    for context in range(1, left + 1):
        if left % context == 0 and rows % (slices * left // context) == 0:
            yield dict(zip(AXES, (slices, left // context, context, tensor)))
