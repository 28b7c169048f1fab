"""Requests on the host: what each has so far, and in which order they are taken."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from codellama_jax.model import KVCache


@dataclasses.dataclass(eq=False)
class Prompt:
    """Ids that one or several requests begin with.

    Attributes:
      ids: from bos on.
      waiting: requests with this prompt that have no slot yet.
      cache: all but the last of the ids, read, from the first of these requests to the last.
    """

    ids: tuple[int, ...]
    waiting: int = 0
    cache: KVCache | None = None


@dataclasses.dataclass(eq=False)
class Request:
    """One continuation.

    Attributes:
      number: its place among the prompts given.
      draw: decides its samples, with the seed of the sampling.
      ids, logprobs: of the tokens generated so far.
    """

    number: int
    draw: int
    prompt: Prompt
    ids: list[int] = dataclasses.field(default_factory=list)
    logprobs: list[float] = dataclasses.field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens in the cache: all but the last."""
        return len(self.prompt.ids) + len(self.ids) - 1

    def place(self, read: Callable[[Sequence[int]], KVCache]) -> KVCache:
        """The prompt's cache; `read` makes it for the first who asks, the last lets it go."""
        prompt = self.prompt
        cache = read(prompt.ids) if prompt.cache is None else prompt.cache
        prompt.waiting -= 1
        prompt.cache = cache if prompt.waiting else None
        return cache


def queue(prompts: Sequence[Sequence[int]], draws: Sequence[int]) -> Iterator[Request]:
    """Requests of prompts and draws, short prompts first and equal prompts in a row.

    So a prompt's cache is dropped soon, and the slots' cache grows late.
    """
    known: dict[tuple[int, ...], Prompt] = {}
    numbers: dict[Prompt, list[int]] = {}
    for number, ids in enumerate(prompts):
        prompt = known.setdefault(tuple(ids), Prompt(tuple(ids)))
        prompt.waiting += 1
        numbers.setdefault(prompt, []).append(number)
    for prompt in sorted(numbers, key=lambda prompt: len(prompt.ids)):
        for number in numbers[prompt]:
            yield Request(number, draws[number], prompt)


def pieces(count: int, smallest: int, largest: int) -> Iterator[tuple[int, int]]:
    """Spans (start, size) that cover `count` tokens; sizes are powers of two, the last is padded.

    A span that would be filled by less than three quarters is halved instead.
    """
    start = 0
    while start < count:
        size = min(largest, bucket(count - start, smallest))
        if size > smallest and 4 * (count - start) <= 3 * size:
            size //= 2
        yield start, size
        start += size


def bucket(count: int, smallest: int) -> int:
    """The smallest power of two that is at least both."""
    return max(smallest, 1 << (max(count, 1) - 1).bit_length())
