"""Rows of embedding and head for ids that the weights do not have (32,000 -> 32,016)."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict

from codellama_jax.model import LlamaConfig, Params, param_axes
from codellama_jax.parallel import partition_spec
from codellama_jax.weights.paths import flat

Growth = Literal["mean", "zeros"]


def fill_new_ids(params: Params, config: LlamaConfig, first: int, growth: Growth) -> Params:
    """Gives the new ids, whose rows are zeros, what `growth` says.

    Args:
      params: laid out on a mesh; they are given up.
      config: of the grown model.
      first: the first new id.
      growth: "mean" of the rows before it, or "zeros".
    """
    if growth == "zeros":
        return params
    leaves, axes = flat(params), flat(param_axes(config))
    for path, leaf in leaves.items():
        if "vocab" in axes[path]:
            leaves[path] = _filled(leaf, axes[path], first)
    return unflatten_dict(leaves, sep="/")


def _filled(leaf: jax.Array, axes: tuple[str, ...], first: int) -> jax.Array:
    axis = axes.index("vocab")
    # Every device that sums sums over all ids in one order: the mean is the same on any mesh.
    spec = list(partition_spec(axes))
    spec[axis] = None
    whole = jax.sharding.NamedSharding(leaf.sharding.mesh, jax.sharding.PartitionSpec(*spec))

    @functools.partial(jax.jit, donate_argnums=0, out_shardings=leaf.sharding)
    def fill(rows: jax.Array) -> jax.Array:
        old = jax.lax.slice_in_dim(jax.lax.with_sharding_constraint(rows, whole), 0, first, 1, axis)
        mean = jnp.mean(old, axis, jnp.float32, keepdims=True).astype(rows.dtype)
        ids = jax.lax.broadcasted_iota(jnp.int32, rows.shape, axis)
        return jnp.where(ids < first, rows, mean)

    return fill(leaf)
