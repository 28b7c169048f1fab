"""Attention of packed rows on the mesh: which kernel, and how sequences are shared out.

Every device computes the attention of its own rows and heads. Over the mesh's `context` axis each
device also holds a part of the sequence: it keeps its queries and gathers keys and values (Llama 3,
arXiv 2407.21783, section 3.3.2). Under the causal mask late queries see more than early ones, so
that a device is given one early and one late chunk: with c devices, chunks i and 2 c - 1 - i.

Letters: B batch, S sequence, K key-value heads, G queries per key-value head, H head size.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import NamedSharding, PartitionSpec

from codellama_jax.errors import UserError
from codellama_jax.model.attention import blocked_attention, xla_attention
from codellama_jax.model.config import LlamaConfig
from codellama_jax.model.cudnn import cudnn_attention
from codellama_jax.model.splash import RESULT, splash_attention, splash_kernel
from codellama_jax.parallel import mesh_platform, partition_spec

_OF_PLATFORM = {"tpu": "splash", "gpu": "cudnn"}


def context_shards() -> int:
    """Parts that a sequence is cut into on the mesh of `jax.set_mesh`."""
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if mesh.empty else mesh.shape["context"]


def balanced_order(length: int, shards: int) -> np.ndarray:
    """Positions of a sequence in the order in which devices hold them, int (S,).

    Raises:
      UserError: the sequence does not divide into two chunks a device.
    """
    if shards == 1:
        return np.arange(length)
    if length % (2 * shards):
        raise UserError(
            f"a sequence of {length} does not divide into two chunks for each of {shards} shards of"
            " the context axis: set make_mesh.context or the sequence length"
        )
    chunks = np.arange(length).reshape(2 * shards, -1)
    pairs = [(shard, 2 * shards - 1 - shard) for shard in range(shards)]
    return np.concatenate([chunks[n] for pair in pairs for n in pair])


def packed_attention(
    q: jax.Array, k: jax.Array, v: jax.Array, segment_ids: jax.Array, config: LlamaConfig
) -> jax.Array:
    """Each token attends to earlier tokens of its own segment and to itself.

    Args:
      q: (B, S, K, G, H). k, v: (B, S, K, H). In `balanced_order` where the context axis has more
        than one device.
      segment_ids: int32 (B, S), in the same order; 0 marks padding, which attends to padding only.
      config: names the kernel and its block.

    Returns:
      (B, S, K, G, H) in q's dtype.
    """
    mesh = jax.sharding.get_abstract_mesh()
    platform = mesh_platform()
    name = _kernel(config.attention, platform, q.dtype)
    shards, length = context_shards(), q.shape[1]
    order = balanced_order(length, shards)
    kernel: Any = None
    if name == "splash":
        kernel = splash_kernel(
            order, length, q.shape[3], config.attention_block, shards, interpret=platform != "tpu"
        )
    if not mesh.empty:
        _check_batch(q.shape[0], mesh)
    local = functools.partial(_local, name, platform, config.attention_block)
    # What is plain XLA and needs nothing of other devices is partitioned best by XLA itself: 9 % of
    # a training step on two CPU devices, 2026-11-22.
    if mesh.empty or (name in ("xla", "blocked") and shards == 1):
        return local(None, q, k, v, segment_ids, kernel)
    rows = partition_spec(("batch", "sequence"))
    heads = partition_spec(("batch", "sequence", "kv_heads", "head_dim"))
    queries = partition_spec(("batch", "sequence", "kv_heads", "group", "head_dim"))
    of_kernel = PartitionSpec()
    if kernel is not None:
        over = NamedSharding(mesh, PartitionSpec(None, "context"))
        of_kernel = kernel.manual_sharding_spec(over)
    return jax.shard_map(
        functools.partial(local, order if shards > 1 else None),
        in_specs=(queries, heads, heads, rows, of_kernel),
        out_specs=queries,
        check_vma=False,
    )(q, k, v, segment_ids, kernel)


def _kernel(name: str, platform: str, dtype: jnp.dtype) -> str:
    if name != "auto":
        return name
    if platform == "gpu" and dtype not in (jnp.bfloat16, jnp.float16):
        return "blocked"
    return _OF_PLATFORM.get(platform, "blocked")


def _local(
    name: str,
    platform: str,
    block: int,
    order: np.ndarray | None,
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    segment_ids: jax.Array,
    kernel: Any,
) -> jax.Array:
    """One device's part. `order` is None where it holds whole sequences."""
    q_segments, k_segments, q_rows = segment_ids, segment_ids, None
    if order is not None:
        natural = np.argsort(order)
        k, v, k_segments = (
            jax.lax.all_gather(x, "context", axis=1, tiled=True)[:, natural]
            for x in (k, v, segment_ids)
        )
        q_rows = jnp.asarray(order).reshape(-1, q.shape[1])[jax.lax.axis_index("context")]
    rows = jnp.arange(q.shape[1]) if q_rows is None else q_rows
    if name == "splash":
        interpret = platform != "tpu"
        return splash_attention(
            q, k, v, q_segments, k_segments, rows, kernel, block, interpret=interpret
        )
    q = checkpoint_name(q, "query")
    if name == "xla":
        out = xla_attention(q, k, v, q_segments, k_segments, rows)
    elif name == "cudnn":
        out = cudnn_attention(q, k, v, q_segments, k_segments, rows, stand_in=platform != "gpu")
    else:
        return blocked_attention(q, k, v, q_segments, k_segments, q_rows, block)
    return checkpoint_name(out, RESULT)


def _check_batch(batch: int, mesh: jax.sharding.AbstractMesh) -> None:
    axes = partition_spec(("batch",))[0] or ()
    shards = int(np.prod([mesh.shape[axis] for axis in axes]))
    if batch % shards:
        raise UserError(
            f"a batch of {batch} rows does not divide over {shards} devices (mesh axes {axes}): set"
            " Phase.batch_size or make_mesh"
        )
