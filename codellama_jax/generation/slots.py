"""What is on the device while texts are generated, and the programs that change it.

A slot is a row of the cache with the request that is in it. Each program takes the slots and gives
them back in place. Nothing here depends on a single request, so that few programs are compiled: one
for each number of slots, cache length and piece of a prompt, all powers of two.

Letters: B slots, T cache length, S tokens of a prompt, N steps, V vocabulary.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from codellama_jax.generation.sampling import Sampling, choose, token_logprobs
from codellama_jax.model import (
    CacheDtype,
    DecodingParams,
    KVCache,
    LlamaConfig,
    Rope,
    decoding_logits,
    empty_cache,
    extend,
    laid_out,
    merge_caches,
    step,
    write_part,
)


class Slots(NamedTuple):
    """B requests under way.

    Attributes:
      cache: (B, K, T, H) in each layer.
      token: int32 (B,), the last token of each, which the cache does not hold yet.
      length: int32 (B,), tokens in the cache.
      request: int32 (B,), numbers of the requests.
      step: int32 (B,), tokens generated.
      active: bool (B,).
    """

    cache: KVCache
    token: jax.Array
    length: jax.Array
    request: jax.Array
    step: jax.Array
    active: jax.Array


class Knobs(NamedTuple):
    """Numbers of a `Sampling` and ids that end a text; data, so that nothing is compiled anew."""

    temperature: float
    top_p: float
    top_k: int
    max_new_tokens: int
    seed: int
    stop_ids: np.ndarray

    @classmethod
    def of(cls, sampling: Sampling, stop_ids: Sequence[int]) -> "Knobs":
        """Those of a sampling and of ids that end a text."""
        return cls(
            float(sampling.temperature),
            float(sampling.top_p),
            sampling.top_k,
            sampling.max_new_tokens,
            sampling.seed,
            np.array(stop_ids, np.int32),
        )


class Chunk(NamedTuple):
    """What some steps brought: tokens int32 (B, N), -1 where there is none, and log-probabilities
    float32 (B, N) if they were asked for."""

    tokens: jax.Array
    logprobs: jax.Array | None


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def empty_rows(config: LlamaConfig, rows: int, length: int, dtype: CacheDtype) -> KVCache:
    """A cache of zeros, on the mesh."""
    return laid_out(empty_cache(config, rows, length, dtype))


def empty_slots(config: LlamaConfig, slots: int, length: int, dtype: CacheDtype) -> Slots:
    """Slots without requests."""
    numbers = [jnp.zeros(slots, jnp.int32) for _ in range(4)]
    return Slots(empty_rows(config, slots, length, dtype), *numbers, jnp.zeros(slots, bool))


@functools.partial(jax.jit, static_argnums=0, donate_argnames="cache")
def prefill(
    config: LlamaConfig,
    params: DecodingParams,
    rope: Rope,
    tokens: jax.Array,
    at: jax.Array,
    cache: KVCache,
) -> KVCache:
    """The cache of one row with tokens (1, S) read into columns at ... at + S - 1.

    Padding writes keys behind a prompt; each is overwritten before any token may see it.
    """
    return laid_out(extend(config, params, tokens, at[None], cache, rope)[1])


@functools.partial(jax.jit, donate_argnames="slots")
def place(
    slots: Slots,
    prompt: KVCache,
    slot: jax.Array,
    token: jax.Array,
    length: jax.Array,
    request: jax.Array,
) -> Slots:
    """The slots with a request in one of them.

    Args:
      prompt: one row that holds all of the prompt but its last token; at most T long.
      slot, token, length, request: int32; the token is the prompt's last.
    """

    return Slots(
        laid_out(jax.tree.map(lambda rows, row: write_part(rows, row, slot), slots.cache, prompt)),
        slots.token.at[slot].set(token),
        slots.length.at[slot].set(length),
        slots.request.at[slot].set(request),
        slots.step.at[slot].set(0),
        slots.active.at[slot].set(True),
    )


@functools.partial(jax.jit, static_argnums=2)
def resize(slots: Slots, rows: jax.Array, length: int) -> Slots:
    """The slots at `rows`, with a cache of another length."""

    def fit(array: jax.Array) -> jax.Array:
        array = array[rows, :, :length]
        padding = [(0, 0)] * array.ndim
        padding[2] = (0, length - array.shape[2])
        return jnp.pad(array, padding)

    cache = laid_out(jax.tree.map(fit, slots.cache))
    return Slots(cache, *(array[rows] for array in slots[1:]))


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3), donate_argnames="slots")
def decode(
    config: LlamaConfig,
    steps: int,
    greedy: bool,
    logprobs: bool,
    params: DecodingParams,
    rope: Rope,
    slots: Slots,
    knobs: Knobs,
    enough: jax.Array,
) -> tuple[Slots, Chunk]:
    """Up to N = `steps` tokens more for each active slot, without leaving the device.

    Args:
      greedy: take the most probable token; `knobs` say how to draw otherwise.
      logprobs: give the log-probabilities of the tokens.
      enough: int32, return early when so many requests have ended.
    """
    rows = slots.token.shape[0]
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(knobs.seed), slots.request)
    remaining = jnp.maximum(jnp.sum(slots.active) - enough, 0)
    cache, length = slots.cache, slots.length

    def more(carry: _Loop) -> jax.Array:
        return (carry.turn < steps) & (jnp.sum(carry.active) > remaining)

    def advance(carry: _Loop) -> _Loop:
        hidden, recent = step(
            config, params, carry.token, length, cache, carry.recent, carry.turn, rope
        )
        logits = decoding_logits(params, hidden)
        if greedy:
            token = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        else:
            own = jax.vmap(jax.random.fold_in)(keys, carry.step)
            token = choose(logits, own, knobs.temperature, knobs.top_p, knobs.top_k)
        put = functools.partial(jax.lax.dynamic_update_slice_in_dim, axis=1)
        shown = jnp.where(carry.active, token, -1)[:, None]
        tokens, found = put(carry.chunk.tokens, shown, carry.turn), None
        if logprobs:
            chosen = token_logprobs(logits, token)[:, None]
            found = put(carry.chunk.logprobs, chosen, carry.turn)
        after = carry.step + carry.active
        ended = (after >= knobs.max_new_tokens) | jnp.isin(token, knobs.stop_ids)
        return _Loop(
            carry.turn + 1,
            laid_out(recent),
            jnp.where(carry.active, token, carry.token),
            after,
            carry.active & ~ended,
            Chunk(tokens, found),
        )

    tokens = jnp.full((rows, steps), -1, jnp.int32)
    chunk = Chunk(tokens, jnp.zeros((rows, steps)) if logprobs else None)
    kind = str(cache[0].key.dtype)
    recent = laid_out(empty_cache(config, rows, steps, kind))
    start = _Loop(jnp.int32(0), recent, slots.token, slots.step, slots.active, chunk)
    end = jax.lax.while_loop(more, advance, start)
    cache = laid_out(merge_caches(cache, end.recent, length))
    grown = length + end.step - slots.step
    return Slots(cache, end.token, grown, slots.request, end.step, end.active), end.chunk


class _Loop(NamedTuple):
    """What changes from step to step; `turn` counts them, the rest is as in `Slots`."""

    turn: jax.Array
    recent: KVCache
    token: jax.Array
    step: jax.Array
    active: jax.Array
    chunk: Chunk
