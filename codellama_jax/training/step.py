"""One optimizer step, jitted over the mesh."""

from collections.abc import Callable

import gin
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from codellama_jax.data import Batch
from codellama_jax.model import LlamaConfig, Params, apply
from codellama_jax.parallel import replicated
from codellama_jax.training.loss import cross_entropy
from codellama_jax.training.state import TrainState, state_shardings

Metrics = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch, float], tuple[TrainState, Metrics]]


@gin.configurable
def make_train_step(
    config: LlamaConfig,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    loss_chunk: int = 512,
) -> TrainStep:
    """The jitted step; it donates the state.

    Nothing of the schedule or the mixture is compiled in: phases of one model and batch shape
    share one program.

    Args:
      config: of the model.
      optimizer: from `make_optimizer`.
      mesh: the step's arrays are laid out on it.
      loss_chunk: positions of a row whose logits a device holds at once.

    Returns:
      step(state, batch, learning_rate) -> (state, metrics). Metrics are float32: loss (nats a
      token), gradient_norm, and of each row its summed loss, row_loss, and its tokens with loss,
      row_tokens, both (B,), with the number of its task, row_task int32 (B,).
    """

    def summed_loss(params: Params, batch: Batch) -> tuple[jax.Array, jax.Array]:
        hidden = apply(
            config, params, "hidden", batch["inputs"], batch["positions"], batch["segment_ids"]
        )
        head = params["embedding"].T if config.tied else params["head"]
        total, losses = cross_entropy(hidden, head, batch["targets"], batch["weights"], loss_chunk)
        return total / jnp.maximum(jnp.sum(batch["weights"]), 1.0), losses

    def step(
        state: TrainState, batch: Batch, learning_rate: jax.Array
    ) -> tuple[TrainState, Metrics]:
        (loss, losses), gradients = jax.value_and_grad(summed_loss, has_aux=True)(
            state.params, batch
        )
        updates, moments = optimizer.update(gradients, state.optimizer, state.params)
        updates = jax.tree.map(lambda update: -learning_rate * update, updates)
        params = optax.apply_updates(state.params, updates)
        metrics = {
            "loss": loss,
            "gradient_norm": optax.global_norm(gradients),
            "row_loss": jnp.sum(losses * batch["weights"], axis=1),
            "row_tokens": jnp.sum(batch["weights"], axis=1),
            "row_task": batch["task"],
        }
        return TrainState(params, moments, state.step + 1), metrics

    shardings = state_shardings(config, optimizer, mesh)
    return jax.jit(step, donate_argnums=0, out_shardings=(shardings, replicated(mesh)))
