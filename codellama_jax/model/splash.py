"""Flash attention on TPU: forward JAX's Pallas kernel "splash", backward one of our own.

Letters: B batch, S query rows, T key rows, K key-value heads, G queries per key-value head, H head
size.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from codellama_jax.model.fusing import unfused
from codellama_jax.model.splash_backward import attention_gradients
from codellama_jax.parallel import mesh_chip

# By this name a remat policy keeps the kernel's results, so that it does not run twice.
RESULT = "attention"
# Of the chip with the least, v4; for interpreted kernels.
_LEAST_VECTOR_MEMORY = 16 * 2**20


def splash_kernel(
    q_rows: np.ndarray, k_length: int, groups: int, block: int, shards: int, interpret: bool
) -> Any:
    """The forward kernel of one key-value head: a pytree of the mask's blocks.

    Args:
      q_rows: int (S of all shards,), which of the T rows each query stands in.
      k_length: T.
      groups: G.
      block: query and key rows taken at a time, a power of two; halved until it divides them. At
        least 128 run on TPU.
      shards: of the queries.
      interpret: run without a TPU, slowly, for tests.
    """
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    mask = splash.CausalMask((len(q_rows), k_length))
    mask.q_sequence = np.asarray(q_rows, np.int32)
    k_block = math.gcd(block, k_length)
    return splash.make_splash_mqa(
        splash.MultiHeadMask([mask] * groups),
        block_sizes=splash.BlockSizes(
            block_q=math.gcd(block, len(q_rows) // shards),
            block_kv=k_block,
            block_kv_compute=k_block,
        ),
        head_shards=1,
        q_seq_shards=shards,
        save_residuals=True,
        interpret=interpret,
    )


def splash_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    q_segments: jax.Array,
    k_segments: jax.Array,
    q_rows: jax.Array,
    kernel: Any,
    block: int,
    interpret: bool,
) -> jax.Array:
    """Attention of q (B, S, K, G, H) to k, v (B, T, K, H) by a `splash_kernel`.

    Tokens attend to their own segment, int32 (B, S) and (B, T); queries stand in `q_rows`, int32
    (S,), of the T. Returns (B, S, K, G, H).
    """
    q = checkpoint_name((q * q.shape[-1] ** -0.5).transpose(0, 2, 3, 1, 4), "query")
    k, v = k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)
    out = unfused(_attend(block, interpret, q, k, v, q_segments, k_segments, q_rows, kernel))
    return out.transpose(0, 3, 1, 2, 4).astype(v.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attend(block: int, interpret: bool, *operands: Any) -> jax.Array:
    """Attention (B, K, G, S, H) of the operands that `_forward` names."""
    return _forward(block, interpret, *operands)[0]


def _forward(
    block: int,
    interpret: bool,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    q_segments: jax.Array,
    k_segments: jax.Array,
    q_rows: jax.Array,
    kernel: Any,
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Attention of scaled q (B, K, G, S, H) to k, v (B, K, T, H), and what its gradient needs."""
    from jax.experimental.pallas.ops.tpu.splash_attention import SegmentIds

    def one_row(q: jax.Array, k: jax.Array, v: jax.Array, segments: SegmentIds) -> Any:
        return jax.vmap(kernel, in_axes=(0, 0, 0, None))(q, k, v, segments)

    out, (log_total,) = jax.vmap(one_row)(q, k, v, SegmentIds(q_segments, k_segments))
    out, log_total = checkpoint_name(out, RESULT), checkpoint_name(log_total, RESULT)
    return out, (q, k, v, q_segments, k_segments, q_rows, out, log_total)


def _backward(
    block: int, interpret: bool, residuals: tuple[jax.Array, ...], gradient: jax.Array
) -> tuple[jax.Array | None, ...]:
    *inputs, out, log_total = residuals
    mean = jnp.sum(out.astype(jnp.float32) * gradient.astype(jnp.float32), axis=-1)
    chip = mesh_chip()
    memory = chip.torus.vector_memory if chip and chip.torus else _LEAST_VECTOR_MEMORY
    gradients = attention_gradients(
        *inputs, log_total, mean, gradient, block, memory // 4, interpret
    )
    return *gradients, None, None, None, None


_attend.defvjp(_forward, _backward)
