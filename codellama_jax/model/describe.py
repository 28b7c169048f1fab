"""Every parameter of a model and how a mesh would hold it, without allocating any of it."""

import math
from typing import Any

import gin
import jax
import numpy as np

from codellama_jax.model.config import LlamaConfig
from codellama_jax.model.functional import param_axes, param_shapes
from codellama_jax.model.sizes import recognise
from codellama_jax.parallel import make_mesh, tree_shardings
from codellama_jax.writing import aligned


@gin.configurable
def describe(devices: int = 1) -> dict[str, Any]:
    """Prints shape, dtype, logical and mesh axes and bytes per device of every parameter.

    Model, mesh and rules are gin's LlamaConfig, make_mesh and axis_rules.

    Args:
      devices: of the mesh.

    Returns:
      {"parameters": rows of the table, "totals": ...}, bytes being those of the parameters alone.

    Raises:
      UserError: a mesh that does not divide the devices or a parameter, naming its dimension.
    """
    described = describe_layout(LlamaConfig(), make_mesh(devices=devices))
    _print(described["parameters"], described["totals"])
    return described


def describe_layout(
    config: LlamaConfig, mesh: jax.sharding.Mesh | jax.sharding.AbstractMesh
) -> dict[str, Any]:
    """What `describe` returns, of any model and mesh. Raises UserError as it does."""
    shapes, axes = param_shapes(config), param_axes(config)
    shardings = tree_shardings(mesh, shapes, axes)
    rows: list[dict[str, Any]] = []

    def add(path: Any, leaf: jax.ShapeDtypeStruct, sharding: Any, names: tuple[str, ...]) -> None:
        part = sharding.shard_shape(leaf.shape)
        rows.append(
            {
                "name": jax.tree_util.keystr(path, simple=True, separator="/"),
                "shape": list(leaf.shape),
                "dtype": np.dtype(leaf.dtype).name,
                "axes": list(names),
                "mesh": [_axes(entry) for entry in sharding.spec],
                "device_shape": list(part),
                "device_bytes": math.prod(part) * np.dtype(leaf.dtype).itemsize,
            }
        )

    jax.tree.map_with_path(add, shapes, shardings, axes)
    totals = {
        "parameters": config.num_parameters,
        "bytes": sum(math.prod(r["shape"]) * np.dtype(r["dtype"]).itemsize for r in rows),
        "device_bytes": sum(row["device_bytes"] for row in rows),
        "mesh": dict(mesh.shape),
        "published_sizes": recognise(config),
    }
    return {"parameters": rows, "totals": totals}


def _axes(entry: str | tuple[str, ...] | None) -> list[str]:
    """Mesh axes of one dimension; JAX writes a single one without its tuple."""
    return [entry] if isinstance(entry, str) else list(entry or ())


def _print(rows: list[dict[str, Any]], totals: dict[str, Any]) -> None:
    table = [("parameter", "shape", "dtype", "axes over the mesh", "a device", "MiB a device")]
    for row in rows:
        laid = [
            f"{name}:{'+'.join(over)}" if over else name
            for name, over in zip(row["axes"], row["mesh"])
        ]
        table.append(
            (
                row["name"],
                "x".join(map(str, row["shape"])),
                row["dtype"],
                " ".join(laid),
                "x".join(map(str, row["device_shape"])),
                f"{row['device_bytes'] / 2**20:,.1f}",
            )
        )
    print("\n".join(aligned(table, labels=len(table[0]) - 1)))
    mesh = " x ".join(f"{axis} {size}" for axis, size in totals["mesh"].items())
    known = f" ({', '.join(totals['published_sizes'])})" if totals["published_sizes"] else ""
    print(
        f"{totals['parameters']:,} parameters{known}, {totals['bytes'] / 2**30:,.1f} GiB; on mesh"
        f" {mesh}: {totals['device_bytes'] / 2**30:,.2f} GiB a device"
    )
