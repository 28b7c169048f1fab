"""Flash attention on GPU: cuDNN's, through JAX.

cuDNN knows causal masks but no segments, so that these are given as a mask: of S x T booleans a
row, shared by all heads. Its kernels are of half precision.

Letters: B batch, S query rows, T key rows, K key-value heads, G queries per key-value head, H head
size.
"""

import jax
import jax.numpy as jnp

from codellama_jax.model.flash import segment_mask


def cudnn_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    q_segments: jax.Array,
    k_segments: jax.Array,
    q_rows: jax.Array,
    stand_in: bool,
) -> jax.Array:
    """Each token attends to earlier tokens of its own segment and to itself.

    Args:
      q: (B, S, K, G, H), bfloat16 or float16. k, v: (B, T, K, H).
      q_segments, k_segments: int32 (B, S) and (B, T).
      q_rows: int32 (S,), which of the T rows each query stands in.
      stand_in: use JAX's plain implementation of the same function, for machines without a GPU.

    Returns:
      (B, S, K, G, H) in q's dtype.
    """
    mask = segment_mask(q_segments, k_segments, q_rows)[:, None]
    heads = q.reshape(*q.shape[:2], -1, q.shape[-1])
    out = jax.nn.dot_product_attention(
        heads, k, v, mask=mask, implementation="xla" if stand_in else "cudnn"
    )
    return jnp.reshape(out, q.shape)
