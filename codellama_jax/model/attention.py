"""Causal attention over packed rows, and over a cache.

Letters: B batch, S query rows, T key rows, K key-value heads, G queries per key-value head, H head
size. Scores and softmax are float32 whatever the dtype of the inputs.
"""

import functools

import jax
import jax.numpy as jnp


def packed_attention(
    q: jax.Array, k: jax.Array, v: jax.Array, segment_ids: jax.Array, block: int
) -> jax.Array:
    """Each token attends to earlier tokens of its own segment and to itself.

    Queries are taken `block` rows at a time against the keys up to the block's end, which leaves
    out most of the masked half; a block's scores are recomputed in the backward pass, so memory is
    linear in S.

    Args:
      q: (B, S, K, G, H). k, v: (B, S, K, H).
      segment_ids: int32 (B, S); 0 marks padding, which attends to padding only.
      block: query rows per block.

    Returns:
      (B, S, K, G, H) in q's dtype.
    """
    length = q.shape[1]
    if length <= block:
        return _rows(0, q, k, v, segment_ids, segment_ids)
    recomputed = jax.checkpoint(_rows, static_argnums=0)
    outputs = []
    for start in range(0, length, block):
        stop = min(start + block, length)
        outputs.append(
            recomputed(
                start,
                q[:, start:stop],
                k[:, :stop],
                v[:, :stop],
                segment_ids[:, start:stop],
                segment_ids[:, :stop],
            )
        )
    return jnp.concatenate(outputs, axis=1)


def _rows(
    start: int,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    query_segments: jax.Array,
    key_segments: jax.Array,
) -> jax.Array:
    rows = start + jnp.arange(q.shape[1])
    causal = rows[:, None] >= jnp.arange(k.shape[1])[None, :]
    same = query_segments[:, :, None] == key_segments[:, None, :]
    return masked_attention(q, k, v, causal & same)


def masked_attention(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array) -> jax.Array:
    """Attention of q (B, S, K, G, H) to k, v (B, T, K, H) where mask (B, S, T) is True."""
    product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
    scores = product("BSKGH,BTKH->BKGST", q * q.shape[-1] ** -0.5, k)
    scores = jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    return product("BKGST,BTKH->BSKGH", weights, v).astype(q.dtype)
