"""Products with weights: bfloat16 operands, float32 sums, on one device and on many."""

import helpers  # noqa: F401  (virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from codellama_jax.model import product, weight_gradient
from codellama_jax.model.products import gated, scaled
from codellama_jax.parallel import make_mesh

CASES = [
    ("BSD,DF->BSF", (4, 8, 16), (16, 24)),
    ("BSD,DNH->BSNH", (4, 8, 16), (16, 2, 12)),
    ("BSNH,NHD->BSD", (4, 8, 2, 12), (2, 12, 16)),
]


def _operands(x_shape, weight_shape, dtype):
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=x_shape), dtype)
    return x, jnp.asarray(random.normal(size=weight_shape), jnp.float32)


def _gradients(spec, x, weight, cotangent):
    return jax.jit(lambda: jax.vjp(lambda *both: product(spec, *both), x, weight)[1](cotangent))()


@pytest.mark.parametrize(("spec", "x_shape", "weight_shape"), CASES)
def test_bfloat16_products_are_exact_but_for_rounding_the_result(spec, x_shape, weight_shape):
    x, weight = _operands(x_shape, weight_shape, jnp.bfloat16)
    wide = np.asarray(x, np.float64), np.asarray(weight.astype(jnp.bfloat16), np.float64)
    found, expected = jax.jit(lambda: product(spec, x, weight))(), np.einsum(spec, *wide)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=2**-8, atol=1e-5)
    to_x, to_weight = _gradients(spec, x, weight, found)
    inputs, out = spec.split("->")
    of_x, of_weight = inputs.split(",")
    to = np.asarray(found, np.float64)
    np.testing.assert_allclose(
        np.asarray(to_x, np.float64),
        np.einsum(f"{out},{of_weight}->{of_x}", to, wide[1]),
        rtol=2**-8,
        atol=1e-4,
    )
    # A float32 weight's gradient is not rounded to bfloat16 on its way.
    assert to_weight.dtype == jnp.float32
    exact = np.einsum(f"{of_x},{out}->{of_weight}", wide[0], to)
    np.testing.assert_allclose(to_weight, exact, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("function", "plain", "shapes"),
    [
        (scaled, lambda x, weight: x * weight, [(4, 8, 16), (16,)]),
        (gated, lambda gate, up: jax.nn.silu(gate) * up, [(4, 8, 16), (4, 8, 16)]),
    ],
    ids=["scaled", "gated"],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_what_stands_between_products_is_rounded_once(function, plain, shapes, dtype):
    random = np.random.default_rng(0)
    operands = [jnp.asarray(random.normal(size=shape), dtype) for shape in shapes]
    cotangent = jnp.asarray(random.normal(size=shapes[0]), dtype)

    def both_ways(function, *operands):
        out, backward = jax.vjp(function, *operands[:2])
        return out, *backward(operands[2])

    found = jax.jit(lambda *all: both_ways(function, *all))(*operands, cotangent)
    wide = [x.astype(jnp.float32) for x in (*operands, cotangent)]
    exact = jax.jit(lambda *all: both_ways(plain, *all))(*wide)
    for ours, theirs in zip(found, exact):
        assert ours.dtype == dtype
        # A unit in the last place of eight bits is at most 2^-7; half of it is rounding.
        tolerance = 2**-8 if dtype == jnp.bfloat16 else 1e-6
        np.testing.assert_allclose(ours.astype(jnp.float32), theirs, rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize(("spec", "x_shape", "weight_shape"), CASES)
def test_float32_products_are_those_of_einsum(spec, x_shape, weight_shape):
    x, weight = _operands(x_shape, weight_shape, jnp.float32)
    found = jax.jit(lambda: product(spec, x, weight))()
    np.testing.assert_array_equal(found, jax.jit(lambda: jnp.einsum(spec, x, weight))())


def test_devices_share_the_products_as_their_operands_lie():
    """No device is given the whole of the activations for the sake of their order in memory."""
    mesh = make_mesh(data=2, context=2, tensor=2)
    spec, x_shape, weight_shape = CASES[0]
    x, weight = _operands(x_shape, weight_shape, jnp.bfloat16)
    alone = _gradients(spec, x, weight, product(spec, x, weight))
    lay = [PartitionSpec("data", "context"), PartitionSpec(None, "tensor")]
    x, weight = (jax.device_put(a, NamedSharding(mesh, s)) for a, s in zip((x, weight), lay))

    def gradients(x, weight):
        out, pull = jax.vjp(lambda *both: product(spec, *both), x, weight)
        return pull(out)

    with jax.set_mesh(mesh):
        compiled = jax.jit(gradients).lower(x, weight).compile()
        for one, many in zip(alone, compiled(x, weight)):
            np.testing.assert_allclose(
                np.asarray(many, np.float32), np.asarray(one, np.float32), rtol=2**-7, atol=1e-3
            )
    assert "all-gather" not in compiled.as_text()


def test_a_weight_gradient_keeps_the_shards_apart():
    x, gradient = _operands((2, 3, 1, 4, 5), (2, 3, 1, 4, 6), jnp.bfloat16)
    gradient = gradient.astype(jnp.bfloat16)
    spec = "RBTCD,RBTCV->RTDV"
    found = jax.jit(lambda: weight_gradient(spec, x, gradient))()
    exact = np.einsum(spec, np.asarray(x, np.float64), np.asarray(gradient, np.float64))
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)
