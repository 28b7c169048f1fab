"""A teacher of whom everything is known, so that the pipeline's verdicts can be checked."""

import functools
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import gin

from codellama_jax.errors import UserError
from codellama_jax.evaluation.sandbox import Limits
from codellama_jax.generation import Sampling
from codellama_jax.instruct.behaviour import values
from codellama_jax.instruct.families import Member, members
from codellama_jax.instruct.known_problems import (
    Author,
    Draft,
    Known,
    Problem,
    Rates,
    changes_of,
    known_of,
    problems_of,
    written_of,
)
from codellama_jax.instruct.material import library_drafts
from codellama_jax.instruct.teacher import Ask, seed_of

_CALLS = 200  # of a function of a library, from which its behaviour is known
_LIMITS = Limits(wall_seconds=10.0)
_AT_ONCE = 100  # functions that are tried, until there are enough


@gin.configurable
class KnownTeacher:
    """Looks up questions, tests and solutions that were made by rule, some of them wrong by rule.

    Args:
      questions: different ones: functions of libraries that run on their own and that doctests,
        tests or other code call, then members of families of small functions.
      roots: directories of Python to take them from; None for those of the quickstart's corpus,
        () for the families alone.
      questions_per_prompt: as many as self_instruct asks for.
      tests: a question.
      solutions: a question; wrong ones are mutants of the right one.
      chosen: how its tests are. "telling": five that most of its wrong solutions fail. "careful":
        five that most other mutants fail, as by an author who does not know what will be written.
        "random": any five, so that some wrong solutions pass them.
      unanswered: share of the questions without a right solution.
      trivial, order, mistaken: shares whose tests pass for anything, depend on each other, or
        expect a wrong value.
      repeated: share of the lines that repeat another question.
      seed: of all of it.
    """

    group, concurrency = 1, 1

    def __init__(
        self,
        questions: int = 400,
        roots: Sequence[str] | None = (),
        questions_per_prompt: int = 50,
        tests: int = 5,
        solutions: int = 10,
        chosen: Author = "telling",
        unanswered: float = 0.15,
        trivial: float = 0.08,
        order: float = 0.06,
        mistaken: float = 0.06,
        repeated: float = 0.1,
        seed: int = 0,
    ):
        if chosen not in get_args(Author):
            raise UserError(
                f"KnownTeacher.chosen = {chosen!r}: set it to one of {', '.join(get_args(Author))}"
            )
        roots = roots if roots is None else tuple(roots)
        self._settings = {name: value for name, value in locals().items() if name != "self"}

    def describe(self) -> Mapping[str, Any]:
        """Its settings."""
        return {"known": self._settings}

    @functools.cached_property
    def known(self) -> dict[str, Known]:
        """All it knows, by question."""
        return _all_known(tuple(self._settings.items()))

    @functools.cached_property
    def lines(self) -> list[str]:
        """The questions as it writes them down, some of them more than once."""
        r = random.Random(seed_of(self._settings["seed"], "lines"))
        questions = list(self.known)
        again = r.choices(questions, k=round(self._settings["repeated"] * len(questions)))
        lines = questions + again
        r.shuffle(lines)
        return lines

    def answer(
        self, stage: str, asks: Sequence[Ask], sampling: Sampling
    ) -> Iterator[tuple[Ask, str]]:
        """What it knows."""
        for ask in asks:
            yield ask, getattr(self, f"_{stage}")(ask)

    def _questions(self, ask: Ask) -> str:
        size = self._settings["questions_per_prompt"]
        lines = self.lines[ask.number * size : (ask.number + 1) * size]
        return "\n".join(f"{n}. {line}" for n, line in enumerate(lines, 1))

    def _tests(self, ask: Ask) -> str:
        return "\n".join(["[TESTS]", *self.known[ask.question].tests, "[/TESTS]"])

    def _solutions(self, ask: Ask) -> str:
        solutions = self.known[ask.question].solutions
        if ask.number >= len(solutions):
            return "I know no other."
        return f"[PYTHON]\n{solutions[ask.number]}\n[/PYTHON]"


@functools.lru_cache(maxsize=4)  # a pass has the same teacher in three places
def _all_known(settings: tuple[tuple[str, Any], ...]) -> dict[str, Known]:
    of = dict(settings)
    rates = Rates(of["unanswered"], of["trivial"], of["order"], of["mistaken"])
    written = {
        problem.question: written_of(
            problem, own, of["seed"], of["tests"], of["solutions"], of["chosen"], rates
        )
        for problem, own in _problems(of["questions"], of["roots"], of["seed"], of["solutions"])
    }
    asked = {key: (one.problem.solution, one.calls) for key, one in written.items()}
    results = values(asked, _LIMITS)
    known = {key: known_of(one, results[key], of["tests"]) for key, one in written.items()}
    usable = {key: one for key, one in known.items() if one is not None}
    return dict(itertools.islice(usable.items(), of["questions"]))


@functools.lru_cache(maxsize=1)  # teachers that differ only in what they write
def _problems(
    count: int, roots: Sequence[str] | None, seed: int, solutions: int
) -> list[tuple[Problem, dict[str, frozenset[int]]]]:
    """Somewhat more than so many problems, and what is known of changes to their solutions."""
    wanted = count + count // 8  # some turn out to be of no use
    found: list[tuple[Problem, dict[str, frozenset[int]]]] = []

    def add(drafts: Sequence[Draft]) -> None:
        problems = problems_of(drafts, _LIMITS)
        changes = changes_of(problems, seed, solutions, _LIMITS)
        # Where nothing wrong is known there is nothing to get wrong.
        found.extend((of, own) for of, own in zip(problems, changes) if any(own.values()))

    if roots is None or roots:
        drafts = library_drafts(roots, _CALLS, seed)
        while len(found) < wanted and (some := list(itertools.islice(drafts, _AT_ONCE))):
            add(some)
    if len(found) < wanted:
        made = members(wanted - len(found), seed)
        add([Draft(of.question, of.name, of.solution, _calls_of(of)) for of in made])
    return found[:wanted]


def _calls_of(of: Member) -> list[str]:
    return [f"{of.name}({', '.join(map(repr, one))})" for one in of.arguments]
