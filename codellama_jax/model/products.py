"""Products, in the one form in which a CPU is fast in bfloat16, and what stands between them.

XLA multiplies bfloat16 with the CPU's own instructions (AVX512_BF16, AMX) only where the result is
float32 and the left operand's summed dimension is its last in memory. It widens the operands of any
other product to float32, at half the speed and less: of one with a bfloat16 result, and of a
weight's gradient, which sums over rows (jaxlib 0.10.2; 87 against 170 GFLOP/s a core of Zen 4).
Elsewhere, and in float32, these are plain einsums. Sums are float32 in either form.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint

from codellama_jax.model.fusing import together
from codellama_jax.parallel import mesh_platform, on_one_cpu


def product(spec: str, x: jax.Array, weight: jax.Array, weight_first: bool = False) -> jax.Array:
    """The einsum of activations and a weight, which is read in x's dtype; in that dtype.

    `weight_first` has a TPU compute the weight's gradient before that of x, whose room it frees.
    """
    if _widened(x):
        return _product(spec, x, weight)
    multiply = _weight_first if weight_first and mesh_platform() == "tpu" else jnp.einsum
    return multiply(spec, x, weight.astype(x.dtype))


def weight_gradient(spec: str, x: jax.Array, gradient: jax.Array) -> jax.Array:
    """The einsum of activations and a product's gradient over their rows, float32."""
    if _widened(x) and on_one_cpu():
        spec, x = _summed_last(spec, x)
    return jnp.einsum(spec, x, gradient, preferred_element_type=jnp.float32)


def laid_out(x: jax.Array) -> jax.Array:
    """x, copied on a CPU so that it lies in memory in the order of its axes.

    XLA would take a transposition into the product that reads it, at a third of the speed (jaxlib
    0.10.2: 2.6 against 0.95 ms for attention's scores, 0.13 GFLOP on a core of Zen 4).
    """
    return with_layout_constraint(x, Layout(tuple(range(x.ndim)))) if on_one_cpu() else x


def scaled(x: jax.Array, weight: jax.Array) -> jax.Array:
    """x (..., D) times weight (D), of one dtype.

    On a CPU in bfloat16 the weight's gradient is summed in float32: nine times faster than XLA's
    own sum of bfloat16, and closer.
    """
    return _scaled(x, weight) if _widened(x) else x * weight


@jax.custom_vjp
def _scaled(x: jax.Array, weight: jax.Array) -> jax.Array:
    return x * weight


def _scaled_backward(operands, gradient):  # noqa: ANN001, ANN202
    x, weight = operands
    terms = x.astype(jnp.float32) * gradient.astype(jnp.float32)
    to_weight = jnp.sum(terms, axis=tuple(range(x.ndim - 1)))
    return gradient * weight, to_weight.astype(weight.dtype)


_scaled.defvjp(lambda x, weight: (x * weight, (x, weight)), _scaled_backward)


def gated(gate: jax.Array, up: jax.Array) -> jax.Array:
    """silu(gate) * up, of one shape and dtype.

    On a CPU in bfloat16 it is rounded once, where XLA rounds after every operation, with
    instructions that take longer than the operation.
    """
    return _gated(gate, up) if _widened(gate) else jax.nn.silu(gate) * up


@jax.custom_vjp
def _gated(gate: jax.Array, up: jax.Array) -> jax.Array:
    return (jax.nn.silu(gate.astype(jnp.float32)) * up.astype(jnp.float32)).astype(gate.dtype)


def _gated_backward(operands, gradient):  # noqa: ANN001, ANN202
    gate, up, gradient = (x.astype(jnp.float32) for x in (*operands, gradient))
    share = jax.nn.sigmoid(gate)
    to_gate = gradient * up * share * (1 + gate * (1 - share))
    dtype = operands[0].dtype
    return to_gate.astype(dtype), (gradient * gate * share).astype(dtype)


_gated.defvjp(lambda gate, up: (_gated(gate, up), (gate, up)), _gated_backward)


def _widened(x: jax.Array) -> bool:
    return x.dtype == jnp.bfloat16 and mesh_platform() == "cpu"


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _product(spec: str, x: jax.Array, weight: jax.Array) -> jax.Array:
    weight = weight.astype(x.dtype)
    return jnp.einsum(spec, x, weight, preferred_element_type=jnp.float32).astype(x.dtype)


def _forward(spec, x, weight):  # noqa: ANN001, ANN202
    return _product(spec, x, weight), (x, weight)


def _backward(spec, operands, gradient):  # noqa: ANN001, ANN202
    x, weight = operands
    inputs, out = spec.split("->")
    of_x, of_weight = inputs.split(",")
    to_x = _product(f"{out},{of_weight}->{of_x}", gradient, weight)
    to_weight = weight_gradient(f"{of_x},{out}->{of_weight}", x, gradient)
    return to_x, to_weight.astype(weight.dtype)


_product.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _weight_first(spec: str, x: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.einsum(spec, x, weight)


def _weight_first_backward(spec, operands, gradient):  # noqa: ANN001, ANN202
    x, weight = operands
    (to_weight,) = jax.linear_transpose(lambda w: jnp.einsum(spec, x, w), weight)(gradient)
    gradient, to_weight = together(gradient, to_weight)
    (to_x,) = jax.linear_transpose(lambda x: jnp.einsum(spec, x, weight), x)(gradient)
    return to_x, to_weight


_weight_first.defvjp(
    lambda spec, x, weight: (_weight_first(spec, x, weight), (x, weight)), _weight_first_backward
)


def _summed_last(spec: str, x: jax.Array) -> tuple[str, jax.Array]:
    """The left operand of an einsum copied so that the dimensions summed are its last in memory."""
    of_x, rest = spec.split(",")
    out = rest.split("->")[1]
    order = sorted(range(x.ndim), key=lambda n: of_x[n] not in out)
    return f"{''.join(of_x[n] for n in order)},{rest}", laid_out(x.transpose(order))
