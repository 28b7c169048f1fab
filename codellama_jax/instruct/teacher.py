"""What every teacher can be asked, whoever answers."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from codellama_jax.generation import Sampling


class Ask(NamedTuple):
    """One text wanted of a teacher.

    Attributes:
      key: names it within its stage, and in the stage's log.
      prompt: the whole of it, from a template.
      question: what it is about; "" where questions themselves are asked for. Only a teacher that
        looks its answers up needs it.
      number: which of several answers to the same prompt.
      seed: of this answer, in [0, 2**31), whatever else is asked.
    """

    key: str
    prompt: str
    question: str = ""
    number: int = 0
    seed: int = 0


class Teacher(Protocol):
    """Writes questions, tests or solutions.

    Attributes:
      group: asks that are handed over in one call.
      concurrency: calls at a time.
    """

    group: int
    concurrency: int

    def describe(self) -> Mapping[str, Any]:
        """Everything about it that decides its answers; JSON."""

    def answer(
        self, stage: str, asks: Sequence[Ask], sampling: Sampling
    ) -> Iterator[tuple[Ask, str]]:
        """Each ask with its text, in any order, as soon as there is one.

        A text follows from the ask and the sampling, where the teacher can see to it; `Ask.seed`
        stands for the sampling's own.
        """


def seed_of(*parts: Any) -> int:
    """A seed in [0, 2**31) that follows from its parts alone."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
