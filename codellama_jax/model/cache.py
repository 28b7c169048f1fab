"""Keys and values of the tokens a sequence has so far."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from codellama_jax.model.config import LlamaConfig


class KVCache(NamedTuple):
    """key, value: (L, B, T, K, H) for the model, (B, T, K, H) inside a layer."""

    key: jax.Array
    value: jax.Array


def empty_cache(config: LlamaConfig, batch: int, length: int) -> KVCache:
    """A zeroed cache for `batch` rows of up to `length` tokens, in the compute dtype."""
    shape = (config.num_layers, batch, length, config.num_kv_heads, config.key_size)
    return KVCache(jnp.zeros(shape, config.dtype), jnp.zeros(shape, config.dtype))


def write_cache(cache: KVCache, key: jax.Array, value: jax.Array, at: jax.Array) -> KVCache:
    """One layer's cache with key and value (B, S, K, H) written from row `at` (B,) on."""

    def write(rows: jax.Array, new: jax.Array, start: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(rows, new.astype(rows.dtype), start, axis=0)

    return KVCache(
        jax.vmap(write)(cache.key, key, at),
        jax.vmap(write)(cache.value, value, at),
    )
