"""Cross-entropy over the vocabulary in chunks of the sequence; full logits are never held.

Letters: B batch, S sequence, C chunk, D model, V vocabulary, R and T shards of rows and positions.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import gin
import jax
import jax.numpy as jnp

from codellama_jax.data import Batch
from codellama_jax.model import (
    LlamaConfig,
    Params,
    apply,
    context_shards,
    product,
    together,
    weight_gradient,
)
from codellama_jax.parallel import constrain, partition_spec


@gin.configurable
def batch_losses(
    config: LlamaConfig, params: Params, batch: Batch, chunk: int = 512, z_loss: float = 0.0
) -> tuple[jax.Array, jax.Array]:
    """The model's weighted losses on a batch, in nats.

    Args:
      config: of the model.
      params: of the model.
      batch: rows (B, S).
      chunk: positions of a row whose logits a device holds at once.
      z_loss: factor of the squared log of the softmax's denominator, added to each token's loss to
        keep it small (PaLM: 1e-4).

    Returns:
      The sum, z-loss included, a float32 scalar with a gradient; and of each row its sum without
      the z-loss, float32 (B,), without one.
    """
    inputs = (batch["inputs"], batch["positions"], batch["segment_ids"])
    hidden = apply(config, params, "hidden", *inputs)
    head = params["embedding"].T if config.tied else params["head"]
    weights = batch["weights"]
    total, losses = cross_entropy(hidden, head, batch["targets"], weights, chunk, z_loss)
    return total, jnp.sum(losses * weights, axis=1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def cross_entropy(
    hidden: jax.Array,
    head: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    chunk: int,
    z_loss: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """Weighted sum of the next-token losses, in nats.

    The gradient is computed in the forward pass, chunk by chunk, so that each chunk's logits
    (B, C, V) are made once and dropped.

    Args:
      hidden: (B, S, D) final activations. head: (D, V).
      targets: int32 (B, S). weights: float32 (B, S), 0 where a token carries no loss.
      chunk: C; S, or a device's part of it, is cut into pieces of at most C.
      z_loss: factor of log(Z)^2, Z the denominator of a token's softmax, in the sum.

    Returns:
      The weighted sum, float32 scalar, and the unweighted losses without the z-loss, float32
      (B, S), which carry no gradient.
    """
    return _chunked(hidden, head, targets, weights, chunk, z_loss, with_gradients=False)[0]


def _chunked(
    hidden: jax.Array,
    head: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    chunk: int,
    z_loss: float,
    with_gradients: bool,
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array] | None]:
    # Gathered here, once: the loop would gather it for every chunk.
    shape, cast_head = hidden.shape, constrain(head.astype(hidden.dtype), "width", "vocab")
    shards = _batch_shards(), context_shards()

    def of_shards(x: jax.Array) -> jax.Array:
        """(B, C, X) by the device that holds it, (R, B / R, T, C / T, X)."""
        rows, pieces = shards
        return x.reshape(rows, x.shape[0] // rows, pieces, x.shape[1] // pieces, x.shape[2])

    def of_chunk(head_gradient: jax.Array | None, part: tuple[jax.Array, ...]) -> tuple[Any, Any]:
        x, y, w = part
        logits = jnp.einsum("BCD,DV->BCV", x, cast_head, preferred_element_type=jnp.float32)
        log_total = jax.nn.logsumexp(logits, axis=-1)
        losses = log_total - jnp.take_along_axis(logits, y[..., None], axis=-1)[..., 0]
        squares = jnp.square(log_total) if z_loss else None
        if head_gradient is None:
            return None, (losses, squares, None)
        gradient = jnp.exp(logits - log_total[..., None])
        if z_loss:
            gradient *= 1 + 2 * z_loss * log_total[..., None]
        gradient -= jax.nn.one_hot(y, head.shape[1], dtype=jnp.float32)
        gradient = (gradient * w[..., None]).astype(x.dtype)
        head_gradient += weight_gradient("RBTCD,RBTCV->RTDV", of_shards(x), of_shards(gradient))
        head_gradient = constrain(head_gradient, "batch", "sequence", "width", "vocab")
        hidden_gradient = product("BCV,DV->BCD", gradient, cast_head)
        return head_gradient, (losses, squares, hidden_gradient)

    parts = [_cut(x, chunk) for x in (hidden, targets, weights)]
    # Every device sums its own share over the chunks; the shares meet once, behind the loop.
    start = jnp.zeros((*shards, *head.shape), jnp.float32) if with_gradients else None
    if with_gradients:
        start = constrain(start, "batch", "sequence", "width", "vocab")
    head_gradient, (losses, squares, hidden_gradient) = _scan(of_chunk, start, parts)
    losses = _joined(losses, shape[1])
    objective = losses + z_loss * _joined(squares, shape[1]) if z_loss else losses
    outputs = (jnp.sum(objective * weights), losses)
    if not with_gradients:
        return outputs, None
    head_gradient = constrain(jnp.sum(head_gradient, axis=(0, 1)), "embed", "vocab")
    # The layers' backward pass waits for the sum, or every device would hold its share throughout.
    gradients = together(_joined(hidden_gradient, shape[1]), head_gradient.astype(head.dtype))
    return outputs, gradients


def _batch_shards() -> int:
    """Parts that the rows of a batch are shared out into on the mesh of `jax.set_mesh`."""
    mesh = jax.sharding.get_abstract_mesh()
    axes = () if mesh.empty else partition_spec(("batch",))[0] or ()
    return math.prod(mesh.shape[axis] for axis in axes)


def _cut(x: jax.Array, chunk: int) -> jax.Array:
    """(B, S, ...) in chunks (S / C, B, C, ...), the last filled up with zeros.

    Where the sequence is shared out over the context axis, each chunk takes a piece of every
    device's part, so that all of them work on it.
    """
    shards, length = context_shards(), x.shape[1]
    x = x.reshape(x.shape[0], shards, length // shards, *x.shape[2:])
    size = min(chunk, length // shards)
    filling = [(0, 0)] * x.ndim
    filling[2] = (0, -x.shape[2] % size)
    x = jnp.pad(x, filling)
    x = jnp.moveaxis(x.reshape(*x.shape[:2], -1, size, *x.shape[3:]), 2, 0)
    return x.reshape(*x.shape[:2], shards * size, *x.shape[4:])


def _joined(x: jax.Array, length: int) -> jax.Array:
    """What `_cut` cut: (S / C, B, C, ...) back to (B, S, ...)."""
    shards = context_shards()
    x = jnp.moveaxis(x.reshape(*x.shape[:2], shards, -1, *x.shape[3:]), 0, 2)
    x = x.reshape(*x.shape[:2], -1, *x.shape[4:])[:, :, : length // shards]
    return x.reshape(x.shape[0], length, *x.shape[3:])


def _scan(
    function: Callable[[Any, Any], tuple[Any, Any]], carry: Any, parts: list[jax.Array]
) -> tuple[Any, Any]:
    """`lax.scan`, but for a single part, which a loop would only slow down on a CPU."""
    if parts[0].shape[0] > 1:
        return jax.lax.scan(function, carry, tuple(parts))
    carry, found = function(carry, tuple(part[0] for part in parts))
    return carry, jax.tree.map(lambda x: x[None], found)


def _forward(hidden, head, targets, weights, chunk, z_loss):  # noqa: ANN001, ANN202
    return _chunked(hidden, head, targets, weights, chunk, z_loss, with_gradients=True)


def _backward(chunk, z_loss, gradients, cotangents):  # noqa: ANN001, ANN202
    hidden_gradient, head_gradient = gradients
    scale = cotangents[0]
    return (
        (hidden_gradient * scale).astype(hidden_gradient.dtype),
        (head_gradient * scale).astype(head_gradient.dtype),
        None,
        None,
    )


cross_entropy.defvjp(_forward, _backward)
