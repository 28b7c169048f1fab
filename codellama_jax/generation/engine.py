"""Batched generation with a key-value cache; the decoding loop runs on the device.

Letters: B batch, P padded prompt length, T cache length, V vocabulary.
"""

import functools
from collections.abc import Sequence
from typing import Any

import gin
import jax
import jax.numpy as jnp
import numpy as np

from codellama_jax.errors import UserError
from codellama_jax.generation.sampling import Sampling, choose
from codellama_jax.model import KVCache, LlamaConfig, Params, Rope, apply, empty_cache, split_rope


@gin.configurable
class Engine:
    """Generates from many prompts.

    Prompts are padded to a power of two, so that few programs are compiled, and taken in batches
    of like length.

    Args:
      config, params: the model.
      batch_size: prompts generated at once.
      smallest_bucket: shortest padded prompt, in tokens; a power of two.
      prefill_chunk: tokens of a prompt read at once, a power of two; bounds the attention scores
        held to prefill_chunk x prompt length.
    """

    def __init__(
        self,
        config: LlamaConfig,
        params: Params,
        batch_size: int = 32,
        smallest_bucket: int = 64,
        prefill_chunk: int = 256,
    ):
        for name, size in (("smallest_bucket", smallest_bucket), ("prefill_chunk", prefill_chunk)):
            if size < 1 or size & (size - 1):
                raise UserError(f"Engine.{name} = {size} must be a power of two")
        self.config, self.rope = split_rope(config)
        self.params = params
        self.batch_size, self.smallest_bucket = batch_size, smallest_bucket
        self.prefill_chunk = prefill_chunk

    def generate(
        self, prompts: Sequence[Sequence[int]], stop_ids: Sequence[int], sampling: Sampling
    ) -> list[list[int]]:
        """New ids of each prompt, in its order, without the stop id that ended them.

        Args:
          prompts: ids, each with its bos.
          stop_ids: any of these ends a row.
          sampling: how to choose.
        """
        if any(not prompt for prompt in prompts):
            raise UserError("an empty prompt cannot be continued: give at least bos")
        results: list[list[int]] = [[] for _ in prompts]
        order = sorted(range(len(prompts)), key=lambda n: self._bucket(prompts[n]))
        buckets: dict[int, list[int]] = {}
        for number in order:
            buckets.setdefault(self._bucket(prompts[number]), []).append(number)
        for length, numbers in buckets.items():
            for begin in range(0, len(numbers), self.batch_size):
                chosen = numbers[begin : begin + self.batch_size]
                for number, ids in zip(
                    chosen, self._batch(prompts, chosen, length, stop_ids, sampling)
                ):
                    results[number] = ids
        return results

    def _bucket(self, prompt: Sequence[int]) -> int:
        return max(self.smallest_bucket, 1 << (len(prompt) - 1).bit_length())

    def _batch(
        self,
        prompts: Sequence[Sequence[int]],
        chosen: Sequence[int],
        length: int,
        stop_ids: Sequence[int],
        sampling: Sampling,
    ) -> list[list[int]]:
        rows = 1 << (len(chosen) - 1).bit_length()
        tokens = np.zeros((rows, length), np.int32)
        lengths = np.ones(rows, np.int32)
        for row, number in enumerate(chosen):
            lengths[row] = len(prompts[number])
            tokens[row, : lengths[row]] = prompts[number]
        requests = np.resize(np.array(chosen, np.int32), rows)
        new = _generate(
            self.config,
            min(self.prefill_chunk, length),
            sampling.max_new_tokens,
            sampling.temperature,
            sampling.top_p,
            tuple(stop_ids),
            self.params,
            self.rope,
            tokens,
            lengths,
            requests,
            jnp.arange(rows) < len(chosen),
            sampling.seed,
        )
        stops = set(stop_ids)
        return [_until(row, stops) for row in np.asarray(new)[: len(chosen)].tolist()]


def _until(ids: list[int], stops: set[int]) -> list[int]:
    return ids[: next((n for n, token in enumerate(ids) if token in stops or token < 0), len(ids))]


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4, 5))
def _generate(
    config: LlamaConfig,
    chunk: int,
    max_new: int,
    temperature: float,
    top_p: float,
    stop_ids: tuple[int, ...],
    params: Params,
    rope: Rope,
    tokens: jax.Array,
    lengths: jax.Array,
    requests: jax.Array,
    active: jax.Array,
    seed: jax.Array,
) -> jax.Array:
    """New ids int32 (B, max_new) of padded prompts (B, P); -1 behind a row's stop id."""
    batch, padded = tokens.shape
    cache = empty_cache(config, batch, padded + max_new)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), requests)
    stops = jnp.array(stop_ids, jnp.int32)

    # Padding writes keys behind a row's prompt; each is overwritten before any token may see it.
    def read(cache: KVCache, part: tuple[jax.Array, jax.Array]) -> tuple[KVCache, jax.Array]:
        start, ids = part
        hidden, cache = apply(config, params, "extend", ids, jnp.full(batch, start), cache, rope)
        return cache, hidden

    parts = jnp.moveaxis(tokens.reshape(batch, -1, chunk), 1, 0)
    cache, hidden = jax.lax.scan(read, cache, (jnp.arange(0, padded, chunk), parts))
    hidden = jnp.moveaxis(hidden, 0, 1).reshape(batch, padded, -1)
    last = jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)[:, 0]

    def pick(hidden: jax.Array, step: jax.Array) -> jax.Array:
        logits = apply(config, params, "logits", hidden)
        return choose(
            logits, jax.vmap(jax.random.fold_in, (0, None))(keys, step), temperature, top_p
        )

    def ends(token: jax.Array) -> jax.Array:
        return jnp.any(token[:, None] == stops, axis=-1)

    def more(carry: Any) -> jax.Array:
        step, _, _, done, _ = carry
        return (step < max_new) & ~jnp.all(done)

    def advance(carry: Any) -> Any:
        step, token, cache, done, new = carry
        at = lengths + step - 1
        hidden, cache = apply(config, params, "extend", token[:, None], at, cache, rope)
        token = jnp.where(done, -1, pick(hidden[:, 0], step))
        new = jax.lax.dynamic_update_slice(new, token[:, None], (0, step))
        return step + 1, jnp.maximum(token, 0), cache, done | ends(token), new

    first = jnp.where(active, pick(last, 0), -1)
    new = jnp.full((batch, max_new), -1, jnp.int32).at[:, 0].set(first)
    start = (jnp.int32(1), jnp.maximum(first, 0), cache, ~active | ends(first), new)
    return jax.lax.while_loop(more, advance, start)[-1]
