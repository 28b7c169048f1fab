"""A checkpoint of ours as a teacher."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gin

from codellama_jax.generation import Model, Sampling, answers, completion, load_model, reply
from codellama_jax.instruct.teacher import Ask


@gin.configurable
class EngineTeacher:
    """Asks the last checkpoint of a phase.

    Args:
      checkpoint: the phase's folder.
      dialogue: whether prompts are put as the user's turn of a chat, as instruct models want them,
        or continued.
      group: prompts that the engine has waiting for a free slot; what is sampled does not depend
        on it.
    """

    concurrency = 1  # the device is busy with one call

    def __init__(self, checkpoint: str = gin.REQUIRED, dialogue: bool = False, group: int = 256):
        self.checkpoint, self.dialogue, self.group = checkpoint, dialogue, group

    def describe(self) -> Mapping[str, Any]:
        """Its checkpoint and how it is asked."""
        return {"checkpoint": self.checkpoint, "dialogue": self.dialogue}

    def answer(
        self, stage: str, asks: Sequence[Ask], sampling: Sampling
    ) -> Iterator[tuple[Ask, str]]:
        """What the model writes."""
        model = _load(self.checkpoint)
        requests = []
        for ask in asks:
            turn = [{"role": "user", "content": ask.prompt}]
            request = reply(model, turn) if self.dialogue else completion(model, ask.prompt)
            requests.append(request._replace(draw=ask.seed))
        for answer in answers(model, requests, sampling):
            yield asks[answer.number], answer.text


@functools.lru_cache(maxsize=2)  # writer of tests and writer of solutions are often the same
def _load(checkpoint: str) -> Model:
    return load_model(checkpoint)
