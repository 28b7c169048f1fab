"""transformers' Llama with our weights: an implementation that is not ours, to compare with."""

import helpers  # noqa: F401  (virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers

from codellama_jax.model import LlamaConfig, apply, param_shapes

TINY = {
    "vocab_size": 96,
    "dim": 32,
    "num_layers": 2,
    "num_heads": 4,
    "num_kv_heads": 4,
    "ffn_dim": 48,
    "dtype": "float32",
}


def tiny(**changes) -> LlamaConfig:
    return LlamaConfig(**{**TINY, **changes})


def random_params(config: LlamaConfig, seed: int = 0):
    """Random parameters of a sensible scale; norm weights are not all one, so that they count."""
    generator = np.random.default_rng(seed)

    def draw(path, shape):
        if "norm" in jax.tree_util.keystr(path):
            return jnp.asarray(generator.uniform(0.5, 1.5, shape.shape), shape.dtype)
        return jnp.asarray(generator.normal(0, config.dim**-0.5, shape.shape), shape.dtype)

    return jax.tree_util.tree_map_with_path(draw, param_shapes(config))


def logits(config: LlamaConfig, params, tokens, positions=None, segments=None):
    """Our logits of tokens (B, S); by default each row is one segment."""
    tokens = jnp.asarray(tokens, jnp.int32)
    if positions is None:
        positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
        segments = jnp.ones_like(tokens)
    arrays = (tokens, jnp.asarray(positions), jnp.asarray(segments))
    return jax.jit(lambda p: apply(config, p, "__call__", *arrays))(params)


def huggingface(config: LlamaConfig, params) -> transformers.LlamaForCausalLM:
    """transformers' model in float32 with the weights of `params`."""
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.dim,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads,
            intermediate_size=config.ffn_dim,
            head_dim=config.key_size,
            rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_base},
            tie_word_embeddings=config.tied,
            max_position_embeddings=4096,
            attn_implementation="eager",
        )
    ).float()
    theirs.load_state_dict(named(config, params), strict=not config.tied)
    return theirs.eval()


def named(config: LlamaConfig, tree) -> dict[str, torch.Tensor]:
    """Our parameters, or gradients, under transformers' names and in its layout."""
    layers = tree["layers"]
    attention, mlp = layers["attention"], layers["mlp"]

    def rows(array, layer):  # (D, N, H) -> (N * H, D); both have half-split rotary pairs
        return np.asarray(array[layer]).reshape(config.dim, -1).T

    out = {
        "model.embed_tokens.weight": np.asarray(tree["embedding"]),
        "model.norm.weight": np.asarray(tree["norm"]["weight"]),
    }
    if not config.tied:
        out["lm_head.weight"] = np.asarray(tree["head"]).T
    for n in range(config.num_layers):
        of = f"model.layers.{n}."
        out[of + "self_attn.q_proj.weight"] = rows(attention["query"], n)
        out[of + "self_attn.k_proj.weight"] = rows(attention["key"], n)
        out[of + "self_attn.v_proj.weight"] = rows(attention["value"], n)
        output = np.asarray(attention["output"][n]).reshape(-1, config.dim)
        out[of + "self_attn.o_proj.weight"] = output.T
        for name in ("gate", "up", "down"):
            out[f"{of}mlp.{name}_proj.weight"] = np.asarray(mlp[name][n]).T
        out[of + "input_layernorm.weight"] = np.asarray(layers["attention_norm"]["weight"][n])
        out[of + "post_attention_layernorm.weight"] = np.asarray(layers["mlp_norm"]["weight"][n])
    return {name: torch.tensor(np.ascontiguousarray(array)) for name, array in out.items()}


def random_tokens(config: LlamaConfig, shape, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, config.vocab_size, shape)
