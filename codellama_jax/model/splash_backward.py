"""Backward pass of flash attention on TPU: a Pallas kernel that sums all three gradients itself.

FlashAttention-2 (Dao 2023, arXiv 2307.08691, algorithm 2): keys outside, queries inside, scores
computed anew. The gradient of the queries stays in vector memory, in float32, until the last keys
were seen. JAX's "splash", which `model/splash.py` takes for the forward pass, writes that gradient
once for each block of keys, in the inputs' dtype, for XLA to add up: memory that grows with the
square of the length (docs/model.md). Here rows and heads may be shared out over the two cores of a
chip, and pairs of blocks without a common segment are left out like those of the future.

Letters: B batch, S query rows, T key rows, K key-value heads, G queries per key-value head, H head
size, R = G S rows of queries of a key-value head, P parts of these, I and J blocks of S and T.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

# Of vector memory beside the sum of the queries' gradient: at blocks of 1,024 the kernel takes
# some 14 MiB in bfloat16, 18 in float32.
_BESIDE = 24 * 2**20
_SUBLANES = 8
_PRODUCTS = 5
_MASKED = -1e38


def attention_gradients(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    q_segments: jax.Array,
    k_segments: jax.Array,
    q_rows: jax.Array,
    log_total: jax.Array,
    mean: jax.Array,
    gradient: jax.Array,
    block: int,
    room: int,
    interpret: bool = False,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Gradients of attention's inputs, from that of its result.

    Args:
      q: (B, K, G, S, H), already scaled. k, v: (B, K, T, H).
      q_segments, k_segments: int32 (B, S) and (B, T).
      q_rows: int32 (S,), which of the T rows each query stands in.
      log_total: float32 (B, K, G, S), the logarithm of the sum of each query's exponentials.
      mean: float32 (B, K, G, S), the sum of each query's result times its gradient.
      gradient: (B, K, G, S, H), of the result.
      block: query and key rows taken at a time, a power of two; halved until it divides them.
      room: bytes of vector memory for the float32 sum of the queries' gradient. Queries that take
        more go in P parts, each of which leaves gradients of keys and values to add up.
      interpret: run without a TPU, slowly, for tests.

    Returns:
      Gradients of q, k and v, in their shapes and dtypes.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    batch, heads, groups, length, size = q.shape
    blocks = _Blocks.of(groups, length, k.shape[2], size, block, room)
    rows, keys, flat = (blocks.q_size, size), (blocks.k_size, size), (batch, heads, groups * length)
    of_parts = jax.ShapeDtypeStruct(
        (batch, heads, blocks.parts, *k.shape[2:]), k.dtype if blocks.parts == 1 else jnp.float32
    )
    # Blocks by what their index is taken from, b, h, p, j, i and the tables of `_pairs`.
    queries = pl.BlockSpec((None, None, *rows), lambda *at: (*at[:2], blocks.query(*at), 0))
    of_query = pl.BlockSpec(
        (None, None, _SUBLANES, rows[0]), lambda *at: (*at[:2], 0, blocks.query(*at))
    )
    segments = pl.BlockSpec((None, 1, rows[0]), lambda *at: (at[0], 0, blocks.place(*at)))
    places = pl.BlockSpec((1, rows[0]), lambda *at: (0, blocks.place(*at)))
    to_queries = pl.BlockSpec((None, None, *rows), lambda *at: (*at[:2], blocks.written(*at), 0))
    key_rows = pl.BlockSpec((None, None, *keys), lambda *at: (*at[:2], at[3], 0))
    key_segments = pl.BlockSpec((None, keys[0], 1), lambda *at: (at[0], at[3], 0))
    to_keys = pl.BlockSpec((None, None, None, *keys), lambda *at: (*at[:4], 0))

    def in_sublanes(x: jax.Array) -> jax.Array:
        """(B, K, G, S) as (B, K, 8, R); alone, (1, R) would be tiles of one row, and XLA would turn
        all that x is computed from into such tiles, 5.8 ms a layer of 7B on v5e."""
        return jnp.broadcast_to(x.reshape(*flat[:2], 1, -1), (*flat[:2], _SUBLANES, flat[2]))

    sums = [(blocks.turns * rows[0], size), keys, keys]
    dq, dk, dv = pl.pallas_call(
        functools.partial(_kernel, blocks),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=2,
            grid=(batch, heads, blocks.parts, blocks.k_count, blocks.turns),
            in_specs=[
                queries,
                key_rows,
                key_rows,
                queries,
                of_query,
                of_query,
                segments,
                key_segments,
                places,
            ],
            out_specs=[to_queries, to_keys, to_keys],
            scratch_shapes=[pltpu.VMEM(shape, jnp.float32) for shape in sums],
        ),
        out_shape=[jax.ShapeDtypeStruct((*flat, size), q.dtype), of_parts, of_parts],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "parallel", "arbitrary", "arbitrary"),
            vmem_limit_bytes=math.prod(sums[0]) * 4 + _BESIDE,
        ),
        cost_estimate=blocks.cost(batch * heads, size, q.dtype.itemsize),
        name="attention_backward",
        interpret=interpret,
    )(
        *_pairs(q_segments, k_segments, q_rows, blocks),
        q.reshape(*flat, size),
        k,
        v,
        gradient.reshape(*flat, size),
        in_sublanes(log_total),
        in_sublanes(mean),
        q_segments[:, None],
        k_segments[:, :, None],
        q_rows[None],
    )
    dk, dv = (x[:, :, 0] if blocks.parts == 1 else jnp.sum(x, axis=2) for x in (dk, dv))
    return dq.reshape(q.shape), dk.astype(k.dtype), dv.astype(v.dtype)


@dataclasses.dataclass(frozen=True)
class _Blocks:
    """How rows are taken. A turn of the kernel is at (b, h, p, j, i): row of the batch, key-value
    head, part of the queries, block of keys, and of the part's queries.

    Attributes:
      q_size, k_size: rows of a block.
      q_count, k_count: I and J.
      parts: P.
      turns: blocks of queries in a part, G I / P.
    """

    q_size: int
    k_size: int
    q_count: int
    k_count: int
    parts: int
    turns: int

    @classmethod
    def of(cls, groups: int, length: int, keys: int, size: int, block: int, room: int) -> "_Blocks":
        """Blocks of at most `block` rows, and as few parts as there is room for."""
        q_size, k_size = math.gcd(block, length), math.gcd(block, keys)
        total, largest = groups * length // q_size, max(room // (q_size * size * 4), 1)
        parts = next(n for n in range(1, total + 1) if total % n == 0 and total // n <= largest)
        return cls(q_size, k_size, length // q_size, keys // k_size, parts, total // parts)

    def pair(self, b: Any, p: Any, j: Any, i: Any) -> Any:
        """Where a turn's blocks stand in what `_pairs` gives."""
        return (b * self.k_count + j) * self.q_count + (p * self.turns + i) % self.q_count

    def query(self, b: Any, h: Any, p: Any, j: Any, i: Any, held: Any, _: Any) -> Any:
        """The block of R rows that a turn holds."""
        row = p * self.turns + i
        return row - row % self.q_count + held[self.pair(b, p, j, i)]

    def place(self, *at: Any) -> Any:
        """The same among the S rows."""
        return self.query(*at) % self.q_count

    def written(self, b: Any, h: Any, p: Any, j: Any, i: Any, *_: Any) -> Any:
        """The block of R rows to write: the first until the last keys, then each in its turn."""
        return p * self.turns + jnp.where(j == self.k_count - 1, i, 0)

    def cost(self, heads: int, size: int, itemsize: int) -> Any:
        """Of the pairs that causality leaves, those on the diagonal whole, for all heads."""
        from jax.experimental import pallas as pl

        rows, keys = self.turns * self.parts * self.q_size, self.k_count * self.k_size
        share = min(0.5 + max(self.q_size, self.k_size) / (2 * keys), 1.0)
        moved = rows * (1 + 2 * self.k_count * share) + 4 * keys * self.parts
        return pl.CostEstimate(
            flops=round(heads * rows * keys * share * size * 2 * _PRODUCTS),
            transcendentals=round(heads * rows * keys * share),
            bytes_accessed=round(heads * moved * size * itemsize),
        )


