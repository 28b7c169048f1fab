"""Reference solutions of the benchmarks, which must pass, and wrong ones, which must not.

    python benchmarks/references.py humaneval mbpp single_line_psm ... [--gin_file FILE]
        [--gin_bindings "Mbpp.data = 'mbpp.jsonl'" ...] [--workers 2]
        [--only reference|wrong]

The data are set by gin as for `codellama-jax evaluate`. Prints a line a benchmark, and every
verdict that is not what it should be. MultiPL-E has no solutions of its own: eight problems are
solved in benchmarks/multipl_e_solutions.json, and the wrong ones are those of the problem before.
"""

import argparse
import json
import re
import sys
import time
from pathlib import Path

import gin

from codellama_jax.evaluation.benchmarks import Item, benchmark_named
from codellama_jax.evaluation.sandbox import Limits

FIELDS = ("canonical_solution", "code")
SOLUTIONS = json.loads(Path(__file__).with_name("multipl_e_solutions.json").read_text())


def reference(item: Item) -> str:
    if "stop_tokens" in item.record:
        return SOLUTIONS[item.record["language"]][item.task_id]
    return next(item.record[name] for name in FIELDS if name in item.record)


def solved(item: Item) -> bool:
    """Whether there is a solution of it."""
    record = item.record
    return "stop_tokens" not in record or item.task_id in SOLUTIONS[record["language"]]


def wrong(item: Item) -> str:
    """A body that does nothing; a function that does; a hole filled with what does not parse."""
    if "stop_tokens" in item.record:
        own = SOLUTIONS[item.record["language"]]
        names = list(own)
        return own[names[names.index(item.task_id) - 1]]
    if "suffix" in item.record:
        return "\n$\n"
    if "canonical_solution" in item.record:
        return "    return NotImplemented\n"
    names = set(re.findall(r"(\w+)\s*\(", " ".join(item.record["test_list"])))
    return "".join(f"def {name}(*args): return NotImplemented\n" for name in defined(item) & names)


def defined(item: Item) -> set[str]:
    return set(re.findall(r"^(?:def|class)\s+(\w+)", item.record["code"], re.MULTILINE))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("benchmarks", nargs="+")
    parser.add_argument("--gin_file", action="append", default=[])
    parser.add_argument("--gin_bindings", action="append", default=[])
    parser.add_argument("--only", choices=("reference", "wrong"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--wall_seconds", type=float, default=20.0)
    given = parser.parse_args()
    gin.parse_config_files_and_bindings(given.gin_file, given.gin_bindings)
    patient = Limits(wall_seconds=given.wall_seconds, cpu_seconds=int(given.wall_seconds))
    with gin.unlock_config():
        gin.bind_parameter("score_programs.limits", patient)
        gin.bind_parameter("score_programs.workers", given.workers)
    surprises = 0
    for name in given.benchmarks:
        benchmark = benchmark_named(name)
        items = [item for item in benchmark.load() if solved(item)]
        for kind, solution, passes in (("reference", reference, True), ("wrong", wrong, False)):
            if given.only not in (None, kind):
                continue
            began = time.perf_counter()
            scores = benchmark.score(items, [[solution(item)] for item in items])
            seconds = time.perf_counter() - began
            passed = sum(result["passed"] for result in scores["problems"])
            print(f"{name:<18} {kind:<10} {passed:>5} of {len(items):>5} pass, {seconds:6.1f} s")
            for result in scores["problems"]:
                if bool(result["passed"]) is not passes:
                    surprises += 1
                    verdict = result["verdicts"][0]
                    print(f"    {result['task_id']}: {verdict['status']} {verdict['detail']}")
            sys.stdout.flush()
    return 1 if surprises else 0


if __name__ == "__main__":
    raise SystemExit(main())
