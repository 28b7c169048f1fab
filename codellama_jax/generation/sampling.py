"""Choosing the next token.

Letters: B rows, V vocabulary.
"""

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
      top_k: a token is dropped when so many are more probable; 0 drops none.
      max_new_tokens: generated at most.
      stop: a continuation is cut where the first of these texts that is complete begins.
      logprobs: also give the log-probability of each new token, by the model as it is, before
        temperature, top_k and top_p.
      seed: with the request's number, decides the samples whatever else is in the batch.
    """

    temperature: float = 0.0
    top_p: float = 0.95
    top_k: int = 0
    max_new_tokens: int = 128
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if (
            self.temperature < 0
            or not 0 < self.top_p <= 1
            or self.top_k < 0
            or self.max_new_tokens < 1
        ):
            raise UserError(
                f"{self}: temperature and top_k must be >= 0, top_p in (0, 1], max_new_tokens >= 1"
            )
        if not all(isinstance(text, str) and text for text in self.stop):
            raise UserError(f"Sampling.stop = {self.stop!r}: give texts of a character or more")


def choose(
    logits: jax.Array,
    keys: jax.Array,
    temperature: jax.Array | float,
    top_p: jax.Array | float,
    top_k: jax.Array | int,
) -> jax.Array:
    """Next tokens int32 (B,) from float32 logits (B, V), temperature above 0.

    Exact, without sorting: a token is drawn from the whole distribution and refused if it is none
    of those kept; as whatever is not more probable is not kept either, the next is drawn from what
    is more probable. Tokens of equal probability are kept or dropped together.

    Args:
      keys: a random key for each row.
      top_k: 0 for all.
    """
    logits = logits / temperature
    weights = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))
    mass = jnp.sum(weights, axis=-1)
    most = jnp.where(top_k == 0, weights.shape[-1], top_k)

    def undecided(carry: tuple[jax.Array, ...]) -> jax.Array:
        return ~jnp.all(carry[-1])

    def draw(carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        turn, floor, token, done = carry
        uniform = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, turn)))(keys)
        drawn = _draw(jnp.where(weights > floor[:, None], weights, 0), uniform)
        weight = jnp.take_along_axis(weights, drawn[:, None], axis=-1)
        above = weights > weight
        # Not "at most": a comparison with what is not a number must end the loop, too.
        dropped = jnp.sum(jnp.where(above, weights, 0), axis=-1) > top_p * mass
        kept = ~dropped & (jnp.sum(above, axis=-1) < most)
        token = jnp.where(done, token, drawn)
        # A row that is done draws on with the others; what it has is kept.
        return turn + 1, jnp.where(kept, floor, weight[:, 0]), token, done | kept

    rows = logits.shape[0]
    start = (jnp.int32(0), jnp.zeros(rows), jnp.zeros(rows, jnp.int32), jnp.zeros(rows, bool))
    return jax.lax.while_loop(undecided, draw, start)[2]


_SPAN = 256


def _draw(weights: jax.Array, uniform: jax.Array) -> jax.Array:
    """A token int32 (B,) with probability in proportion to weights (B, V).

    First a span of the vocabulary, then a token in it: running sums over all of it would cost more
    than the model's head.
    """
    spans = jnp.pad(weights, ((0, 0), (0, -weights.shape[-1] % _SPAN)))
    spans = spans.reshape(weights.shape[0], -1, _SPAN)
    sums = jnp.cumsum(jnp.sum(spans, axis=-1), axis=-1)
    target = uniform * sums[:, -1]
    span = _position(sums, target)
    before = jnp.where(span > 0, jnp.take_along_axis(sums, span[:, None] - 1, axis=-1)[:, 0], 0)
    inside = jnp.cumsum(jnp.take_along_axis(spans, span[:, None, None], axis=1)[:, 0], axis=-1)
    return span * _SPAN + _position(inside, jnp.maximum(target - before, 0))


def _position(sums: jax.Array, target: jax.Array) -> jax.Array:
    """The first place of each row where the running sum exceeds the target.

    Rounding may leave the target at or above the last sum: then the last place that adds to it.
    """
    place = jnp.sum(sums <= target[:, None], axis=-1)
    last = jnp.sum(sums < sums[:, -1:], axis=-1)
    return jnp.minimum(place, last).astype(jnp.int32)


def token_logprobs(logits: jax.Array, tokens: jax.Array) -> jax.Array:
    """Log-probabilities float32 (B,) of tokens (B,) under logits (B, V)."""
    chosen = jnp.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)
