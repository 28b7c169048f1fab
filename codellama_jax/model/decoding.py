"""The same model with a cache: weights laid out for reading a few tokens at a time.

A step of few tokens takes as long as reading the weights. So each layer has arrays of its own (a
slice of a stack would be copied first), and products of one input are one product: query, key and
value; gate and up. tests/model/test_cache.py holds this to the forward pass of model/llama.py.

Letters: B rows, S tokens, D model, K key-value heads, G queries of one, H head size, F ffn,
V vocabulary, T cache length, A = K G H.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from codellama_jax.model.cache import KVCache, cached_attention, write_cache
from codellama_jax.model.config import LlamaConfig
from codellama_jax.model.functional import Params, param_shapes
from codellama_jax.model.llama import rms_norm
from codellama_jax.model.products import gated
from codellama_jax.model.rope import Rope, apply_rope, rope_of, rope_table

DecodingParams = dict[str, Any]


def decoding_params(config: LlamaConfig, params: Params) -> DecodingParams:
    """Parameters as `extend` wants them, in the compute dtype.

    Layers are taken apart by one program, compiled once.
    """
    take = jax.jit(lambda layers, number: _layer(config, layers, number))
    rest = {name: leaf for name, leaf in params.items() if name != "layers"}
    rest = jax.tree.map(lambda leaf: leaf.astype(config.dtype), rest)
    return {
        "embedding": rest["embedding"],
        "layers": tuple(take(params["layers"], number) for number in range(config.num_layers)),
        "norm": rest["norm"]["weight"],
        "head": rest["embedding"].T if config.tied else rest["head"],
    }


def _layer(config: LlamaConfig, stacked: Params, number: jax.Array) -> dict[str, jax.Array]:
    n, k = config.num_heads, config.num_kv_heads
    one = jax.tree.map(lambda leaf: leaf[number].astype(config.dtype), stacked)
    attention, mlp = one["attention"], one["mlp"]
    query = attention["query"].reshape(config.dim, k, n // k, config.key_size)
    heads = [query, attention["key"][:, :, None], attention["value"][:, :, None]]
    return {
        "attention_norm": one["attention_norm"]["weight"],
        "qkv": jnp.concatenate(heads, axis=2),
        "output": attention["output"].reshape(k, n // k, config.key_size, config.dim),
        "mlp_norm": one["mlp_norm"]["weight"],
        "gate_up": jnp.stack([mlp["gate"], mlp["up"]], axis=1),
        "down": mlp["down"],
    }


def decoding_shapes(config: LlamaConfig) -> DecodingParams:
    """The tree of `decoding_params` as jax.ShapeDtypeStruct; allocates nothing."""
    return jax.eval_shape(lambda params: decoding_params(config, params), param_shapes(config))


def decoding_axes(config: LlamaConfig) -> DecodingParams:
    """Logical axes of every array of `decoding_params`."""
    layer = {
        "attention_norm": ("width",),
        "qkv": ("embed", "kv_heads", "joint", "head_dim"),
        "output": ("kv_heads", "group", "head_dim", "embed"),
        "mlp_norm": ("width",),
        "gate_up": ("embed", "joint", "ffn"),
        "down": ("ffn", "embed"),
    }
    return {
        "embedding": ("vocab", "embed"),
        "layers": (layer,) * config.num_layers,
        "norm": ("width",),
        "head": ("embed", "vocab"),
    }


def extend(
    config: LlamaConfig,
    params: DecodingParams,
    tokens: jax.Array,
    write_at: jax.Array,
    cache: KVCache,
    rope: Rope | None = None,
) -> tuple[jax.Array, KVCache]:
    """Final normed activations (B, S, D) of tokens (B, S) that follow what the cache holds.

    Args:
      params: from `decoding_params`.
      write_at: int32 (B,), tokens already in each row's cache. Row b's tokens take positions
        write_at[b] ... write_at[b] + S - 1 and see the cache up to their own position.
      rope: instead of the configuration's.
    """
    positions = write_at[:, None] + jnp.arange(tokens.shape[1])
    mask = jnp.arange(cache[0].key.shape[2]) <= positions[:, :, None]
    written = []

    def attend(q: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        written.append(write_cache(cache[len(written)], key, value, write_at))
        return cached_attention(q, [(written[-1], mask)])

    hidden = _run(config, params, tokens, positions, rope or rope_of(config), attend)
    return hidden, tuple(written)


def step(
    config: LlamaConfig,
    params: DecodingParams,
    tokens: jax.Array,
    length: jax.Array,
    cache: KVCache,
    recent: KVCache,
    at: jax.Array,
    rope: Rope,
) -> tuple[jax.Array, KVCache]:
    """Final normed activations (B, D) of one token (B,) for each row, and `recent` with it.

    In a loop of steps the cache is only read. What they add goes to the same column of a short
    second cache in all rows: to write each row at its own end would be a loop over rows, around
    which a TPU moves the whole cache (libtpu 0.0.42).

    Args:
      length: int32 (B,), tokens in each row's cache.
      recent: of N columns, those before `at` filled since; `merge_caches` puts it behind the cache.
      at: int32 (), the column to fill.
    """
    seen = jnp.arange(cache[0].key.shape[2]) < length[:, None, None]
    new = jnp.arange(recent[0].key.shape[2])[None, None] <= at
    written = []

    def attend(q: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        layer = len(written)
        written.append(write_cache(recent[layer], key, value, at))
        return cached_attention(q, [(cache[layer], seen), (written[-1], new)])

    hidden = _run(config, params, tokens[:, None], (length + at)[:, None], rope, attend)
    return hidden[:, 0], tuple(written)


def _run(
    config: LlamaConfig,
    params: DecodingParams,
    tokens: jax.Array,
    positions: jax.Array,
    rope: Rope,
    attend: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
) -> jax.Array:
    """Final normed activations (B, S, D) of tokens at positions (B, S).

    `attend` is called once a layer, with queries (B, K, G, S, H), keys and values (B, K, S, H).
    """
    table = rope_table(positions, rope)
    x = params["embedding"][tokens]
    for weights in params["layers"]:
        inputs = rms_norm(x, weights["attention_norm"], config.norm_eps)
        joint = _product("BSD,DKCH->BSKCH", inputs, weights["qkv"])
        turned = joint[:, :, :, :-1].reshape(*x.shape[:2], -1, config.key_size)
        turned = apply_rope(turned, table).reshape(*joint.shape[:3], -1, config.key_size)
        turned = jnp.transpose(turned, (0, 2, 3, 1, 4))
        value = jnp.moveaxis(joint[:, :, :, -1], 2, 1)
        attended = attend(turned[:, :, :-1], turned[:, :, -1], value)
        attended = jnp.moveaxis(attended, 3, 1).reshape(*x.shape[:2], -1)
        output = weights["output"].reshape(attended.shape[-1], -1)
        x = x + _product("BSA,AD->BSD", attended, output)
        inputs = rms_norm(x, weights["mlp_norm"], config.norm_eps)
        pair = _product("BSD,DCF->BSCF", inputs, weights["gate_up"])
        hidden = gated(pair[:, :, 0], pair[:, :, 1])
        x = x + _product("BSF,FD->BSD", hidden, weights["down"])
    return rms_norm(x, params["norm"], config.norm_eps)


def _product(letters: str, x: jax.Array, weight: jax.Array) -> jax.Array:
    """An einsum, summed in float32 and rounded once.

    Asked for bfloat16 sums, XLA for CPUs widens the weights to float32 first: twice the bytes to
    read, and none of the instructions that multiply bfloat16.
    """
    return jnp.einsum(letters, x, weight, preferred_element_type=jnp.float32).astype(x.dtype)


def decoding_logits(params: DecodingParams, hidden: jax.Array) -> jax.Array:
    """Logits float32 (..., V) of final activations (..., D)."""
    return jnp.einsum("...D,DV->...V", hidden, params["head"], preferred_element_type=jnp.float32)
