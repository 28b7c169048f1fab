"""Products of activations with weights, in the one form in which a CPU is fast in bfloat16.

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

from codellama_jax.parallel import mesh_platform


def product(spec: str, x: jax.Array, weight: jax.Array) -> jax.Array:
    """The einsum of activations and a weight, which is read in x's dtype; in that dtype."""
    if _widened(x):
        return _product(spec, x, weight)
    return jnp.einsum(spec, x, weight.astype(x.dtype))


def weight_gradient(spec: str, x: jax.Array, gradient: jax.Array) -> jax.Array:
    """The einsum of activations and a product's gradient over their rows, float32."""
    mesh = jax.sharding.get_abstract_mesh()
    # XLA would gather what several devices share to lay it out.
    if _widened(x) and (mesh.empty or mesh.size == 1):
        spec, x = _summed_last(spec, x)
    return jnp.einsum(spec, x, gradient, preferred_element_type=jnp.float32)


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


def _summed_last(spec: str, x: jax.Array) -> tuple[str, jax.Array]:
    """The left operand of an einsum copied so that the dimensions summed are its last in memory."""
    of_x, rest = spec.split(",")
    out = rest.split("->")[1]
    order = sorted(range(x.ndim), key=lambda n: of_x[n] not in out)
    x = with_layout_constraint(x.transpose(order), Layout(tuple(range(x.ndim))))
    return f"{''.join(of_x[n] for n in order)},{rest}", x
