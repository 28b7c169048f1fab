"""What TPU's compiler should not fuse, and what it should compute first."""

import jax

from codellama_jax.parallel import mesh_platform


def unfused(x: jax.Array) -> jax.Array:
    """x, of any shape; on TPU it and its gradient are whole before anything is made of them.

    Without its larger vector memory (`compiler_options`) the compiler takes a norm into each of the
    products that read it, which then run at 61 to 78 % of a v5e's peak instead of 92 %; and the
    norm's backward reduction into the product before it, 39 % (libtpu 0.0.42, 7B).
    """
    return jax.lax.optimization_barrier(x) if mesh_platform() == "tpu" else x


@jax.custom_vjp
def unfused_gradient(x: jax.Array) -> jax.Array:
    """x, of any shape; on TPU its gradient is whole before anything is made of it.

    Of silu's gradient: it would be taken into three products of the backward pass, 47 to 73 % of
    a v5e's peak. Not of x, that a product may write it to where it is kept.
    """
    return x


unfused_gradient.defvjp(lambda x: (x, None), lambda _, gradient: (unfused(gradient),))


def together(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The arrays, of any shapes; on TPU none of them is used before all are there."""
    return jax.lax.optimization_barrier(arrays) if mesh_platform() == "tpu" else arrays
