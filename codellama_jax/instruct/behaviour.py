"""What functions do, compared by running them in the sandbox."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from codellama_jax.evaluation.sandbox import Limits, run_programs
from codellama_jax.instruct.behaviour_programs import (
    Comparison,
    Difference,
    at_once,
    comparison_program,
    differences_told,
    usable_program,
    usable_told,
    values_program,
    values_told,
)


def compared(comparisons: Sequence[Comparison], limits: Limits) -> list[list[Difference] | None]:
    """For each comparison what each of its programs does otherwise; None where none is told."""
    parts = []
    for number, (source, others, calls, shown) in enumerate(comparisons):
        size = at_once(shown)
        for start in range(0, len(others), size):
            few = list(others[start : start + size])
            parts.append((number, few, comparison_program(Comparison(source, few, calls, shown))))
    verdicts = run_programs([text for _, _, text in parts], _longer(limits))
    found: list[list[Difference] | None] = [[] for _ in comparisons]
    for (number, others, _), verdict in zip(parts, verdicts):
        told = differences_told(verdict.detail, len(others))
        found[number] = None if told is None or found[number] is None else found[number] + told
    return found


def usable(sources: Sequence[tuple[str, Sequence[str]]], limits: Limits) -> list[list[str]]:
    """Of each (program, calls) the calls that give the same short literal each time."""
    found: list[list[str]] = [list(calls) for _, calls in sources]
    for hash_seed in (0, 1):
        programs = [usable_program(source, calls) for (source, _), calls in zip(sources, found)]
        verdicts = run_programs(programs, replace(_longer(limits), hash_seed=hash_seed))
        found = [usable_told(verdict.detail, calls) for verdict, calls in zip(verdicts, found)]
    return found


def values(asked: Mapping[str, tuple[str, Sequence[str]]], limits: Limits) -> dict[str, list[str]]:
    """Of each (program, calls) what the calls give, as sources of literals.

    Those of calls that are not `usable`, or give something else with other hashes, are "".
    """
    one, other = (_values(asked, replace(limits, hash_seed=seed)) for seed in (0, 1))
    return {key: [a if a == b else "" for a, b in zip(one[key], other[key])] for key in asked}


def _values(asked: Mapping[str, tuple[str, Sequence[str]]], limits: Limits) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {key: [] for key in asked}
    waiting = dict(asked)
    while waiting:
        programs = [values_program(source, calls) for source, calls in waiting.values()]
        verdicts = run_programs(programs, _longer(limits))
        left = {}
        for (key, (source, calls)), verdict in zip(waiting.items(), verdicts):
            told = values_told(verdict.detail) or [""]
            found[key] += told[: len(calls)]
            if len(calls) > len(told):
                left[key] = (source, calls[len(told) :])
        waiting = left
    return found


def _longer(limits: Limits) -> Limits:
    """Many calls in one program."""
    return replace(
        limits, wall_seconds=10 * limits.wall_seconds, cpu_seconds=10 * limits.cpu_seconds
    )
