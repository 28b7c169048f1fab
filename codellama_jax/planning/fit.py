"""What is said of a step that does not fit: what fills the memory, and the nearest that fits."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import gin

from codellama_jax.errors import UserError
from codellama_jax.model import replace
from codellama_jax.planning.case import Case
from codellama_jax.planning.compile import Compiled, OutOfMemory, Programs
from codellama_jax.planning.held import totals

# What a layer's backward pass recomputes, the least first.
REMATS = ("none", "dots", "projections", "projections_offloaded", "attention", "full")


def largest(case: Case, count: int = 8) -> list[dict[str, Any]]:
    """The largest buffers of a step by name, from arithmetic."""
    return [dataclasses.asdict(held) for held in case.held[:count]]


def surely_too_large(case: Case, device_bytes: float) -> bool:
    """Whether what a step keeps exceeds a device's memory before there is any room to work in."""
    return totals(case.held)["all"] > device_bytes


def milder(case: Case) -> Iterator[Case]:
    """Cases that need less memory, those first that cost least: recomputing more of the forward
    pass, then taking the batch in more parts."""
    later = REMATS[REMATS.index(case.config.remat) + 1 :]
    for remat in later:
        yield dataclasses.replace(case, config=replace(case.config, remat=remat))
    least = dataclasses.replace(case, config=replace(case.config, remat="full"))
    yield from itertools.islice(parted(least), 1, None)


def parted(case: Case) -> Iterator[Case]:
    """The case, and the same with its batch in twice, four times, … as many parts."""
    parts, shards = case.micro_batches, case.mesh.shape["data"] * case.mesh.shape["fsdp"]
    while case.phase.batch_size % (parts * shards) == 0:
        yield dataclasses.replace(case, micro_batches=parts)
        parts *= 2


@gin.configurable
def nearest_that_fits(
    case: Case, device_bytes: float, programs: Programs, tries: int = 3
) -> tuple[Case | None, list[str]]:
    """The first of the milder cases that the compiler accepts.

    Args:
      case: that does not fit.
      device_bytes: what a program can have.
      programs: compiles.
      tries: programs compiled at most; arithmetic alone discards most others.

    Returns:
      The case, or None, and a line for each that was looked at.
    """
    told: list[str] = []
    for found in milder(case):
        setting = f"remat {found.config.remat}, micro-batches {found.micro_batches}"
        try:
            if surely_too_large(found, device_bytes):
                told.append(f"{setting}: too large by arithmetic")
                continue
            if tries == 0:
                told.append(f"{setting}: not tried (nearest_that_fits.tries)")
                break
            tries -= 1
            answer = found.compiled(programs)
        except UserError as error:
            told.append(f"{setting}: {error}")
            continue
        if isinstance(answer, Compiled):
            told.append(f"{setting}: fits, {answer.memory['peak'] / 2**30:.2f} GiB")
            return found, told
        told.append(f"{setting}: {_reason(answer)}")
    return None, told


def _reason(answer: OutOfMemory) -> str:
    return " ".join(answer.message.split())[:200]
