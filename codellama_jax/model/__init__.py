"""The Llama model: configuration, parameters, forward pass, cache."""

from codellama_jax.model.cache import KVCache, empty_cache
from codellama_jax.model.config import LlamaConfig, replace
from codellama_jax.model.functional import Params, apply, init_params, param_axes, param_shapes

__all__ = [
    "KVCache",
    "LlamaConfig",
    "Params",
    "apply",
    "empty_cache",
    "init_params",
    "param_axes",
    "param_shapes",
    "replace",
]
