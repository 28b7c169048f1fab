"""Logits and gradients of the same random weights, here and in transformers, in float32."""

import helpers  # noqa: F401  (virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from codellama_jax.model import apply, replace

from .reference import huggingface, logits, named, random_params, random_tokens, tiny

CASES = {
    "multi-head": {},
    "grouped-query": {"num_kv_heads": 2},
    "one kv head": {"num_kv_heads": 1, "num_layers": 3},
    "tied": {"tied": True},
    "base 1e6": {"rope_base": 1e6},
    "grouped-query, base 1e6, tied": {"num_kv_heads": 2, "rope_base": 1e6, "tied": True},
    "wide heads": {"head_dim": 12, "num_kv_heads": 2},
    "large eps": {"norm_eps": 1e-2},
}
cases = pytest.mark.parametrize("changes", CASES.values(), ids=CASES)


@cases
def test_logits(changes):
    config = tiny(**changes)
    params = random_params(config)
    tokens = random_tokens(config, (2, 37))
    with torch.no_grad():
        theirs = huggingface(config, params)(torch.tensor(tokens)).logits.numpy()
    ours = logits(config, params, tokens)
    assert ours.dtype == jnp.float32 and ours.shape == (2, 37, config.vocab_size)
    assert np.abs(theirs).max() > 1
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_logits_at_far_positions():
    config = tiny(rope_base=1e6)
    params = random_params(config)
    tokens = random_tokens(config, (1, 33))
    positions = 3000 + np.arange(33)[None]
    with torch.no_grad():
        theirs = huggingface(config, params)(
            torch.tensor(tokens), position_ids=torch.tensor(positions)
        ).logits.numpy()
    ours = logits(config, params, tokens, positions, np.ones_like(tokens))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_packed_rows_against_separate_ones():
    """Three texts of odd lengths in one row, and padding behind them."""
    config = tiny(num_kv_heads=2, rope_base=1e6)
    params = random_params(config)
    model = huggingface(config, params)
    lengths = (7, 1, 23)
    texts = [random_tokens(config, (1, length), seed=length) for length in lengths]
    row = np.concatenate([*texts, np.zeros((1, 6), int)], axis=1)
    positions = np.concatenate([*(np.arange(n) for n in lengths), np.zeros(6, int)])[None]
    segments = np.repeat([1, 2, 3, 0], [*lengths, 6])[None]
    ours = logits(config, params, row, positions, segments)[0]
    start = 0
    for text, length in zip(texts, lengths):
        with torch.no_grad():
            theirs = model(torch.tensor(text)).logits[0].numpy()
        np.testing.assert_allclose(ours[start : start + length], theirs, rtol=0, atol=1e-4)
        start += length


def test_a_left_padded_batch():
    """As transformers batches prompts: padding in front, positions from the first real token."""
    config = tiny(num_kv_heads=2)
    params = random_params(config)
    tokens = random_tokens(config, (3, 19))
    padding = np.array([0, 5, 18])[:, None]
    real = np.arange(19)[None] >= padding
    positions = np.maximum(np.arange(19)[None] - padding, 0)
    with torch.no_grad():
        theirs = huggingface(config, params)(
            torch.tensor(tokens),
            attention_mask=torch.tensor(real.astype(int)),
            position_ids=torch.tensor(positions),
        ).logits.numpy()
    ours = logits(config, params, tokens, positions, real.astype(int))
    np.testing.assert_allclose(ours[real], theirs[real], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "changes", [{"num_kv_heads": 2, "rope_base": 1e6}, {"tied": True, "remat": "full"}]
)
def test_gradients_of_the_loss(changes):
    config = tiny(**changes)
    params = random_params(config)
    tokens = random_tokens(config, (2, 21))
    model = huggingface(config, params)
    torch.nn.functional.cross_entropy(
        model(torch.tensor(tokens[:, :-1])).logits.reshape(-1, config.vocab_size),
        torch.tensor(tokens[:, 1:]).reshape(-1),
    ).backward()
    theirs = {name: p.grad.numpy() for name, p in model.named_parameters()}

    def loss(params):
        inputs, targets = jnp.asarray(tokens[:, :-1]), jnp.asarray(tokens[:, 1:])
        positions = jnp.broadcast_to(jnp.arange(20), inputs.shape)
        out = apply(config, params, "__call__", inputs, positions, jnp.ones_like(inputs))
        return optax.softmax_cross_entropy_with_integer_labels(out, targets).mean()

    ours = named(config, jax.jit(jax.grad(loss))(params))
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(
            ours[name].numpy(), gradient, rtol=0, atol=1e-4 * scale, err_msg=name
        )


def test_the_base_matters():
    """So that agreement at either base is agreement on the base."""
    config = tiny(num_kv_heads=2)
    params = random_params(config)
    tokens = random_tokens(config, (1, 37))
    ours = logits(config, params, tokens)
    other = logits(replace(config, rope_base=1e6), params, tokens)
    assert np.abs(other - ours).max() > 1e-3
