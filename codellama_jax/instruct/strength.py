"""Whether a question's tests tell its solution from others like it.

Five asserts that pass say little when small changes to the solution pass them, too: then it may
itself be such a change of the right one. Mutation analysis finds these changes, and calls with
other arguments find which of them make a difference at all.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gin

from codellama_jax.errors import UserError
from codellama_jax.evaluation.sandbox import Verdict
from codellama_jax.instruct.behaviour_programs import (
    Comparison,
    at_once,
    comparison_program,
    differences_told,
)
from codellama_jax.instruct.log import Log
from codellama_jax.instruct.mutants import mutants
from codellama_jax.instruct.neighbours import literal_call, neighbours
from codellama_jax.instruct.programs import Execution
from codellama_jax.instruct.reading import asserts
from codellama_jax.instruct.teacher import seed_of


@gin.configurable
@dataclass(frozen=True)
class Strength:
    """What is asked of a question's tests beyond that a solution passes them; not in the paper.

    Attributes:
      least: share of the changes to a solution that must fail a test, of those changes that do
        something else for the tests' calls or for calls like them; None to ask for nothing.
      mutants: changes that are tried, at most.
      calls: like those of the tests, with other arguments, that are tried.
    """

    least: float | None = None
    mutants: int = 40
    calls: int = 60

    def check(self) -> None:
        """UserError for values that mean nothing."""
        if self.least is not None and not 0 < self.least <= 1:
            raise UserError(f"Strength.least = {self.least}: set it to a share in (0, 1], or None")
        for name in ("mutants", "calls"):
            if getattr(self, name) < 1:
                raise UserError(f"Strength.{name} = {getattr(self, name)}: set it to 1 or more")

    def measure(
        self,
        solutions: Mapping[str, tuple[str, str, Sequence[str]]],
        execution: Execution,
        log: Log,
    ) -> dict[str, dict[str, int]]:
        """{"changed", "told"} of each solution: changes that matter, and those the tests tell.

        Args:
          solutions: (solution that passes, function, tests) by key.
        """
        programs, counts = {}, {}
        for key, (solution, function, tests) in solutions.items():
            changes = mutants(solution, seed_of(key))[: min(self.mutants, at_once(len(tests)))]
            calls = [ast.unparse(test.test) for test in asserts("\n".join(tests))]
            shown = len(calls)
            calls += neighbours(_calls(tests, function), self.calls, seed_of(key))
            counts[key] = len(changes)
            programs[key] = comparison_program(Comparison(solution, changes, calls, shown))

        def read(key: str, verdict: Verdict) -> dict[str, int]:
            found = differences_told(verdict.detail, counts[key]) or []
            told = sum(bool(one.shown) for one in found)
            return {"changed": sum(one.any for one in found), "told": told}

        return execution.read(programs, log, read, patience=10)

    def enough(self, found: Mapping[str, int]) -> bool:
        """Whether tests of this strength will do; those of which nothing could be told do not."""
        return found["changed"] > 0 and found["told"] >= self.least * found["changed"]


def _calls(tests: Sequence[str], function: str) -> list[str]:
    nodes = (node for test in tests for node in ast.walk(ast.parse(test)))
    return [ast.unparse(node) for node in nodes if literal_call(node, function) is not None]
