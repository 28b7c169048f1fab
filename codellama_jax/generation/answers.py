"""Requests for text and their answers, as they are finished."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from codellama_jax.generation.loading import Model
from codellama_jax.generation.sampling import Sampling
from codellama_jax.generation.texts import GrowingText, stopped

# Is called with a request's number and text that was added to its answer.
Show = Callable[[int, str], None]


class Request(NamedTuple):
    """A text wanted.

    Attributes:
      prompt: ids, from bos on.
      stop_ids: any of these ends it; the same for all requests of one call.
      text: of new ids.
      begins: the text is one of its own instead of continuing the prompt's.
      draw: in [0, 2**31), decides its samples with `Sampling.seed`; unless given its place does.
    """

    prompt: list[int]
    stop_ids: list[int]
    text: Callable[[Sequence[int]], str]
    begins: bool = False
    draw: int | None = None


class Answer(NamedTuple):
    """A text that is finished.

    Attributes:
      number: its request's place.
      text: up to the first of `Sampling.stop`.
      ids: new ids; where a text was cut they go on behind it, to the end of the device's chunk.
      logprobs: log-probabilities of the ids, if `Sampling.logprobs` asked for them.
    """

    number: int
    text: str
    ids: list[int]
    logprobs: list[float] | None


def answers(
    model: Model,
    requests: Sequence[Request],
    sampling: Sampling | None = None,
    show: Show | None = None,
) -> Iterator[Answer]:
    """Answers as they are finished, in any order.

    Args:
      model: from `load_model`.
      requests: those with equal prompts are read once.
      sampling: how to choose; gin's unless given.
      show: is told every text while it grows.
    """
    if not requests:
        return
    sampling = sampling or Sampling()
    v, stops = model.vocabulary, sampling.stop
    growing = [GrowingText(v, request.begins, stops) for request in requests]

    def watch(number: int, ids: Sequence[int]) -> bool:
        found = growing[number].hear(ids)
        if show is not None and (part := growing[number].news()):
            show(number, part)
        return found

    prompts = [request.prompt for request in requests]
    watching = watch if stops or show is not None else None
    draws = [n if of.draw is None else of.draw for n, of in enumerate(requests)]
    stream = model.engine().stream(prompts, requests[0].stop_ids, sampling, watching, draws)
    for number, ids, logprobs in stream:
        text = stopped(requests[number].text(ids), stops)
        if show is not None and (part := growing[number].rest(ids)):
            show(number, part)
        yield Answer(number, text, ids, logprobs)
