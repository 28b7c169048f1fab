"""The kernel of attention's backward pass, interpreted, beside the gradients of plain attention."""

import functools
import re

import helpers  # noqa: F401  (virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama_jax.model.attention import xla_attention
from codellama_jax.model.splash_backward import attention_gradients

B, S, T, K, G, H, BLOCK = 2, 256, 512, 2, 3, 128, 128
BLOCK_BYTES = BLOCK * H * 4
WHOLE = K * G * S * H * 4
# Each device of a context axis of two holds an early and a late part of the sequence.
ROWS = np.r_[64 : 64 + S // 2, T - S // 2 : T]


@pytest.fixture(scope="module")
def arrays():
    """Scaled q (B, K, G, S, H), k and v (B, K, T, H), and the gradient of the result."""
    r = np.random.default_rng(0)
    q, gradient = (r.normal(size=(B, K, G, S, H)).astype(np.float32) for _ in range(2))
    k, v = (r.normal(size=(B, K, T, H)).astype(np.float32) for _ in range(2))
    return q * H**-0.5, k, v, gradient


@functools.partial(jax.jit, static_argnames="room")
def of_kernel(q, k, v, gradient, segments, rows, room=WHOLE):
    """Gradients by the kernel, from what a forward pass leaves."""
    wide_q, wide_k, wide_v = (x.astype(jnp.float32) for x in (q, k, v))
    scores = jnp.einsum("BKGSH,BKTH->BKGST", wide_q, wide_k)
    own = segments[:, rows]
    seen = (own[:, :, None] == segments[:, None, :]) & (rows[:, None] >= jnp.arange(T))
    scores = jnp.where(seen[:, None, None], scores, -jnp.inf)
    log_total = jax.nn.logsumexp(scores, axis=-1)
    out = jnp.einsum("BKGST,BKTH->BKGSH", jnp.exp(scores - log_total[..., None]), wide_v)
    mean = jnp.sum(out * gradient, axis=-1)
    return attention_gradients(
        q, k, v, own, segments, rows, log_total, mean, gradient, BLOCK, room, interpret=True
    )


@jax.jit
def expected(q, k, v, gradient, segments, rows):
    """The same by differentiating attention with all scores at once."""

    def attend(q, k, v):
        q = q.transpose(0, 3, 1, 2, 4) * H**0.5
        k, v = k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)
        out = xla_attention(q, k, v, segments[:, rows], segments, rows)
        return out.transpose(0, 2, 3, 1, 4)

    return jax.vjp(attend, q, k, v)[1](gradient)


def agree(found, theirs):
    for ours, other in zip(found, theirs, strict=True):
        np.testing.assert_allclose(ours, other, rtol=0, atol=2e-5 * np.abs(other).max())


@given(
    ends=st.lists(st.integers(1, T), min_size=2 * B, max_size=2 * B),
    room=st.sampled_from([BLOCK_BYTES, 3 * BLOCK_BYTES, WHOLE]),
    late=st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_any_packing_in_any_room(arrays, ends, room, late):
    """Three segments a row, queries in one or several parts, whole rows or those of a shard."""
    segments = np.full((B, T), 3, np.int32)
    for row, pair in zip(segments, np.reshape(ends, (B, 2))):
        row[: max(pair)] = 2
        row[: min(pair)] = 1
    rows = jnp.asarray(ROWS if late else np.arange(S))
    agree(of_kernel(*arrays, segments, rows, room=room), expected(*arrays, segments, rows))


@pytest.mark.parametrize("why", ["segment", "future"])
def test_pairs_of_blocks_that_nothing_joins_are_not_computed(arrays, why):
    """What is not a number there would spread."""
    q, k, v, gradient = arrays
    segments = np.ones((B, T), np.int32)
    if why == "segment":
        segments[:, BLOCK:] = 2
        rows, left_out = jnp.arange(T - S, T), slice(0, BLOCK)
    else:
        rows, left_out = jnp.arange(S), slice(S, T)
    k, v = k.copy(), v.copy()
    k[:, :, left_out] = v[:, :, left_out] = np.nan
    log_total = jnp.zeros((B, K, G, S))
    dq, dk, dv = attention_gradients(
        q, k, v, segments[:, rows], segments, rows, log_total, log_total, gradient,
        BLOCK, WHOLE, interpret=True,
    )  # fmt: skip
    assert np.isfinite(dq).all()
    for found in (dk, dv):
        assert not np.any(found[:, :, left_out])
        assert np.isfinite(found).all() and np.any(found)


def test_bfloat16_is_as_near_as_its_inputs(arrays):
    rounded = [jnp.asarray(x, jnp.bfloat16) for x in arrays]
    segments, rows = np.ones((B, T), np.int32), jnp.asarray(ROWS)
    exact = expected(*(x.astype(jnp.float32) for x in rounded), segments, rows)
    for ours, theirs in zip(of_kernel(*rounded, segments, rows), exact):
        assert ours.dtype == jnp.bfloat16
        distance = np.linalg.norm(np.float32(ours) - theirs) / np.linalg.norm(theirs)
        assert distance < 6e-3


def test_a_tpu_holds_no_gradient_for_each_block_of_keys():
    """The forward and backward pass of packed attention, compiled by the real compiler."""
    pytest.importorskip("libtpu", reason="libtpu is not installed: pip install 'libtpu==0.0.42.*'")
    from codellama_jax.model.packed import packed_attention
    from codellama_jax.parallel import make_mesh
    from codellama_jax.planning.topologies import topology

    from .reference import tiny

    mesh = make_mesh(devices=topology("v5e-1").devices())
    here = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    config = tiny(attention="splash", attention_block=512)

    def total(q, k, v, segments):
        return jnp.sum(packed_attention(q, k, v, segments, config).astype(jnp.float32) ** 2)

    length = 16_384  # 32 blocks
    shapes = [(1, length, 4, 2, H), (1, length, 4, H), (1, length, 4, H)]
    inputs = [jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=here) for shape in shapes]
    segments = jax.ShapeDtypeStruct((1, length), jnp.int32, sharding=here)
    with jax.set_mesh(mesh):
        compiled = jax.jit(jax.grad(total, (0, 1, 2))).lower(*inputs, segments).compile()
    assert re.search("custom-call.*attention_backward", compiled.as_text())
    assert compiled.memory_analysis().temp_size_in_bytes < 5 * 2 * np.prod(shapes[0])
