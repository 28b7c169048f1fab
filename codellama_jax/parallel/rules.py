"""One table from logical axes to mesh axes, for parameters and activations."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gin
import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from codellama_jax.errors import UserError
from codellama_jax.parallel.chips import Chip, chip_of
from codellama_jax.parallel.mesh import AXES

# "embed" is the width of a parameter, "width" that of an activation: parameters are sharded over
# fsdp and gathered layer by layer, activations are sharded over fsdp along the batch.
DEFAULT_RULES = {
    "batch": ("data", "fsdp"),
    "sequence": ("context",),
    "width": (),
    "embed": ("fsdp",),
    "heads": ("tensor",),
    "kv_heads": ("tensor",),
    "group": (),
    "head_dim": (),
    "ffn": ("tensor",),
    "vocab": ("tensor",),
    "layers": (),
    "joint": (),  # products of one input side by side
    "cached": (),  # columns of a cache
}


@gin.configurable
def axis_rules(
    overrides: Mapping[str, str | Sequence[str]] | None = None,
) -> dict[str, tuple[str, ...]]:
    """The rules table.

    Args:
      overrides: replaces single rows, each with one mesh axis or several.

    Raises:
      UserError: a row or a mesh axis that does not exist.
    """
    overrides = {
        name: (axes,) if isinstance(axes, str) else tuple(axes)
        for name, axes in (overrides or {}).items()
    }
    if unknown := sorted(set(overrides) - set(DEFAULT_RULES)):
        raise UserError(f"axis_rules: no logical axis {unknown[0]!r} in {sorted(DEFAULT_RULES)}")
    for name, axes in overrides.items():
        if unknown := [axis for axis in axes if axis not in AXES]:
            raise UserError(f"axis_rules: {name!r} names {unknown[0]!r}; mesh axes are {AXES}")
    return {**DEFAULT_RULES, **overrides}


def partition_spec(axes: Sequence[str], where: str = "an array") -> PartitionSpec:
    """Mesh layout of logical `axes`. Raises UserError when one mesh axis would be used twice."""
    rules = axis_rules()
    mapped = [rules[axis] for axis in axes]
    used = [mesh_axis for entry in mapped for mesh_axis in entry]
    if len(used) != len(set(used)):
        twice = next(axis for axis in used if used.count(axis) > 1)
        raise UserError(f"axis_rules lay {where} {tuple(axes)} on mesh axis {twice!r} twice")
    return PartitionSpec(*(entry or None for entry in mapped))


def named_sharding(
    mesh: Mesh | AbstractMesh, shape: Sequence[int], axes: Sequence[str], where: str
) -> NamedSharding:
    """Sharding of one array; raises UserError naming the dimension that does not divide."""
    spec = partition_spec(axes, where)
    rules = axis_rules()
    for size, axis in zip(shape, axes):
        shards = math.prod(mesh.shape[mesh_axis] for mesh_axis in rules[axis])
        if size % shards:
            raise UserError(
                f"{where}: dimension {axis!r} of size {size} does not divide over {shards} shards"
                f" (mesh axes {rules[axis]}); change the mesh or axis_rules"
            )
    return NamedSharding(mesh, spec)


def tree_shardings(mesh: Mesh | AbstractMesh, shapes: Any, axes: Any) -> Any:
    """Shardings of a tree of arrays or shapes, given the same tree of logical axes."""
    return jax.tree.map_with_path(
        lambda path, leaf, names: named_sharding(
            mesh, leaf.shape, names, jax.tree_util.keystr(path, simple=True, separator="/")
        ),
        shapes,
        axes,
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """Sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def constrain(x: jax.Array, *axes: str) -> jax.Array:
    """Lays an activation out by its logical axes on the mesh of `jax.set_mesh`, if there is one."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, partition_spec(axes))


def mesh_platform() -> str:
    """Platform of the mesh of `jax.set_mesh`, "tpu" or "cpu"; without one, of this machine.

    The mesh may be of devices that are not on this machine (compiling for a pod).
    """
    return _mesh_device().platform


def mesh_chip() -> Chip | None:
    """The chip of that mesh, or this machine's; None for one not in the table."""
    return chip_of(_mesh_device().device_kind)


def _mesh_device() -> jax.Device | jax.sharding.AbstractDevice:
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.abstract_device is None:
        return jax.devices()[0]
    return mesh.abstract_device


def on_one_cpu() -> bool:
    """Whether a program is for one CPU device, so that forms which only it needs cost no gather."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh_platform() == "cpu" and (mesh.empty or mesh.size == 1)
