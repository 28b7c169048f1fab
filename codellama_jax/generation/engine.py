"""Continuous batching: requests wait in a queue, take a free slot, and leave it when they end."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, get_args

import gin
import jax
import numpy as np

from codellama_jax.errors import UserError
from codellama_jax.generation.requests import Request, bucket, pieces, queue
from codellama_jax.generation.sampling import Sampling
from codellama_jax.generation.slots import (
    Chunk,
    Knobs,
    Slots,
    decode,
    empty_rows,
    empty_slots,
    place,
    prefill,
    resize,
)
from codellama_jax.generation.weights import data_shards, mesh_of, to_decode
from codellama_jax.model import CacheDtype, KVCache, LlamaConfig, Params, split_rope

# Told a request's number and all its new ids so far; True ends it.
Watch = Callable[[int, Sequence[int]], bool]


class Finished(NamedTuple):
    """A request that has ended.

    Attributes:
      number: its place among the prompts.
      ids: new ids, without the stop id that ended them.
      logprobs: log-probabilities of the ids, if `Sampling.logprobs` asked for them.
    """

    number: int
    ids: list[int]
    logprobs: list[float] | None


@gin.configurable
class Engine:
    """Generates from many prompts.

    Equal prompts are read once. The cache is as long as the longest request under way needs, in
    powers of two, so that short texts do not attend over the longest that could come.

    On a mesh the parameters tell the layout: slots are split over its data axes, heads over tensor.

    Args:
      config, params: the model.
      batch_size: slots, requests under way at once; a power of two.
      smallest_bucket: shortest cache, and shortest piece of a prompt, in tokens; a power of two.
      prefill_chunk: tokens of a prompt read at once, a power of two; bounds the attention scores
        held to prefill_chunk x prompt length.
      chunk_steps: steps the device takes before it reports, if no slot becomes free; texts that
        stop a request are looked for, and tokens shown, so often.
      cache_dtype: of keys and values; "auto" is the model's compute dtype, "int8" has a scale for
        each token of each head.
    """

    def __init__(
        self,
        config: LlamaConfig,
        params: Params,
        batch_size: int = 32,
        smallest_bucket: int = 64,
        prefill_chunk: int = 256,
        chunk_steps: int = 16,
        cache_dtype: CacheDtype = "auto",
    ):
        _check_powers(
            batch_size=batch_size, smallest_bucket=smallest_bucket, prefill_chunk=prefill_chunk
        )
        if prefill_chunk < smallest_bucket:
            raise UserError(
                f"Engine.prefill_chunk = {prefill_chunk} must be at least smallest_bucket ="
                f" {smallest_bucket}"
            )
        if chunk_steps < 1:
            raise UserError(f"Engine.chunk_steps = {chunk_steps} must be at least 1")
        if cache_dtype not in get_args(CacheDtype):
            choices = ", ".join(get_args(CacheDtype))
            raise UserError(f"Engine.cache_dtype = {cache_dtype!r}: choose one of {choices}")
        self._mesh = mesh_of(params)
        self._fewest = data_shards(self._mesh)
        if batch_size % self._fewest:
            raise UserError(
                f"Engine.batch_size = {batch_size} does not divide over {self._fewest} shards of"
                " the mesh's data axes"
            )
        self._config, self._rope = split_rope(config)
        self._params = to_decode(self._config, params)
        self._batch_size, self._smallest = batch_size, smallest_bucket
        self._prefill_chunk, self._chunk_steps = prefill_chunk, chunk_steps
        self._cache_dtype = cache_dtype

    def generate(
        self, prompts: Sequence[Sequence[int]], stop_ids: Sequence[int], sampling: Sampling
    ) -> list[list[int]]:
        """New ids of each prompt, in its order, without the stop id that ended them.

        Args:
          prompts: ids, each with its bos.
          stop_ids: any of these ends a request.
          sampling: how to choose; its `stop` texts are for those who know the vocabulary.
        """
        results: list[list[int]] = [[] for _ in prompts]
        for finished in self.stream(prompts, stop_ids, sampling):
            results[finished.number] = finished.ids
        return results

    def stream(
        self,
        prompts: Sequence[Sequence[int]],
        stop_ids: Sequence[int],
        sampling: Sampling,
        watch: Watch | None = None,
        draws: Sequence[int] | None = None,
    ) -> Iterator[Finished]:
        """Requests as they end. What a request gives depends on its draw and `sampling` alone.

        Args:
          prompts, stop_ids, sampling: as for `generate`.
          watch: is told the new ids of each request under way after every `chunk_steps` steps or
            fewer, and may end it.
          draws: a number in [0, 2**31) for each request; their places unless given.

        Raises:
          UserError: an empty prompt.
        """
        if any(not prompt for prompt in prompts):
            raise UserError("an empty prompt cannot be continued: give at least bos")
        draws = range(len(prompts)) if draws is None else draws
        return self._run(prompts, tuple(stop_ids), sampling, watch, draws)

    def _run(
        self,
        prompts: Sequence[Sequence[int]],
        stop_ids: tuple[int, ...],
        sampling: Sampling,
        watch: Watch | None,
        draws: Sequence[int],
    ) -> Iterator[Finished]:
        step = functools.partial(
            decode, self._config, self._chunk_steps, sampling.temperature == 0, sampling.logprobs
        )
        knobs = Knobs.of(sampling, stop_ids)
        waiting = queue(prompts, draws)
        rows = min(self._batch_size, bucket(len(prompts), self._fewest))
        taken: list[Request | None] = [None] * rows
        slots: Slots | None = None
        left = len(prompts)
        while left or any(taken):
            fresh = {}
            for slot in [slot for slot, request in enumerate(taken) if request is None]:
                if left:
                    left -= 1
                    taken[slot] = fresh[slot] = next(waiting)
            slots, taken = self._fitted(slots, taken, bool(left))
            for slot, request in fresh.items():
                slots = self._place(slots, slot, request)
            enough = 1 if left else len(taken)
            with self._on_mesh():
                slots, chunk = step(self._params, self._rope, slots, knobs, enough)
            ended = _hear(taken, chunk, stop_ids, sampling, watch)
            with self._on_mesh():  # those that `watch` ended, too
                slots = slots._replace(active=slots.active & ~ended)
            for slot in np.flatnonzero(ended):
                request, taken[slot] = taken[slot], None
                yield _finished(request, stop_ids, sampling)

    def _fitted(
        self, slots: Slots | None, taken: list[Request | None], more: bool
    ) -> tuple[Slots, list[Request | None]]:
        """As many slots, and as long a cache, as the requests under way need for a chunk.

        Slots are given up when nothing waits for them and half of them would do.
        """
        longest = max(request.length for request in taken if request)
        length = bucket(longest + self._chunk_steps, self._smallest)
        with self._on_mesh():
            if slots is None:
                slots = empty_slots(self._config, len(taken), length, self._cache_dtype)
                return slots, taken
            kept = [slot for slot, request in enumerate(taken) if request]
            rows = len(taken) if more else bucket(len(kept), self._fewest)
            if (rows, length) == (len(taken), slots.cache[0].key.shape[2]):
                return slots, taken
            if rows < len(taken):
                kept += [slot for slot, request in enumerate(taken) if not request]
            else:
                kept = list(range(len(taken)))
            slots = resize(slots, np.array(kept[:rows]), length)
        return slots, [taken[slot] for slot in kept[:rows]]

    def _place(self, slots: Slots, slot: int, request: Request) -> Slots:
        ids = request.prompt.ids
        with self._on_mesh():
            cache = request.place(self._read)
            return place(slots, cache, slot, ids[-1], len(ids) - 1, request.draw)

    def _read(self, ids: Sequence[int]) -> KVCache:
        """The cache of one row with all ids but the last, which the first step reads."""
        count = len(ids) - 1
        length = bucket(count, self._smallest)
        cache = empty_rows(self._config, 1, length, self._cache_dtype)
        for start, size in pieces(count, self._smallest, self._prefill_chunk):
            tokens = np.zeros((1, size), np.int32)
            part = ids[start : min(start + size, count)]
            tokens[0, : len(part)] = part
            cache = prefill(self._config, self._params, self._rope, tokens, start, cache)
        return cache

    def _on_mesh(self) -> contextlib.AbstractContextManager:
        return jax.set_mesh(self._mesh) if self._mesh else contextlib.nullcontext()


def _hear(
    taken: Sequence[Request | None],
    chunk: Chunk,
    stop_ids: Sequence[int],
    sampling: Sampling,
    watch: Watch | None,
) -> np.ndarray:
    """Gives each request what a chunk brought; bool (B,), those that have ended."""
    chunk = jax.device_get(chunk)
    ended = np.zeros(len(taken), bool)
    for slot, request in enumerate(taken):
        if request is None:
            continue
        count = int(np.sum(chunk.tokens[slot] >= 0))
        request.ids += chunk.tokens[slot, :count].tolist()
        if chunk.logprobs is not None:
            request.logprobs += chunk.logprobs[slot, :count].tolist()
        ended[slot] = request.ids[-1] in stop_ids or len(request.ids) >= sampling.max_new_tokens
        if watch is not None:
            ended[slot] |= watch(request.number, _without_stop(request.ids, stop_ids))
    return ended


def _without_stop(ids: list[int], stop_ids: Sequence[int]) -> list[int]:
    return ids[:-1] if ids[-1] in stop_ids else ids


def _finished(request: Request, stop_ids: Sequence[int], sampling: Sampling) -> Finished:
    ids = _without_stop(request.ids, stop_ids)
    return Finished(
        request.number, ids, request.logprobs[: len(ids)] if sampling.logprobs else None
    )


def _check_powers(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1 or size & (size - 1):
            raise UserError(f"Engine.{name} = {size} must be a power of two")
