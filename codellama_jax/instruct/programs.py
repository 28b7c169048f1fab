"""Programs that tell solutions and tests apart, and a log of their verdicts."""

import ast
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from codellama_jax.errors import UserError
from codellama_jax.evaluation.sandbox import Limits, Verdict, run_programs
from codellama_jax.instruct.log import Log
from codellama_jax.instruct.reading import expected_values
from codellama_jax.instruct.teacher import seed_of

_CONSTANTS = ("None", "True", "False", "0", "1", "''", "[]", "{}", "()", "set()")


@dataclass(frozen=True)
class Execution:
    """How programs are run.

    Attributes:
      limits: of each.
      unsandboxed: without a sandbox, at your own risk.
    """

    limits: Limits
    unsandboxed: bool = False

    def statuses(self, programs: Mapping[str, str], log: Log, hash_seed: int = 0) -> dict[str, str]:
        """How each program ended, by key; those that the log has are not run again.

        Raises:
          UserError: a program could not be run, through no fault of its own.
        """
        read = self.read(programs, log, lambda key, of: {"status": of.status}, hash_seed=hash_seed)
        return {key: record["status"] for key, record in read.items()}

    def read(
        self,
        programs: Mapping[str, str],
        log: Log,
        record: Callable[[str, Verdict], dict[str, Any]],
        hash_seed: int = 0,
        patience: int = 1,
    ) -> dict[str, dict[str, Any]]:
        """What is recorded of each program, by key; those that the log has are not run again.

        Args:
          record: of a key and its verdict. A detail may hold addresses and times, other ones each
            time, and is a program's own claim.
          patience: how many times the limits on time a program has.

        Raises:
          UserError: a program could not be run, through no fault of its own.
        """
        limits = replace(
            self.limits,
            hash_seed=hash_seed,
            wall_seconds=patience * self.limits.wall_seconds,
            cpu_seconds=patience * self.limits.cpu_seconds,
        )
        waiting = [key for key in programs if key not in log.done]

        def heard(place: int, verdict: Verdict) -> None:
            if verdict.status == "error":
                raise UserError(f"the sandbox failed on {waiting[place]}: {verdict.detail}")
            log.add([(waiting[place], record(waiting[place], verdict))])

        texts = [programs[key] for key in waiting]
        run_programs(texts, limits, unsandboxed=self.unsandboxed, heard=heard)
        return {key: log.done[key] for key in programs}


def solved(solution: str, tests: Sequence[str]) -> str:
    """Runs through when the solution passes the tests in this order."""
    return "\n".join([solution, "", *tests, ""])


def reordered(tests: Sequence[str], repeat: int, key: str) -> list[str]:
    """The tests as they are, then backwards, then in orders that follow from the key.

    Backwards, every test that needs another one before it comes before that.
    """
    order = list(tests)
    if repeat == 1:
        order.reverse()
    elif repeat:
        random.Random(seed_of(key, repeat)).shuffle(order)
    return order


def trivial(function: str, tests: Sequence[ast.Assert]) -> str:
    """Runs through when the tests pass for a function that ignores what it is given.

    Such as an empty one, or one that returns a value that some test expects.
    """
    values = [*_CONSTANTS, *expected_values(tests)]
    body = [f"        {line}" for test in tests for line in ast.unparse(test).split("\n")]
    return "\n".join(
        [
            "def _passes(_make):",
            f"    global {function}",
            f"    def {function}(*_args, **_named): return _make()",
            "    try:",
            *body,
            "    except BaseException:",
            "        return False",
            "    return True",
            "",
            f"assert any(map(_passes, [{', '.join(f'lambda: {value}' for value in values)}]))",
            "",
        ]
    )
