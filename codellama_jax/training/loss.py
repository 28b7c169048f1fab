"""Cross-entropy over the vocabulary in chunks of the sequence; full logits are never held.

Letters: B batch, S sequence, C chunk, D model, V vocabulary.
"""

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def cross_entropy(
    hidden: jax.Array, head: jax.Array, targets: jax.Array, weights: jax.Array, chunk: int
) -> tuple[jax.Array, jax.Array]:
    """Weighted sum of the next-token losses, in nats.

    The gradient is computed in the forward pass, chunk by chunk, so that each chunk's logits
    (B, C, V) are made once and dropped.

    Args:
      hidden: (B, S, D) final activations. head: (D, V).
      targets: int32 (B, S). weights: float32 (B, S), 0 where a token carries no loss.
      chunk: C; S is cut into pieces of at most C.

    Returns:
      The weighted sum, float32 scalar, and the unweighted losses, float32 (B, S), which carry no
      gradient.
    """
    return _chunked(hidden, head, targets, weights, chunk, with_gradients=False)[0]


def _chunked(
    hidden: jax.Array,
    head: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    chunk: int,
    with_gradients: bool,
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array] | None]:
    cast_head = head.astype(hidden.dtype)
    losses, hidden_gradients = [], []
    head_gradient = jnp.zeros(head.shape, jnp.float32)
    for start in range(0, hidden.shape[1], chunk):
        span = slice(start, start + chunk)
        x, y, w = hidden[:, span], targets[:, span], weights[:, span]
        logits = jnp.einsum("BCD,DV->BCV", x, cast_head, preferred_element_type=jnp.float32)
        log_total = jax.nn.logsumexp(logits, axis=-1)
        chosen = jnp.take_along_axis(logits, y[..., None], axis=-1)[..., 0]
        losses.append(log_total - chosen)
        if with_gradients:
            gradient = jnp.exp(logits - log_total[..., None])
            gradient -= jax.nn.one_hot(y, head.shape[1], dtype=jnp.float32)
            gradient = (gradient * w[..., None]).astype(hidden.dtype)
            hidden_gradients.append(jnp.einsum("BCV,DV->BCD", gradient, cast_head))
            head_gradient += jnp.einsum(
                "BCD,BCV->DV", x, gradient, preferred_element_type=jnp.float32
            )
    losses = jnp.concatenate(losses, axis=1)
    outputs = (jnp.sum(losses * weights), losses)
    if not with_gradients:
        return outputs, None
    return outputs, (jnp.concatenate(hidden_gradients, axis=1), head_gradient.astype(head.dtype))


def _forward(hidden, head, targets, weights, chunk):  # noqa: ANN001, ANN202
    return _chunked(hidden, head, targets, weights, chunk, with_gradients=True)


def _backward(chunk, gradients, cotangents):  # noqa: ANN001, ANN202
    hidden_gradient, head_gradient = gradients
    scale = cotangents[0]
    return (
        (hidden_gradient * scale).astype(hidden_gradient.dtype),
        (head_gradient * scale).astype(head_gradient.dtype),
        None,
        None,
    )


cross_entropy.defvjp(_forward, _backward)
