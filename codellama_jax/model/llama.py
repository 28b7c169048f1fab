"""Llama 2 as a Flax NNX module (Touvron et al. 2023; Code Llama paper, section 2).

Letters: B batch, S sequence, D model, N query heads, K kv heads, G = N / K, H head size, F ffn,
V vocabulary, L layers. With a cache the model is read by model/decoding.py.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from codellama_jax.model.config import LlamaConfig
from codellama_jax.model.fusing import unfused, unfused_gradient
from codellama_jax.model.packed import balanced_order, context_shards, packed_attention
from codellama_jax.model.products import gated, product, scaled
from codellama_jax.model.rope import Rope, apply_rope, rope_of, rope_table
from codellama_jax.model.splash import RESULT
from codellama_jax.parallel import constrain

# What a layer keeps for its backward pass, by name. Without the output product's result the room
# of "projections" is that of keeping the results of the weight products instead of attention's.
_PROJECTIONS = ("query", "key", "value", RESULT, "gate", "up")
_REMAT: dict[str, Any] = {
    "full": jax.checkpoint_policies.nothing_saveable,
    "attention": jax.checkpoint_policies.save_only_these_names(RESULT),
    "dots": jax.checkpoint_policies.save_only_these_names(*_PROJECTIONS, "output"),
    "projections": jax.checkpoint_policies.save_only_these_names(*_PROJECTIONS),
    "projections_offloaded": jax.checkpoint_policies.save_and_offload_only_these_names(
        names_which_can_be_saved=[],
        names_which_can_be_offloaded=_PROJECTIONS,
        offload_src="device",
        offload_dst="pinned_host",
    ),
}


class Context(NamedTuple):
    """What every layer shares: the rotary table and the segments of the rows."""

    rope: tuple[jax.Array, jax.Array]
    segment_ids: jax.Array


def _weight(
    rngs: nnx.Rngs, config: LlamaConfig, axes: tuple[str, ...], shape: tuple[int, ...], fan_in: int
) -> nnx.Param:
    """A normal initial value of deviation fan_in^-1/2; `axes` are the logical axes of `shape`."""
    value = jax.random.normal(rngs.params(), shape, jnp.float32) * fan_in**-0.5
    return nnx.Param(value.astype(config.param_dtype), axes=axes)


def rms_norm(x: jax.Array, weight: jax.Array, eps: float) -> jax.Array:
    """Root-mean-square norm: normalised in float32, cast, then multiplied by the weight."""
    x = x.astype(jnp.float32)
    x = x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + eps)
    return scaled(x.astype(weight.dtype), weight)


class RMSNorm(nnx.Module):
    """`rms_norm` and its weight."""

    def __init__(self, config: LlamaConfig):
        self.weight = nnx.Param(jnp.ones(config.dim, config.param_dtype), axes=("width",))
        self.eps, self.dtype = config.norm_eps, config.dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        return unfused(rms_norm(x, self.weight[...].astype(self.dtype), self.eps))


class Attention(nnx.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs):
        d, n, k, h = config.dim, config.num_heads, config.num_kv_heads, config.key_size
        self.config = config
        self.query = _weight(rngs, config, ("embed", "heads", "head_dim"), (d, n, h), d)
        self.key = _weight(rngs, config, ("embed", "kv_heads", "head_dim"), (d, k, h), d)
        self.value = _weight(rngs, config, ("embed", "kv_heads", "head_dim"), (d, k, h), d)
        self.output = _weight(rngs, config, ("heads", "head_dim", "embed"), (n, h, d), n * h)

    def __call__(self, x: jax.Array, context: Context) -> jax.Array:
        heads = ("batch", "sequence", "kv_heads", "head_dim")
        q = product("BSD,DNH->BSNH", x, self.query[...])
        k = product("BSD,DKH->BSKH", x, self.key[...])
        v = constrain(product("BSD,DKH->BSKH", x, self.value[...]), *heads)
        q = constrain(apply_rope(q, context.rope), "batch", "sequence", "heads", "head_dim")
        k = constrain(apply_rope(k, context.rope), *heads)
        k, v = checkpoint_name(k, "key"), checkpoint_name(v, "value")
        q = q.reshape(*q.shape[:2], self.config.num_kv_heads, -1, q.shape[-1])
        out = packed_attention(q, k, v, context.segment_ids, self.config)
        out = out.reshape(*out.shape[:2], self.config.num_heads, -1)
        return checkpoint_name(product("BSNH,NHD->BSD", out, self.output[...]), "output")


class MLP(nnx.Module):
    """SwiGLU."""

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs):
        d, f = config.dim, config.ffn_dim
        self.gate = _weight(rngs, config, ("embed", "ffn"), (d, f), d)
        self.up = _weight(rngs, config, ("embed", "ffn"), (d, f), d)
        self.down = _weight(rngs, config, ("ffn", "embed"), (f, d), f)

    def __call__(self, x: jax.Array) -> jax.Array:
        gate = unfused_gradient(product("BSD,DF->BSF", x, self.gate[...]))
        up = unfused_gradient(product("BSD,DF->BSF", x, self.up[...]))
        gate, up = checkpoint_name(gate, "gate"), checkpoint_name(up, "up")
        hidden = constrain(gated(gate, up), "batch", "sequence", "ffn")
        return product("BSF,FD->BSD", hidden, self.down[...], weight_first=True)


class Block(nnx.Module):
    """One layer."""

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs):
        self.attention_norm = RMSNorm(config)
        self.attention = Attention(config, rngs=rngs)
        self.mlp_norm = RMSNorm(config)
        self.mlp = MLP(config, rngs=rngs)

    def __call__(self, x: jax.Array, context: Context) -> jax.Array:
        h = x + self.attention(self.attention_norm(x), context)
        return constrain(h + self.mlp(self.mlp_norm(h)), "batch", "sequence", "width")


class Llama(nnx.Module):
    """The model. Its layers are one stacked module, run by a scan.

    Parameters are float `param_dtype`: embedding (V, D), L stacked layers, final norm (D) and,
    unless tied, head (D, V).
    """

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs):
        self.config = config
        v, d = config.vocab_size, config.dim
        self.embedding = _weight(rngs, config, ("vocab", "embed"), (v, d), d)
        stacked = nnx.vmap(lambda r: Block(config, rngs=r), axis_size=config.num_layers)
        self.layers = stacked(rngs.fork(split=config.num_layers))
        self.norm = RMSNorm(config)
        if not config.tied:
            self.head = _weight(rngs, config, ("embed", "vocab"), (d, v), d)

    def hidden(
        self,
        tokens: jax.Array,
        positions: jax.Array,
        segment_ids: jax.Array,
        rope: Rope | None = None,
    ) -> jax.Array:
        """Final normed activations (B, S, D) of packed rows; their arrays are int32 (B, S).

        `rope` stands in for the configuration's.
        """
        order = balanced_order(tokens.shape[1], context_shards())
        if context_shards() > 1:
            tokens, positions, segment_ids = (
                constrain(x[:, order], "batch", "sequence")
                for x in (tokens, positions, segment_ids)
            )
        table = rope_table(positions, rope or rope_of(self.config))
        hidden = self._run(tokens, Context(table, segment_ids))
        return hidden[:, np.argsort(order)] if context_shards() > 1 else hidden

    def __call__(
        self, tokens: jax.Array, positions: jax.Array, segment_ids: jax.Array
    ) -> jax.Array:
        """Logits float32 (B, S, V) of packed rows."""
        return self.logits(self.hidden(tokens, positions, segment_ids))

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Logits float32 (..., V) of final activations (..., D)."""
        head = self.output_head().astype(hidden.dtype)
        return jnp.einsum("...D,DV->...V", hidden, head, preferred_element_type=jnp.float32)

    def output_head(self) -> jax.Array:
        """The head (D, V)."""
        return self.embedding[...].T if self.config.tied else self.head[...]

    def _run(self, tokens: jax.Array, context: Context) -> jax.Array:
        config = self.config
        x = self.embedding[...].astype(config.dtype)[tokens]
        x = constrain(x, "batch", "sequence", "width")
        graph, layers = nnx.split(self.layers)

        def layer(x: jax.Array, state: Any) -> tuple[jax.Array, None]:
            return nnx.merge(graph, state)(x, context), None

        body: Callable = layer
        if config.remat != "none":
            body = jax.checkpoint(layer, policy=_REMAT[config.remat], prevent_cse=False)
        return self.norm(jax.lax.scan(body, x, layers, unroll=config.scan_unroll)[0])
