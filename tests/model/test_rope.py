"""Rotary positions: against complex numbers, both forms to the last bit, and the way back."""

import helpers  # noqa: F401  (virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codellama_jax.model.rope import (
    apply_rope,
    rope_of,
    rope_table,
    turned_in_halves,
    turned_whole,
)

from .reference import tiny

CONFIG = tiny(rope_base=1e6)
SIZE = CONFIG.key_size
POSITIONS = np.array([[0, 1, 2, 100], [7, 4096, 50_000, 99_999]])
TABLE = rope_table(jnp.asarray(POSITIONS), rope_of(CONFIG))


def heads(dtype, seed=0):
    values = np.random.default_rng(seed).normal(size=(2, 4, 3, SIZE))
    return jnp.asarray(values, dtype)


def test_pairs_turn_as_complex_numbers_do():
    x = np.asarray(heads(jnp.float32), np.float64)
    pairs = x[..., : SIZE // 2] + 1j * x[..., SIZE // 2 :]
    frequencies = np.float64(CONFIG.rope_base) ** (-np.arange(0, SIZE, 2) / SIZE)
    turned = pairs * np.exp(1j * POSITIONS[..., None] * frequencies)[:, :, None]
    expected = np.concatenate((turned.real, turned.imag), axis=-1)
    # A float32 angle of 1e5 radians is right to 0.004.
    np.testing.assert_allclose(apply_rope(heads(jnp.float32), TABLE), expected, atol=0.05)
    early = np.s_[0, :3]
    np.testing.assert_allclose(
        apply_rope(heads(jnp.float32), TABLE)[early], expected[early], atol=1e-5
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_form_for_tpus_is_the_same_to_the_last_bit(dtype):
    x = heads(dtype)
    np.testing.assert_array_equal(turned_whole(x, *TABLE), turned_in_halves(x, *TABLE))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_gradient_is_the_derived_one(dtype):
    x, gradient = heads(dtype), heads(dtype, seed=1)
    (ours,) = jax.vjp(lambda x: apply_rope(x, TABLE), x)[1](gradient)
    (derived,) = jax.vjp(lambda x: turned_in_halves(x, *TABLE), x)[1](gradient)
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours, derived)
