"""What TPU's compiler should not fuse."""

import jax

from codellama_jax.parallel import mesh_platform


def unfused(x: jax.Array) -> jax.Array:
    """x, of any shape; on TPU it and its gradient are whole before anything is made of them.

    Without its larger vector memory (`compiler_options`) the compiler takes a norm into each of the
    products that read it, which then run at 61 to 78 % of a v5e's peak instead of 92 %; the norm's
    backward reduction into the product before it, 39 %; and silu's gradient into three products of
    the backward pass, 47 to 73 % (libtpu 0.0.42, 7B).
    """
    return jax.lax.optimization_barrier(x) if mesh_platform() == "tpu" else x
