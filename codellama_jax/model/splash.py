"""Flash attention on TPU: JAX's Pallas kernel "splash", which skips what the mask leaves out.

Letters: B batch, S query rows, T key rows, K key-value heads, G queries per key-value head, H head
size.
"""

import math
from typing import Any

import jax
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from codellama_jax.model.fusing import unfused

# By this name a remat policy keeps the kernel's results, so that it does not run twice.
RESULT = "attention"


def splash_kernel(
    q_rows: np.ndarray, k_length: int, groups: int, block: int, shards: int, interpret: bool
) -> Any:
    """The kernel of one key-value head: a pytree of the mask's blocks.

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
    q_block, k_block = math.gcd(block, len(q_rows) // shards), math.gcd(block, k_length)
    sizes = splash.BlockSizes(
        block_q=q_block,
        block_kv=k_block,
        block_kv_compute=k_block,
        block_q_dkv=q_block,
        block_kv_dkv=k_block,
        block_kv_dkv_compute=k_block,
        use_fused_bwd_kernel=True,
    )
    return splash.make_splash_mqa(
        splash.MultiHeadMask([mask] * groups),
        block_sizes=sizes,
        head_shards=1,
        q_seq_shards=shards,
        residual_checkpoint_name=RESULT,
        interpret=interpret,
    )


def splash_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    q_segments: jax.Array,
    k_segments: jax.Array,
    kernel: Any,
) -> jax.Array:
    """Attention of q (B, S, K, G, H) to k, v (B, T, K, H) by a `splash_kernel`.

    Tokens attend to their own segment, int32 (B, S) and (B, T). Returns (B, S, K, G, H).
    """
    from jax.experimental.pallas.ops.tpu.splash_attention import SegmentIds

    def one_row(q: jax.Array, k: jax.Array, v: jax.Array, segments: SegmentIds) -> jax.Array:
        return jax.vmap(kernel, in_axes=(0, 0, 0, None))(q, k, v, segments)

    q = checkpoint_name((q * q.shape[-1] ** -0.5).transpose(0, 2, 3, 1, 4), "query")
    k, v = k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)
    out = unfused(jax.vmap(one_row)(q, k, v, SegmentIds(q_segments, k_segments)))
    return out.transpose(0, 3, 1, 2, 4).astype(v.dtype)
