"""One optimizer step, jitted over the mesh."""

from collections.abc import Callable

import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from codellama_jax.data import Batch
from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig, Params
from codellama_jax.parallel import compiler_options, replicated
from codellama_jax.training.accumulation import accumulated_gradients
from codellama_jax.training.guard import Guard
from codellama_jax.training.loss import batch_losses
from codellama_jax.training.state import TrainState, state_shardings

Metrics = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch, float], tuple[TrainState, Metrics]]


@gin.configurable
def make_train_step(
    config: LlamaConfig,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    guard: Guard,
    byte_lengths: np.ndarray,
    micro_batches: int = 1,
) -> TrainStep:
    """The jitted step; it donates the state.

    Nothing of the schedule or the mixture is compiled in: phases of one model and batch shape
    share one program.

    Args:
      config: of the model.
      optimizer: from `make_optimizer`.
      mesh: the step's arrays are laid out on it.
      guard: which updates are not applied.
      byte_lengths: int32 (V,), bytes of text each id stands for.
      micro_batches: parts of the batch whose gradients are taken one after another and added up;
        the step is that of the whole batch, with the activations of one part.

    Returns:
      step(state, batch, learning_rate) -> (state, metrics). Metrics are float32: loss (nats a
      token), gradient_norm, parameter_norm after the step, and of each row its summed loss,
      row_loss, its tokens with loss, row_tokens, and the bytes these stand for, row_bytes, all
      (B,), with the number of its task, row_task int32 (B,); and those of `Guard.judge`.

    Raises:
      UserError: micro_batches below 1; and, from the step, rows that do not divide into them.
    """
    if micro_batches < 1:
        raise UserError(f"make_train_step.micro_batches = {micro_batches}: give 1 or more")
    shardings = state_shardings(config, optimizer, mesh)

    def step(
        state: TrainState, batch: Batch, learning_rate: jax.Array
    ) -> tuple[TrainState, Metrics]:
        tokens = jnp.maximum(jnp.sum(batch["weights"]), 1.0)

        def objective(params: Params, rows: Batch) -> tuple[jax.Array, jax.Array]:
            total, row_loss = batch_losses(config, params, rows)
            return total / tokens, row_loss

        # Gradients, of the whole batch's mean.
        gradients, row_loss = accumulated_gradients(
            objective, state.params, batch, micro_batches, mesh, shardings.params
        )
        loss, gradient_norm = jnp.sum(row_loss) / tokens, optax.global_norm(gradients)

        # The update, unless the guard refuses it.
        accept, guarded, verdict = guard.judge(state.guard, loss, gradient_norm)

        def update(params: Params, moments: optax.OptState) -> tuple[Params, optax.OptState]:
            updates, moments = optimizer.update(gradients, moments, params)
            updates = jax.tree.map(lambda change: -learning_rate * change, updates)
            return optax.apply_updates(params, updates), moments

        # A branch: to choose between old and new element by element would hold both, 16 MB more for
        # a leaf of 16 MB on a CPU, 2026-11-22.
        params, moments = jax.lax.cond(
            accept, update, lambda *kept: kept, state.params, state.optimizer
        )

        spelt = jnp.asarray(byte_lengths, jnp.float32)[batch["targets"]]
        metrics = {
            "loss": loss,
            "gradient_norm": gradient_norm,
            "parameter_norm": optax.global_norm(optax.tree.cast(params, jnp.float32)),
            "row_loss": row_loss,
            "row_tokens": jnp.sum(batch["weights"], axis=1),
            "row_bytes": jnp.sum(spelt * batch["weights"], axis=1),
            "row_task": batch["task"],
            **verdict,
        }
        return TrainState(params, moments, state.step + 1, guarded), metrics

    return jax.jit(
        step,
        donate_argnums=0,
        out_shardings=(shardings, replicated(mesh)),
        compiler_options=compiler_options(mesh),
    )