def _pairs(
    q_segments: jax.Array, k_segments: jax.Array, q_rows: jax.Array, blocks: _Blocks
) -> tuple[jax.Array, jax.Array]:
    """For each pair of blocks, int32 (B J I,): the queries to hold, and 1 where it is computed.

    Held are the pair's own queries if it is computed, else the next that are, as they will be
    needed, or at the end the last.
    """

    def ends(x: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
        x = x.reshape(*x.shape[:-1], -1, size)
        return jnp.min(x, axis=-1), jnp.max(x, axis=-1)

    q_low, q_high = (x[:, None, :] for x in ends(q_segments, blocks.q_size))
    k_low, k_high = (x[:, :, None] for x in ends(k_segments, blocks.k_size))
    _, last_row = ends(q_rows, blocks.q_size)
    first_row = jnp.arange(blocks.k_count) * blocks.k_size
    computed = (last_row >= first_row[:, None]) & (q_high >= k_low) & (q_low <= k_high)
    number, none = jnp.arange(blocks.q_count), blocks.q_count
    following = jax.lax.cummin(jnp.where(computed, number, none), axis=2, reverse=True)
    last = jnp.max(jnp.where(computed, number, 0), axis=2, keepdims=True)
    held = jnp.where(following < none, following, last)
    return held.astype(jnp.int32).ravel(), computed.astype(jnp.int32).ravel()


def _kernel(
    blocks: _Blocks,
    held: Any,
    computed: Any,
    q: Any,
    k: Any,
    v: Any,
    gradient: Any,
    log_total: Any,
    mean: Any,
    q_segments: Any,
    k_segments: Any,
    q_rows: Any,
    dq: Any,
    dk: Any,
    dv: Any,
    q_sum: Any,
    k_sum: Any,
    v_sum: Any,
) -> None:
    from jax.experimental import pallas as pl

    b, _, p, j, i = (pl.program_id(axis) for axis in range(5))
    rows = pl.ds(pl.multiple_of(i * blocks.q_size, blocks.q_size), blocks.q_size)

    @pl.when(j == 0)
    def no_keys_yet() -> None:
        q_sum[rows, :] = jnp.zeros((blocks.q_size, q_sum.shape[1]), jnp.float32)

    @pl.when(i == 0)
    def no_queries_yet() -> None:
        k_sum[...] = jnp.zeros_like(k_sum)
        v_sum[...] = jnp.zeros_like(v_sum)

    @pl.when(computed[blocks.pair(b, p, j, i)] == 1)
    def of_pair() -> None:
        queries, keys, results = q[...], k[...], gradient[...]
        # Keys along the first dimension, so that what is a number of each query lies along lanes.
        scores = _product(keys, queries, (1, 1))
        row = j * blocks.k_size + jax.lax.broadcasted_iota(jnp.int32, scores.shape, 0)
        seen = (k_segments[...] == q_segments[...]) & (q_rows[...] >= row)
        weights = jnp.exp(jnp.where(seen, scores, _MASKED) - log_total[:1])
        to_scores = (_product(v[...], results, (1, 1)) - mean[:1]) * weights
        to_scores = to_scores.astype(queries.dtype)
        # In this order the compiler's schedule is the shortest, by 7 % of v5e's.
        v_sum[...] += _product(weights.astype(results.dtype), results, (1, 0))
        k_sum[...] += _product(to_scores, queries, (1, 0))
        q_sum[rows, :] += _product(to_scores, keys, (0, 0))

    @pl.when(j == blocks.k_count - 1)
    def all_keys_seen() -> None:
        dq[...] = q_sum[rows, :].astype(dq.dtype)

    @pl.when(i == blocks.turns - 1)
    def all_queries_seen() -> None:
        dk[...] = k_sum[...].astype(dk.dtype)
        dv[...] = v_sum[...].astype(dv.dtype)


def _product(a: jax.Array, b: jax.Array, summed: tuple[int, int]) -> jax.Array:
    """Float32 product of matrices, summed over one dimension of each."""
    dimensions = (((summed[0],), (summed[1],)), ((), ()))
    return jax.lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)
