"""AdamW with warm-up and cosine (paper section 2.6; eps, decay and clipping from Llama 2)."""

from typing import Any

import gin
import jax
import jax.numpy as jnp
import optax

from codellama_jax.errors import UserError
from codellama_jax.training.phase import Phase


def warmup_of(phase: Phase) -> int:
    """Steps of warm-up: a short phase does not end in it."""
    return min(phase.warmup_steps, max(phase.steps - 1, 0))


def learning_rate(phase: Phase) -> optax.Schedule:
    """Linear warm-up from 0 to the peak, then a cosine to peak * final_fraction."""
    peak = phase.peak_learning_rate
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=peak,
        warmup_steps=warmup_of(phase),
        decay_steps=phase.steps,
        end_value=peak * phase.final_fraction,
    )


@gin.configurable
def make_optimizer(
    axes: Any,
    beta1: float = 0.9,
    beta2: float = 0.95,
    eps: float = 1e-5,
    weight_decay: float = 0.1,
    clip_norm: float = 1.0,
    first_moment_dtype: str = "float32",
) -> optax.GradientTransformation:
    """AdamW up to the factor -learning_rate, which the train step applies.

    Args:
      axes: logical axes of every parameter; matrices decay, norm weights do not.
      beta1, beta2: decay rates of the moments.
      eps: added to the root of the second moment.
      weight_decay: decoupled, times the learning rate.
      clip_norm: largest global gradient norm.
      first_moment_dtype: "bfloat16" halves its memory. The second moment, whose root divides, is
        float32, whatever the parameters are.
    """
    if first_moment_dtype not in ("float32", "bfloat16"):
        raise UserError(
            f"make_optimizer.first_moment_dtype = {first_moment_dtype!r}: choose float32 or"
            " bfloat16"
        )

    def is_matrix(names: tuple[str, ...]) -> bool:
        return len([name for name in names if name != "layers"]) > 1

    decays = jax.tree.map(is_matrix, axes, is_leaf=lambda node: isinstance(node, tuple))
    chain = optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.scale_by_adam(b1=beta1, b2=beta2, eps=eps, mu_dtype=first_moment_dtype),
        optax.add_decayed_weights(weight_decay, mask=decays),
    )
    # Optax gives the second moment the dtype of the parameters it is begun with.
    return chain._replace(init=lambda params: chain.init(optax.tree.cast(params, jnp.float32)))
