"""Choosing the next token."""

import dataclasses

import gin
import jax
import jax.numpy as jnp

from codellama_jax.errors import UserError, check_fields


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Sampling:
    """How to generate (paper sections 3.1 and 3.2).

    Attributes:
      temperature: 0 is greedy.
      top_p: nucleus: a token is dropped when the mass of the more probable ones exceeds it.
      max_new_tokens: generated at most.
      seed: with the request's number, decides the samples whatever else is in the batch.
    """

    temperature: float = 0.0
    top_p: float = 0.95
    max_new_tokens: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.max_new_tokens < 1:
            raise UserError(
                f"{self}: temperature must be >= 0, top_p in (0, 1], max_new_tokens >= 1"
            )


def choose(logits: jax.Array, keys: jax.Array, temperature: float, top_p: float) -> jax.Array:
    """Next tokens int32 (B,) from float32 logits (B, V) and one random key per row."""
    if temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    logits = logits / temperature
    order = jnp.argsort(-logits, axis=-1)
    probabilities = jax.nn.softmax(jnp.take_along_axis(logits, order, axis=-1), axis=-1)
    before = jnp.cumsum(probabilities, axis=-1) - probabilities
    kept = jnp.where(before > top_p, -jnp.inf, jnp.log(probabilities))
    rank = jax.vmap(jax.random.categorical)(keys, kept)
    return jnp.take_along_axis(order, rank[:, None], axis=-1)[:, 0].astype(jnp.int32)
