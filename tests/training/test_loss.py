"""The chunked loss against the plain one: values, and gradients by JAX's own differentiation."""

import helpers  # noqa: F401  (virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from codellama_jax.training import cross_entropy

B, S, D, V = 3, 12, 8, 29


def plain(hidden, head, targets, weights, z_loss=0.0):
    logits = jnp.einsum("BSD,DV->BSV", hidden, head)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    squares = jax.nn.logsumexp(logits, axis=-1) ** 2
    return jnp.sum((losses + z_loss * squares) * weights), losses


@pytest.fixture(scope="module")
def arrays():
    generator = np.random.default_rng(0)
    hidden = generator.normal(size=(B, S, D)).astype(np.float32)
    head = generator.normal(size=(D, V)).astype(np.float32)
    targets = generator.integers(0, V, (B, S))
    weights = generator.uniform(size=(B, S)).astype(np.float32)
    weights[0, 4:9] = 0
    weights[2] = 0
    return hidden, head, targets, weights


def differentiated(loss, *arrays):
    """(sum, losses) and the gradients of the sum by hidden and head."""
    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(*arrays)


@pytest.mark.parametrize(("chunk", "z_loss"), [(4, 0.0), (5, 0.0), (512, 0.0), (5, 0.3), (12, 2)])
def test_value_and_gradients(arrays, chunk, z_loss):
    (value, losses), ours = differentiated(lambda *a: cross_entropy(*a, chunk, z_loss), *arrays)
    (expected, expected_losses), theirs = differentiated(lambda *a: plain(*a, z_loss), *arrays)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(losses, expected_losses, rtol=0, atol=1e-5)
    for found, gradient in zip(ours, theirs):
        np.testing.assert_allclose(found, gradient, rtol=1e-5, atol=1e-5)
    assert not np.any(ours[0][2]) and not np.any(ours[0][0, 4:9])


@pytest.mark.parametrize("z_loss", [0.0, 0.3])
def test_without_differentiation_the_value_is_the_same(arrays, z_loss):
    alone, losses = jax.jit(lambda *a: cross_entropy(*a, 5, z_loss))(*arrays)
    (value, same), _ = differentiated(lambda *a: cross_entropy(*a, 5, z_loss), *arrays)
    np.testing.assert_allclose(alone, value, rtol=1e-6)
    np.testing.assert_allclose(losses, same, rtol=1e-6)
    assert losses.shape == (B, S)


def test_gradient_is_scaled_with_what_is_made_of_the_sum(arrays):
    hidden, head, targets, weights = arrays

    def mean(loss):
        return lambda h, w: loss(h, w)[0] / 7 + 3 * jnp.sum(w**2)

    chunked = mean(lambda h, w: cross_entropy(h, w, targets, weights, 5))
    ours = jax.jit(jax.grad(chunked, (0, 1)))
    theirs = jax.jit(jax.grad(mean(lambda h, w: plain(h, w, targets, weights)), (0, 1)))
    for found, expected in zip(ours(hidden, head), theirs(hidden, head)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_all_weights_zero(arrays):
    hidden, head, targets, weights = arrays
    value, gradient = jax.value_and_grad(
        lambda h: cross_entropy(h, head, targets, np.zeros_like(weights), 5)[0]
    )(hidden)
    assert value == 0 and not np.any(gradient)


def test_large_logits_do_not_overflow(arrays):
    hidden, head, targets, weights = arrays
    value, gradient = jax.value_and_grad(lambda h: cross_entropy(h, head, targets, weights, 5)[0])(
        hidden * 1e4
    )
    np.testing.assert_allclose(value, plain(hidden * 1e4, head, targets, weights)[0], rtol=1e-5)
    assert np.isfinite(gradient).all()


def test_bfloat16_activations_have_float32_losses(arrays):
    hidden, head, targets, weights = arrays
    low = jnp.asarray(hidden, jnp.bfloat16)
    (value, losses), (to_hidden, to_head) = differentiated(
        lambda *a: cross_entropy(*a, 5), low, head, targets, weights
    )
    assert value.dtype == losses.dtype == to_head.dtype == jnp.float32
    assert to_hidden.dtype == jnp.bfloat16
    np.testing.assert_allclose(value, plain(hidden, head, targets, weights)[0], rtol=2e-2)
