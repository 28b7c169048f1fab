"""Questions with what is known of them: the right solution, wrong ones, tests good and bad."""

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

from codellama_jax.evaluation.sandbox import Limits
from codellama_jax.instruct.behaviour import compared, usable
from codellama_jax.instruct.behaviour_programs import Comparison
from codellama_jax.instruct.mutants import mutants
from codellama_jax.instruct.teacher import seed_of

Author = Literal["telling", "careful", "random"]
Fault = Literal["none", "trivial", "order", "mistaken"]

_LEAST = 50  # calls that a problem's function works on
_VALUES = 3  # different ones among the results that are looked at
_CHANGES = 3  # mutants that nobody writes, for each wrong solution that is written


class Draft(NamedTuple):
    """A question, the function that answers it, and calls of it that may or may not work.

    Attributes:
      origin: where the function is from; "" for one of the families.
    """

    question: str
    name: str
    solution: str
    calls: list[str]
    origin: str = ""


class Problem(NamedTuple):
    """A question, the function that answers it, and calls that give the same literal each time."""

    question: str
    name: str
    solution: str
    calls: list[str]
    origin: str


class Rates(NamedTuple):
    """What a teacher does wrong, as shares of its questions; see `KnownTeacher`."""

    unanswered: float
    trivial: float
    order: float
    mistaken: float


class Known(NamedTuple):
    """A question as a teacher puts it.

    Attributes:
      problem: the truth.
      tests: those the teacher writes.
      fault: what is wrong with them, if anything.
      solutions: those the teacher writes, in its order.
      right: those of them that do what the right one does on all calls of the problem.
    """

    problem: Problem
    tests: list[str]
    fault: Fault
    solutions: list[str]
    right: frozenset[str]

    @property
    def keepable(self) -> bool:
        """Whether a triplet about it should be kept."""
        return self.fault == "none" and bool(self.right)


class Written(NamedTuple):
    """What a teacher writes about a problem, but for what its tests expect.

    Attributes:
      problem, fault, solutions, right: of the `Known` that becomes of it.
      calls: that its tests may make, those that must be among them first.
      musts: how many these are.
    """

    problem: Problem
    fault: Fault
    solutions: list[str]
    right: frozenset[str]
    calls: list[str]
    musts: int


def problems_of(drafts: Sequence[Draft], limits: Limits) -> list[Problem]:
    """Those drafts whose function works on enough of its calls."""
    checked = usable([(draft.solution, draft.calls) for draft in drafts], limits)
    return [
        Problem(of.question, of.name, of.solution, calls, of.origin)
        for of, calls in zip(drafts, checked)
        if len(calls) >= _LEAST
    ]


def changes_of(
    problems: Sequence[Problem], seed: int, solutions: int, limits: Limits
) -> list[dict[str, frozenset[int]]]:
    """Of each problem mutants of its solution, and the places of the calls that tell each."""
    made = [
        mutants(of.solution, seed_of(seed, of.question))[: (1 + _CHANGES) * solutions]
        for of in problems
    ]
    asked = [Comparison(p.solution, of, p.calls, len(p.calls)) for p, of in zip(problems, made)]
    return [
        dict(zip(of, (one.shown for one in told or [])))
        for of, told in zip(made, compared(asked, limits))
    ]


def written_of(
    problem: Problem,
    changes: dict[str, frozenset[int]],
    seed: int,
    tests: int,
    solutions: int,
    chosen: Author,
    rates: Rates,
) -> Written:
    """What a teacher that errs at these rates writes about a problem.

    Args:
      changes: mutants of the solution; the first of them are the wrong solutions.
      tests, solutions: to write.
      chosen: see `KnownTeacher`.
    """
    r = random.Random(seed_of(seed, problem.question))
    unanswered, *faulty = rates
    kinds: list[Fault] = ["none", "trivial", "order", "mistaken"]
    fault = r.choices(kinds, [1 - sum(faulty), *faulty])[0]
    written, unseen = list(changes)[:solutions], list(changes)[solutions:]
    known = {"telling": list(written), "careful": unseen, "random": []}[chosen]
    if r.random() >= unanswered:
        # A right solution comes early; what comes after it is not looked at.
        written.insert(r.randrange(min(4, solutions)), problem.solution)
    else:
        written = [solution for solution in written if changes[solution]]
    written = written[:solutions]
    right = frozenset(of for of in written if not changes.get(of))
    order = r.sample(range(len(problem.calls)), len(problem.calls))
    musts = _telling(order, [changes[of] for of in known], tests)
    more = [place for place in order if place not in musts][: 2 * tests + 5]
    calls = [problem.calls[place] for place in (*musts, *more)]
    return Written(problem, fault, written, right, calls, len(musts))


def known_of(written: Written, results: Sequence[str], tests: int) -> Known | None:
    """The whole of it, given what its calls return; None if the returns are of no use for tests."""
    if "" in results or len(set(results)) < _VALUES:
        return None
    taken = list(range(written.musts))
    while len(taken) < tests:
        # Those first that expect something new.
        expected = {results[place] for place in taken}
        left = [place for place in range(len(results)) if place not in taken]
        taken.append(next((place for place in left if results[place] not in expected), left[0]))
    asserts = [f"assert {written.calls[place]} == {results[place]}" for place in taken]
    problem, fault = written.problem, written.fault
    own = _spoilt(asserts, problem.name, fault)
    return Known(problem, own, fault, written.solutions, written.right)


def _telling(order: Sequence[int], told: Sequence[frozenset[int]], count: int) -> list[int]:
    """Places, at most so many, each of which tells the most of what those before it do not."""
    left = [places for places in told if places]
    chosen: list[int] = []
    while left and len(chosen) < count:
        chosen.append(max(order, key=lambda place: sum(place in places for places in left)))
        left = [places for places in left if chosen[-1] not in places]
    return chosen


def _spoilt(tests: list[str], name: str, fault: Fault) -> list[str]:
    if fault == "trivial":  # true of whatever is returned
        calls = [test.removeprefix("assert ").rpartition(" == ")[0] for test in tests]
        return [f"assert {call} == {call}" for call in calls]
    if fault == "order":  # the last passes only when the first was run before
        seen = f"{name}.__dict__.setdefault('seen', True)"
        return [f"{tests[0]} and {seen}", *tests[1:-1], f"{tests[-1]} and {name}.seen"]
    if fault == "mistaken":
        return [*tests[:-1], f"{tests[-1].rpartition(' == ')[0]} == 'mistaken'"]
    return tests
