"""What must not change the result: packing, remat, unrolling, blocks of attention."""

import helpers  # noqa: F401  (virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codellama_jax.model import apply, replace

from .reference import logits, random_params, random_tokens, tiny

CONFIG = tiny(num_kv_heads=2)


def packed(lengths, row_length, seed=0):
    """Random texts packed into one row with padding behind; and the texts."""
    texts = [random_tokens(CONFIG, n, seed + i) for i, n in enumerate(lengths)]
    row, positions, segments = (np.zeros(row_length, np.int32) for _ in range(3))
    start = 0
    for segment, text in enumerate(texts, 1):
        stop = start + len(text)
        row[start:stop], positions[start:stop] = text, np.arange(len(text))
        segments[start:stop] = segment
        start = stop
    return texts, row[None], positions[None], segments[None]


def test_packed_texts_do_not_see_each_other():
    config = replace(CONFIG, attention_block=16)
    params = random_params(config)
    texts, *row = packed([9, 1, 17, 9], 40)
    together = logits(config, params, *row)[0]
    start = 0
    for text in texts:
        alone = logits(config, params, text[None])[0]
        np.testing.assert_allclose(together[start : start + len(text)], alone, rtol=0, atol=1e-5)
        start += len(text)
    assert np.isfinite(together).all()


def test_padding_has_no_influence_and_finite_gradients():
    params = random_params(CONFIG)
    _, row, positions, segments = packed([9, 6], 24)
    other = row.copy()
    other[segments == 0] = 7
    ours = logits(CONFIG, params, row, positions, segments)
    theirs = logits(CONFIG, params, other, positions, segments)
    np.testing.assert_array_equal(ours[0, :15], theirs[0, :15])

    def loss(params):
        out = apply(CONFIG, params, "__call__", row, positions, segments)
        return jnp.sum(out**2 * (segments > 0)[..., None])

    assert all(np.isfinite(g).all() for g in jax.tree.leaves(jax.jit(jax.grad(loss))(params)))


def test_no_token_sees_a_later_one():
    params = random_params(CONFIG)
    tokens = random_tokens(CONFIG, (1, 20))
    changed = tokens.copy()
    changed[0, 12:] = (changed[0, 12:] + 1) % CONFIG.vocab_size
    ours, theirs = logits(CONFIG, params, tokens), logits(CONFIG, params, changed)
    np.testing.assert_array_equal(ours[0, :12], theirs[0, :12])
    assert (np.abs(ours[0, 12:] - theirs[0, 12:]).max(axis=-1) > 1e-3).all()


def value_and_gradients(config, params, tokens):
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)

    def loss(params):
        out = apply(config, params, "__call__", tokens, positions, jnp.ones_like(positions))
        return jnp.mean(jax.nn.logsumexp(out, axis=-1)), out

    (_, out), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    return out, gradients


@pytest.fixture(scope="module")
def plain():
    params = random_params(CONFIG)
    tokens = random_tokens(CONFIG, (2, 18))
    return params, tokens, value_and_gradients(CONFIG, params, tokens)


@pytest.mark.parametrize(
    "changes",
    [
        {"remat": "full"},
        {"remat": "attention"},
        {"remat": "dots"},
        {"remat": "projections"},
        {"remat": "projections_offloaded"},
        {"attention_block": 9},
        {"attention_block": 10, "remat": "full", "scan_unroll": 2},
    ],
    ids=str,
)
def test_ways_to_compute_the_same(plain, changes):
    params, tokens, (out, gradients) = plain
    other, other_gradients = value_and_gradients(replace(CONFIG, **changes), params, tokens)
    np.testing.assert_allclose(other, out, rtol=0, atol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(other_gradients), jax.tree.leaves(gradients)):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_bfloat16_stays_near_float32_and_gives_float32_logits():
    config = replace(CONFIG, dtype="bfloat16")
    params = random_params(config)
    tokens = random_tokens(config, (2, 27))
    exact, rough = logits(CONFIG, params, tokens), logits(config, params, tokens)
    assert rough.dtype == jnp.float32
    assert 0 < np.abs(rough - exact).max() < 0.3
