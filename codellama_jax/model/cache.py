"""Keys and values of the tokens that sequences have so far.

Each layer has arrays of its own, laid out (B, K, T, H): a step then writes its token where the
cache is, and one key-value head's keys lie together for the queries that share it.

Letters: B rows, K key-value heads, T cache length, H head size, S tokens written.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from codellama_jax.model.config import LlamaConfig
from codellama_jax.parallel import constrain, mesh_platform, on_one_cpu

CacheDtype = Literal["auto", "float32", "bfloat16", "int8"]


class LayerCache(NamedTuple):
    """One layer.

    Attributes:
      key, value: (B, K, T, H).
      key_scale, value_scale: float32 (B, K, T), what an int8 cache's entries are multiplied by;
        None for the other dtypes.
    """

    key: jax.Array
    value: jax.Array
    key_scale: jax.Array | None = None
    value_scale: jax.Array | None = None


KVCache = tuple[LayerCache, ...]


def empty_cache(
    config: LlamaConfig, batch: int, length: int, dtype: CacheDtype = "auto"
) -> KVCache:
    """A zeroed cache for `batch` rows of up to `length` tokens; "auto" is the compute dtype."""
    shape = (batch, config.num_kv_heads, length, config.key_size)
    kind = config.dtype if dtype == "auto" else dtype

    def layer() -> LayerCache:
        scales = [jnp.zeros(shape[:-1], jnp.float32) for _ in range(2)] if kind == "int8" else []
        return LayerCache(jnp.zeros(shape, kind), jnp.zeros(shape, kind), *scales)

    return tuple(layer() for _ in range(config.num_layers))


def cache_axes(cache: KVCache) -> Any:
    """Logical axes of a cache's arrays, in its place in the tree; a single row is not split."""

    def axes(array: jax.Array) -> tuple[str, ...]:
        names = ("batch" if array.shape[0] > 1 else "layers", "kv_heads", "cached", "head_dim")
        return names[: len(array.shape)]

    return jax.tree.map(axes, cache)


def laid_out(cache: KVCache) -> KVCache:
    """The cache on the mesh of `jax.set_mesh`, if there is one."""
    return jax.tree.map(lambda array, axes: constrain(array, *axes), cache, cache_axes(cache))


def write_cache(cache: LayerCache, key: jax.Array, value: jax.Array, at: jax.Array) -> LayerCache:
    """The cache with key and value (B, K, S, H) in columns at ... at + S - 1.

    Args:
      at: int32 (B,), or () where it is the same for all rows.
    """
    return _write(cache, _like(cache, key, value), at)


def merge_caches(cache: KVCache, recent: KVCache, at: jax.Array) -> KVCache:
    """The cache with all columns of `recent` from column `at`, int32 (B,), on."""
    return _write(cache, recent, at)


def cached_attention(q: jax.Array, parts: Sequence[tuple[LayerCache, jax.Array]]) -> jax.Array:
    """Attention of queries to the columns, of one or several caches, where their mask is True.

    The scales of an int8 cache multiply scores and weights, so that no key or value is written
    down in a wider dtype.

    Args:
      q: (B, K, G, S, H), G queries sharing one key-value head.
      parts: caches, each with a mask, bool (B, S, T).

    Returns:
      (B, K, G, S, H) in q's dtype.
    """
    scores = jnp.concatenate([_scores(q, cache, mask) for cache, mask in parts], axis=-1)
    weights = jax.nn.softmax(scores, axis=-1)
    ends = list(itertools.accumulate(cache.key.shape[2] for cache, _ in parts))
    shares = jnp.split(weights, ends[:-1], axis=-1)
    read = (_values(share, cache, q.dtype) for share, (cache, _) in zip(shares, parts))
    return functools.reduce(jnp.add, read).astype(q.dtype)


def _scores(q: jax.Array, cache: LayerCache, mask: jax.Array) -> jax.Array:
    """Scaled scores float32 (B, K, G, S, T)."""
    keys = cache.key.astype(q.dtype)
    scores = jnp.einsum(
        "BKGSH,BKTH->BKGST", q * q.shape[-1] ** -0.5, keys, preferred_element_type=jnp.float32
    )
    if cache.key_scale is not None:
        scores = scores * cache.key_scale[:, :, None, None]
    return jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)


def _values(weights: jax.Array, cache: LayerCache, dtype: jnp.dtype) -> jax.Array:
    """Values float32 (B, K, G, S, H) by their weights."""
    if cache.value_scale is not None:
        weights = weights * cache.value_scale[:, :, None, None]
    return jnp.einsum(
        "BKGST,BKTH->BKGSH",
        weights.astype(dtype),
        cache.value.astype(dtype),
        preferred_element_type=jnp.float32,
    )


def write_part(array: jax.Array, part: jax.Array, *start: jax.Array | int) -> jax.Array:
    """The array with `part` in it from `start` on, which leaves out dimensions that are whole."""
    start = (*start, *(0,) * (array.ndim - len(start)))
    if array.dtype != jnp.bfloat16 or mesh_platform() != "cpu":
        return jax.lax.dynamic_update_slice(array, part, start)
    # XLA for CPUs would widen the whole array to float32 and narrow it again.
    bits = [jax.lax.bitcast_convert_type(x, jnp.uint16) for x in (array, part)]
    return jax.lax.bitcast_convert_type(jax.lax.dynamic_update_slice(*bits, start), jnp.bfloat16)


def _write(cache: Any, new: Any, at: jax.Array) -> Any:
    """Caches with all columns of others from `at` on, int32 (B,), or () where all rows agree."""
    if at.ndim == 0:
        return jax.tree.map(lambda rows, part: write_part(rows, part, 0, 0, at), cache, new)
    if on_one_cpu():

        def write_row(number: jax.Array, cache: Any) -> Any:
            row = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, number, 1), new)
            start = (number, 0, at[number])
            return jax.tree.map(lambda x, part: write_part(x, part, *start), cache, row)

        # The update below is a scatter, for which XLA copies the cache: ten times as long.
        return jax.lax.fori_loop(0, at.shape[0], write_row, cache)
    update = functools.partial(jax.lax.dynamic_update_slice_in_dim, axis=1)
    return jax.tree.map(lambda rows, part: jax.vmap(update)(rows, part, at), cache, new)


def _like(cache: LayerCache, key: jax.Array, value: jax.Array) -> LayerCache:
    """Key and value as the cache holds them."""
    if cache.key_scale is None:
        return LayerCache(key.astype(cache.key.dtype), value.astype(cache.value.dtype))
    (key, key_scale), (value, value_scale) = _quantised(key), _quantised(value)
    return LayerCache(key, value, key_scale, value_scale)


def _quantised(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """int8 entries, and a float32 scale for each token of each head."""
    x = x.astype(jnp.float32)
    scale = jnp.max(jnp.abs(x), axis=-1) / 127
    entries = jnp.round(x / jnp.where(scale > 0, scale, 1)[..., None])
    return entries.astype(jnp.int8), scale
