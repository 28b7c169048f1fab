"""The gradient of a batch taken in parts, one after another: memory for one part's activations.

Letters: B rows of the batch, M parts, R shards of rows.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codellama_jax.data import Batch
from codellama_jax.errors import UserError
from codellama_jax.model import Params
from codellama_jax.parallel import partition_spec

# (params, rows) -> the rows' share of the batch's loss, and something of each row, (B,).
Objective = Callable[[Params, Batch], tuple[jax.Array, jax.Array]]


def accumulated_gradients(
    objective: Objective, params: Params, batch: Batch, parts: int, mesh: Mesh, layout: Any
) -> tuple[Params, jax.Array]:
    """Gradients of the sum of an objective over parts of the batch.

    Args:
      objective: of some rows; its sum over the parts is that of the batch.
      params: parameters.
      batch: arrays (B, ...).
      parts: M; every device takes an M-th of its own rows at a time, so that no row moves.
      mesh: the batch is laid out on it.
      layout: shardings of the parameters, which the sums of their gradients have too.

    Returns:
      The gradients, float32, and what the objective says of each row, (B,).

    Raises:
      UserError: the rows do not divide.
    """
    differentiated = jax.value_and_grad(objective, has_aux=True)
    if parts == 1:
        (_, of_rows), gradients = differentiated(params, batch)
        return optax.tree.cast(gradients, jnp.float32), of_rows
    shards = math.prod(mesh.shape[axis] for axis in partition_spec(("batch",))[0] or ())

    def add(sums: Params, rows: Batch) -> tuple[Params, jax.Array]:
        (_, of_rows), gradients = differentiated(params, rows)
        sums = jax.tree.map(lambda total, part: total + part.astype(jnp.float32), sums, gradients)
        return jax.lax.with_sharding_constraint(sums, layout), of_rows

    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), params)
    zeros = jax.lax.with_sharding_constraint(zeros, layout)
    split = {name: _split(array, parts, shards, mesh) for name, array in batch.items()}
    gradients, of_rows = jax.lax.scan(add, zeros, split)
    return gradients, jnp.moveaxis(of_rows.reshape(parts, shards, -1), 0, 1).reshape(-1)


def _split(x: jax.Array, parts: int, shards: int, mesh: Mesh) -> jax.Array:
    """(B, ...) as (M, B / M, ...): part m has the m-th piece of every shard's rows."""
    if x.shape[0] % (parts * shards):
        raise UserError(
            f"a batch of {x.shape[0]} rows does not divide into make_train_step.micro_batches ="
            f" {parts} parts of each of {shards} shards (mesh axes data, fsdp): set"
            f" Phase.batch_size to a multiple of {parts * shards}, or fewer micro_batches"
        )
    pieces = jnp.moveaxis(x.reshape(shards, parts, -1, *x.shape[1:]), 1, 0)
    rows = partition_spec(("batch", "sequence")[: x.ndim])
    return jax.lax.with_sharding_constraint(
        pieces.reshape(parts, -1, *x.shape[1:]), NamedSharding(mesh, PartitionSpec(None, *rows))
    )
