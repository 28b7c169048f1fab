"""The training state: parameters, moments, step and the guard's memory, laid out on the mesh."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from codellama_jax.model import LlamaConfig, Params, init_params, param_axes, param_shapes
from codellama_jax.parallel import replicated, tree_shardings
from codellama_jax.training.guard import Guard, GuardState


class TrainState(NamedTuple):
    """params and optimizer moments share their sharding; step is an int32 scalar.

    step counts skipped batches, the optimizer's own count the updates.
    """

    params: Params
    optimizer: optax.OptState
    step: jax.Array
    guard: GuardState


def state_shardings(
    config: LlamaConfig, optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainState:
    """Sharding of every array of the state. Raises UserError where a dimension does not divide."""
    shapes = param_shapes(config)
    params = tree_shardings(mesh, shapes, param_axes(config))
    moments = optax.tree_utils.tree_map_params(
        optimizer,
        lambda _, sharding: sharding,
        jax.eval_shape(optimizer.init, shapes),
        params,
        transform_non_params=lambda _: replicated(mesh),
    )
    alone = replicated(mesh)
    return TrainState(params, moments, alone, GuardState(alone, alone, alone))


def abstract_state(
    config: LlamaConfig, optimizer: optax.GradientTransformation, mesh: Mesh, guard: Guard
) -> TrainState:
    """The state as jax.ShapeDtypeStruct with shardings; allocates nothing."""
    shapes = jax.eval_shape(lambda: _fresh(config, optimizer, guard, 0))
    shardings = state_shardings(config, optimizer, mesh)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        shardings,
    )


def init_state(
    config: LlamaConfig,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    guard: Guard,
    seed: int,
) -> TrainState:
    """A fresh state, created in place on the mesh."""
    shardings = state_shardings(config, optimizer, mesh)
    return jax.jit(lambda: _fresh(config, optimizer, guard, seed), out_shardings=shardings)()


def state_from_params(
    config: LlamaConfig,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    guard: Guard,
    params: Params,
) -> TrainState:
    """A state at step 0 over given parameters: how a phase is entered from its parent."""
    shardings = state_shardings(config, optimizer, mesh)
    moments = jax.jit(optimizer.init, out_shardings=shardings.optimizer)(params)
    step = jax.device_put(jnp.zeros((), jnp.int32), shardings.step)
    memory = jax.jit(guard.fresh, out_shardings=shardings.guard)()
    return TrainState(params, moments, step, memory)


def _fresh(
    config: LlamaConfig, optimizer: optax.GradientTransformation, guard: Guard, seed: int
) -> TrainState:
    params = init_params(config, seed)
    return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32), guard.fresh())
