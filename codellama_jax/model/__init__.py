"""The Llama model: configuration, parameters, forward pass, cache."""

from codellama_jax.model.cache import (
    CacheDtype,
    KVCache,
    cache_axes,
    empty_cache,
    laid_out,
    merge_caches,
    write_part,
)
from codellama_jax.model.config import LlamaConfig, replace
from codellama_jax.model.decoding import (
    DecodingParams,
    decoding_axes,
    decoding_logits,
    decoding_params,
    decoding_shapes,
    extend,
    step,
)
from codellama_jax.model.describe import describe, describe_layout
from codellama_jax.model.functional import Params, apply, init_params, param_axes, param_shapes
from codellama_jax.model.fusing import together
from codellama_jax.model.packed import context_shards
from codellama_jax.model.products import product, weight_gradient
from codellama_jax.model.rope import Rope, split_rope
from codellama_jax.model.sizes import SIZES, closest, recognise, sized_config

__all__ = [
    "SIZES",
    "CacheDtype",
    "DecodingParams",
    "KVCache",
    "LlamaConfig",
    "Params",
    "Rope",
    "apply",
    "cache_axes",
    "closest",
    "context_shards",
    "decoding_axes",
    "decoding_logits",
    "decoding_params",
    "decoding_shapes",
    "describe",
    "describe_layout",
    "empty_cache",
    "extend",
    "init_params",
    "laid_out",
    "merge_caches",
    "param_axes",
    "param_shapes",
    "product",
    "recognise",
    "replace",
    "sized_config",
    "split_rope",
    "step",
    "together",
    "weight_gradient",
    "write_part",
]
