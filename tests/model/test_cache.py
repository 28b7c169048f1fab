"""Decoding with a cache gives what the whole forward pass gives, however the text is cut."""

import helpers  # noqa: F401  (virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codellama_jax.model import (
    decoding_logits,
    decoding_params,
    empty_cache,
    extend,
    merge_caches,
    replace,
    write_part,
)

from .reference import logits, random_params, random_tokens, tiny

CONFIG = tiny(num_kv_heads=2, rope_base=1e6)


def step(config, params):
    """tokens (B, S), write_at (B,), cache -> logits (B, S, V), cache; compiled once a shape."""

    weights = decoding_params(config, params)

    def read(tokens, write_at, cache):
        hidden, cache = extend(config, weights, tokens, write_at, cache)
        return decoding_logits(weights, hidden), cache

    return jax.jit(read)


@pytest.mark.parametrize("changes", [{}, {"num_kv_heads": 4, "tied": True}], ids=str)
def test_pieces_give_the_logits_of_the_whole(changes):
    config = replace(CONFIG, **changes)
    params = random_params(config)
    tokens = random_tokens(config, (2, 13))
    whole, read = logits(config, params, tokens), step(config, params)
    for pieces in ([5, 5, 1, 1, 1], [1] * 13):
        cache, found, start = empty_cache(config, 2, 16), [], 0
        for size in pieces:
            part = jnp.asarray(tokens[:, start : start + size])
            out, cache = read(part, jnp.full(2, start), cache)
            found.append(out)
            start += size
        np.testing.assert_allclose(jnp.concatenate(found, axis=1), whole, rtol=0, atol=1e-4)


def test_rows_of_different_length_go_on_apart():
    params = random_params(CONFIG)
    read, cache = step(CONFIG, params), empty_cache(CONFIG, 3, 16)
    lengths = [8, 3, 1]
    tokens = random_tokens(CONFIG, (3, 12))
    _, cache = read(jnp.asarray(tokens[:, :8]), jnp.zeros(3, jnp.int32), cache)
    # What the shorter rows wrote behind their end is overwritten before it is seen.
    at, found = np.array(lengths), []
    for _ in range(4):
        following = np.array([tokens[row, at[row]] for row in range(3)])[:, None]
        out, cache = read(jnp.asarray(following), jnp.asarray(at), cache)
        found.append(out[:, 0])
        at = at + 1
    for row, length in enumerate(lengths):
        whole = logits(CONFIG, params, tokens[row : row + 1, : length + 4])[0, length:]
        ours = np.stack([out[row] for out in found])
        np.testing.assert_allclose(ours, whole, rtol=0, atol=1e-4)


def test_length_of_the_cache_does_not_matter():
    params = random_params(CONFIG)
    tokens = jnp.asarray(random_tokens(CONFIG, (1, 6)))
    short, _ = step(CONFIG, params)(tokens, jnp.zeros(1, jnp.int32), empty_cache(CONFIG, 1, 6))
    long, _ = step(CONFIG, params)(tokens, jnp.zeros(1, jnp.int32), empty_cache(CONFIG, 1, 40))
    np.testing.assert_allclose(short, long, rtol=0, atol=1e-5)


def test_an_int8_cache_is_close():
    """One part in 127 of each key and value is lost: here 2 % of the logits' spread at most."""
    params = random_params(CONFIG)
    tokens = jnp.asarray(random_tokens(CONFIG, (2, 13)))
    exact, _ = step(CONFIG, params)(tokens, jnp.zeros(2, jnp.int32), empty_cache(CONFIG, 2, 16))
    cache = empty_cache(CONFIG, 2, 16, "int8")
    assert cache[0].key.dtype == jnp.int8 and cache[0].key_scale.shape == (2, 2, 16)
    near, _ = step(CONFIG, params)(tokens, jnp.zeros(2, jnp.int32), cache)
    assert 0 < np.abs(near - exact).max() < 0.02 * np.std(exact) * 5


def test_cache_has_the_compute_dtype_and_kv_heads_only():
    cache = empty_cache(replace(CONFIG, dtype="bfloat16"), 3, 7)
    assert len(cache) == CONFIG.num_layers
    assert cache[0].key.shape == cache[0].value.shape == (3, 2, 7, 8)
    assert cache[0].key.dtype == cache[0].value.dtype == jnp.bfloat16


def filled(generator, rows, length, dtype):
    """A cache of small random whole numbers, which every dtype holds."""
    empty = empty_cache(CONFIG, rows, length, dtype)
    return jax.tree.map(lambda x: jnp.array(generator.integers(-9, 9, x.shape), x.dtype), empty)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_columns_come_to_each_rows_own_place(dtype):
    generator = np.random.default_rng(0)
    cache, recent = (filled(generator, 3, length, dtype) for length in (8, 2))
    at = [0, 3, 6]
    expected = [np.array(x) for x in jax.tree.leaves(cache)]
    for whole, part in zip(expected, jax.tree.leaves(recent)):
        for row, column in enumerate(at):
            whole[row, :, column : column + 2] = np.asarray(part)[row]
    merged = jax.jit(merge_caches)(cache, recent, jnp.array(at))
    assert jax.tree.structure(merged) == jax.tree.structure(cache)
    for found, whole in zip(jax.tree.leaves(merged), expected):
        np.testing.assert_array_equal(np.asarray(found), whole)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_a_row_is_written_by_itself(dtype):
    generator = np.random.default_rng(1)
    cache, row = filled(generator, 3, 8, dtype), filled(generator, 1, 4, dtype)
    for whole, part in zip(jax.tree.leaves(cache), jax.tree.leaves(row)):
        found = np.asarray(jax.jit(write_part)(whole, part, 2))
        expected = np.array(whole)
        expected[2, :, :4] = np.asarray(part)[0]
        np.testing.assert_array_equal(found, expected)
