"""Causal attention over packed rows, and over a cache, in plain XLA.

Letters: B batch, S query rows, T key rows, K key-value heads, G queries per key-value head, H head
size. Scores and softmax are float32 whatever the dtype of the inputs.
"""

import functools

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from codellama_jax.model.flash import block_attention, segment_mask
from codellama_jax.model.splash import RESULT


def masked_attention(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array) -> jax.Array:
    """Attention of q (B, S, K, G, H) to k, v (B, T, K, H) where mask (B, S, T) is True."""
    product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    scores = product("BSKGH,BTKH->BKGST", q * q.shape[-1] ** -0.5, k)
    scores = jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    return product("BKGST,BTKH->BSKGH", weights, v).astype(q.dtype)


def xla_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    q_segments: jax.Array,
    k_segments: jax.Array,
    q_rows: jax.Array,
) -> jax.Array:
    """Each token attends to earlier tokens of its own segment and to itself; S x T scores are held.

    Args:
      q: (B, S, K, G, H). k, v: (B, T, K, H).
      q_segments, k_segments: int32 (B, S) and (B, T); 0 marks padding, which attends to padding.
      q_rows: int32 (S,), which of the T rows each query stands in.

    Returns:
      (B, S, K, G, H) in q's dtype.
    """
    return masked_attention(q, k, v, segment_mask(q_segments, k_segments, q_rows))


def blocked_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    q_segments: jax.Array,
    k_segments: jax.Array,
    q_rows: jax.Array | None,
    block: int,
) -> jax.Array:
    """The same, `block` queries at a time.

    A block's scores are recomputed in the backward pass, so memory is linear in S; what it keeps
    instead has splash's name for its results. Queries that stand in rows 0 ... S - 1 (`q_rows`
    None) are taken in quarters, each against the keys up to its end, which leaves out most of the
    masked half.
    """
    length = q.shape[1]
    rows = jnp.arange(length) if q_rows is None else q_rows
    if length <= block:
        return block_attention(q, k, v, q_segments, k_segments, rows)
    quarters = min(_QUARTERS, -(-length // block)) if q_rows is None else 1
    size = -(-length // quarters // block) * block if quarters > 1 else length
    outputs = []
    for start in range(0, length, size):
        span = slice(start, min(start + size, length))
        seen = slice(span.stop if q_rows is None else None)
        keys = k[:, seen], v[:, seen], k_segments[:, seen]
        outputs.append(_in_blocks(q[:, span], q_segments[:, span], rows[span], *keys, block))
    return jnp.concatenate(outputs, axis=1)


_QUARTERS = 4


def _in_blocks(
    q: jax.Array,
    q_segments: jax.Array,
    q_rows: jax.Array,
    k: jax.Array,
    v: jax.Array,
    k_segments: jax.Array,
    block: int,
) -> jax.Array:
    """Blocks of queries one after the other: a loop, as a compiler would overlap unrolled ones."""
    length = q.shape[1]

    if length <= block:
        return block_attention(q, k, v, q_segments, k_segments, q_rows)

    # In a loop in a layer that is computed anew, `block_attention` would keep the keys or the
    # values of every turn: memory that grows with the square of the length.
    @jax.checkpoint
    def attend(part: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        q, segments, rows = part
        return xla_attention(q, k, v, segments, k_segments, rows)

    count, padding = -(-length // block), -length % block
    q = jnp.pad(q, ((0, 0), (0, padding), (0, 0), (0, 0), (0, 0)))
    q_segments = jnp.pad(q_segments, ((0, 0), (0, padding)))
    q_rows = jnp.pad(q_rows, (0, padding))
    parts = (
        jnp.moveaxis(q.reshape(q.shape[0], count, block, *q.shape[2:]), 1, 0),
        jnp.moveaxis(q_segments.reshape(-1, count, block), 1, 0),
        q_rows.reshape(count, block),
    )
    out = jnp.moveaxis(jax.lax.map(attend, parts), 0, 1)
    out = out.reshape(out.shape[0], -1, *out.shape[3:])[:, :length]
    return checkpoint_name(out, RESULT)
