"""Attention of a block of queries that keeps no scores for its backward pass.

FlashAttention-2 (Dao 2023, arXiv 2307.08691, section 2.3) where there is no such kernel: of the
softmax only the logarithm of each query's sum is kept, and the backward pass computes the scores
anew. Their gradient takes part in products in the inputs' dtype, as in flash kernels.

Letters: B batch, S query rows, T key rows, K key-value heads, G queries per key-value head, H head
size.
"""

import functools

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from codellama_jax.model.products import laid_out
from codellama_jax.model.splash import RESULT

_product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)
_Residuals = tuple[jax.Array, ...]


@jax.custom_vjp
def block_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    q_segments: jax.Array,
    k_segments: jax.Array,
    q_rows: jax.Array,
) -> jax.Array:
    """What `xla_attention` computes of the same arguments, S x T scores at a time."""
    return _forward(q, k, v, q_segments, k_segments, q_rows)[0]


def segment_mask(q_segments: jax.Array, k_segments: jax.Array, q_rows: jax.Array) -> jax.Array:
    """Who sees whom, bool (B, S, T): earlier tokens of the same segment, and the token itself.

    Segments are int32 (B, S) and (B, T), rows int32 (S,) among the T.
    """
    causal = q_rows[:, None] >= jnp.arange(k_segments.shape[1])[None, :]
    return causal & (q_segments[:, :, None] == k_segments[:, None, :])


def _heads_first(x: jax.Array) -> jax.Array:
    """(B, S, ..., H) as (B, ..., S, H)."""
    return laid_out(jnp.moveaxis(x, 1, -2))


def _scores(q: jax.Array, k: jax.Array, mask: jax.Array) -> jax.Array:
    """Float32 (B, K, G, S, T) of heads that are first."""
    scores = _product("BKGSH,BKTH->BKGST", q, k)
    return jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)


def _forward(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    q_segments: jax.Array,
    k_segments: jax.Array,
    q_rows: jax.Array,
) -> tuple[jax.Array, _Residuals]:
    rows = q_segments, k_segments, q_rows
    scaled = _heads_first(q * q.shape[-1] ** -0.5)
    scores = _scores(scaled, _heads_first(k), segment_mask(*rows))
    largest = jnp.max(scores, axis=-1, keepdims=True)
    weights = jnp.exp(scores - largest)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    out = _product("BKGST,BKTH->BKGSH", weights.astype(v.dtype), _heads_first(v)) / total
    out = checkpoint_name(jnp.moveaxis(out.astype(q.dtype), -2, 1), RESULT)
    log_total = checkpoint_name(largest + jnp.log(total), RESULT)
    return out, (q, k, v, *rows, out, log_total)


def _backward(residuals: _Residuals, gradient: jax.Array) -> tuple[jax.Array | None, ...]:
    q, k, v, *rows, out, log_total = residuals
    # Or the compiler would keep the forward pass's scores instead of computing them anew.
    q, k, v, gradient = jax.lax.optimization_barrier((q, k, v, gradient))
    scale = q.shape[-1] ** -0.5
    out, gradient, scaled = (_heads_first(x) for x in (out, gradient, q * scale))
    k, v = _heads_first(k), _heads_first(v)
    weights = jnp.exp(_scores(scaled, k, segment_mask(*rows)) - log_total)
    # Each query's sum of weight times gradient, by way of what it gave.
    mean = jnp.sum(out.astype(jnp.float32) * gradient, axis=-1, keepdims=True)
    to_scores = weights * (_product("BKGSH,BKTH->BKGST", gradient, v) - mean)
    weights, to_scores = weights.astype(q.dtype), to_scores.astype(q.dtype)
    to_q = laid_out(_product("BKGST,BKTH->BKGSH", to_scores, k) * scale)
    return (
        jnp.moveaxis(to_q.astype(q.dtype), -2, 1),
        _of_keys(scaled, to_scores).astype(k.dtype),
        _of_keys(gradient, weights).astype(v.dtype),
        None,
        None,
        None,
    )


def _of_keys(x: jax.Array, weights: jax.Array) -> jax.Array:
    """(B, T, K, H): the sum over queries of x (B, K, G, S, H) by weights (B, K, G, S, T)."""
    x = laid_out(x.transpose(0, 1, 4, 2, 3))
    return laid_out(_product("BKHGS,BKGST->BKHT", x, weights)).transpose(0, 3, 1, 2)


block_attention.defvjp(_forward, _backward)
