"""Functional correctness: problems with tests in HumanEval's format, run in the sandbox.

Who generates the completions is the caller's affair; nothing here knows of a model.
"""

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

import gin

from codellama_jax.errors import UserError
from codellama_jax.evaluation.passk import bootstrap_interval, pass_at_k
from codellama_jax.evaluation.sandbox import Limits, run_programs

STOPS = ("\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif", "\n```")


@dataclass(frozen=True)
class Problem:
    """`prompt`: a function's header and docstring, given to the model as it is. `test`: defines
    `check(candidate)`, full of asserts. `entry_point`: the name of the function under test."""

    task_id: str
    prompt: str
    canonical_solution: str
    test: str
    entry_point: str


@gin.configurable
def load_problems(path: str | None = None) -> list[Problem]:
    """The problems of a JSONL or JSONL.gz file; without a path, the ones bundled here.

    Raises UserError, naming file and line, for a file that cannot be read or a malformed line.
    """
    if path is None:
        file = resources.files("codellama_jax.evaluation") / "problems" / "problems.jsonl"
        path, data = "problems.jsonl", file.read_bytes()
    else:
        try:
            data = Path(path).read_bytes()
            data = gzip.decompress(data) if path.endswith(".gz") else data
        except (OSError, EOFError) as error:
            raise UserError(f"cannot read the problems of {path}: {error}") from error
    problems: dict[str, Problem] = {}
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        problem = _parse(line, f"{path}, line {number}")
        if problem.task_id in problems:
            raise UserError(f"{path}, line {number}: task_id {problem.task_id} occurs twice")
        problems[problem.task_id] = problem
    if not problems:
        raise UserError(f"{path} holds no problems; it needs one JSON object a line")
    return list(problems.values())


def _parse(line: bytes, place: str) -> Problem:
    names = [field.name for field in fields(Problem)]
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError(f"{place}: not JSON ({error})") from error
    if not isinstance(record, dict):
        raise UserError(f"{place}: not a JSON object; it needs the fields {', '.join(names)}")
    wrong = [name for name in names if not isinstance(record.get(name), str)]
    if wrong:
        raise UserError(f"{place}: no text in field {', '.join(wrong)}")
    if not record["entry_point"].isidentifier():
        raise UserError(f"{place}: entry_point {record['entry_point']!r} is not a name")
    return Problem(**{name: record[name] for name in names})


def program_text(problem: Problem, completion: str) -> str:
    """The whole program: it runs through exactly when the completion passes the tests."""
    call = f"check({problem.entry_point})"
    return f"{problem.prompt}{completion}\n{problem.test}\n{call}\n"


@gin.configurable
def truncate(completion: str, stops: Sequence[str] = STOPS) -> str:
    """The completion up to the first of the `stops`: what follows is no longer the function."""
    cuts = [completion.find(stop) for stop in stops]
    return completion[: min((cut for cut in cuts if cut >= 0), default=len(completion))]


@gin.configurable
def score(
    problems: Sequence[Problem],
    completions: Sequence[Sequence[str]],
    ks: Sequence[int] = (1, 10, 100),
    limits: Limits | None = None,
    workers: int | None = None,
    unsandboxed: bool = False,
) -> dict[str, Any]:
    """Runs `completions[i]`, samples for `problems[i]`, truncated already, and counts.

    Returns ``{"pass@1": …, "pass@1_interval": [low, high], …}`` for those `ks` that every problem
    has samples for, ``"statuses"`` (how many completions ended in which way, ``error`` being
    failures of the sandbox itself), ``"samples"`` and ``"problems"``, the results one by one.
    Raises UserError without bubblewrap, and when the lists do not fit together.
    """
    if len(problems) != len(completions) or not problems:
        raise UserError(f"{len(problems)} problems but completions for {len(completions)}")
    if empty := [p.task_id for p, samples in zip(problems, completions) if not samples]:
        raise UserError(f"no completion for {', '.join(empty)}; draw at least one a problem")
    programs = [
        program_text(problem, completion)
        for problem, samples in zip(problems, completions)
        for completion in samples
    ]
    verdicts = iter(run_programs(programs, limits, workers, unsandboxed))

    results = []
    for problem, samples in zip(problems, completions):
        own = [next(verdicts) for _ in samples]
        results.append(
            {
                "task_id": problem.task_id,
                "samples": len(own),
                "passed": sum(verdict.passed for verdict in own),
                "verdicts": [
                    {"status": v.status, "detail": v.detail, "seconds": v.seconds} for v in own
                ],
            }
        )
    fewest = min(result["samples"] for result in results)
    report: dict[str, Any] = {}
    for k in ks:
        if k <= fewest:
            values = [pass_at_k(result["samples"], result["passed"], k) for result in results]
            report[f"pass@{k}"] = sum(values) / len(values)
            report[f"pass@{k}_interval"] = list(bootstrap_interval(values))
    report["samples"] = len(programs)
    report["statuses"] = dict(
        Counter(verdict["status"] for result in results for verdict in result["verdicts"])
    )
    report["problems"] = results
    return report
