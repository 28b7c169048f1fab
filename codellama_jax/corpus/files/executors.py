"""Runs the stages: on this machine, or by Slurm or Ray."""

import collections
import contextlib
import copy
import io
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor
from datatrove.executor.base import PipelineExecutor
from datatrove.pipeline.base import PipelineStep
from loguru import logger

from codellama_jax.corpus.files.settings import ExecutorSettings
from codellama_jax.corpus.progress import Progress
from codellama_jax.corpus.workers import Workers
from codellama_jax.errors import UserError


@dataclass(frozen=True)
class Stage:
    """A pipeline and the number of tasks it is run for."""

    name: str
    steps: Sequence[PipelineStep]
    tasks: int


def run_stages(
    stages: Sequence[Stage],
    logs: Path,
    settings: ExecutorSettings,
    workers: int | None,
    progress: Progress,
) -> None:
    """Runs what has not been done yet, stage after stage; returns when all is done.

    Args:
      logs: where datatrove notes which tasks are done.
      workers: processes of this machine, or at most so many tasks of a cluster at once; None for
        the number of cores, or no limit.
    """
    if settings.kind == "local":
        _run_here(stages, logs, workers, progress)
        return
    previous = None
    try:
        for stage in stages:
            previous = _clustered(stage, logs, settings, workers, previous)
        previous.run()  # launches those it depends on first
    except (TypeError, ImportError) as error:
        raise UserError(
            f"ExecutorSettings.options={dict(settings.options)!r} does not fit {settings.kind}:"
            f" {error}"
        ) from error
    progress.say(f"{settings.kind} has {sum(stage.tasks for stage in stages)} tasks to do")
    while previous.get_incomplete_ranks():
        time.sleep(settings.poll_seconds)


def _run_here(stages: Sequence[Stage], logs: Path, workers: int | None, progress: Progress) -> None:
    """datatrove's local executor, its tasks run by this project's processes.

    By itself it keeps them in a multiprocessing.Pool, which waits for ever when the system kills
    one for want of memory, and leaves a manager process behind when it is killed itself.
    """
    with Workers(workers) as pool:
        for stage in stages:
            executor = LocalPipelineExecutor(
                list(stage.steps), tasks=stage.tasks, logging_dir=str(logs / stage.name)
            )
            ranks = executor.get_incomplete_ranks()
            for _ in pool.map(_run_task, ranks, executor):
                pass
            done = stage.tasks - len(ranks)
            before = f", {done} of them before" if done else ""
            progress.say(f"{stage.name}: {stage.tasks} tasks{before}")


def _run_task(rank: int, executor: PipelineExecutor) -> None:
    """Runs a pipeline's steps; their errors reach the caller.

    datatrove's own loop around them logs each task to a file of its own, which nobody reads here
    and which takes longer to set up (37 ms) than a small task takes to run.
    """
    logger.disable("datatrove")
    data = None
    with contextlib.redirect_stderr(io.StringIO()):  # for progress bars
        for step in copy.deepcopy(executor.pipeline):
            data = step(data, rank, executor.world_size)
        collections.deque(data or (), maxlen=0)
    executor.mark_rank_as_completed(rank)


def _clustered(
    stage: Stage,
    logs: Path,
    settings: ExecutorSettings,
    workers: int | None,
    previous: PipelineExecutor | None,
) -> PipelineExecutor:
    given: dict[str, Any] = {
        "tasks": stage.tasks,
        "workers": -1 if workers is None else workers,
        "logging_dir": str(logs / stage.name),
        "depends": previous,
    }
    if settings.kind == "slurm":
        from datatrove.executor import SlurmPipelineExecutor

        given |= {"job_name": f"prepare-{stage.name}", "requeue": False}
        if (activate := Path(sys.prefix) / "bin/activate").exists():
            given["venv_path"] = os.fspath(activate)
        return SlurmPipelineExecutor(list(stage.steps), **(given | dict(settings.options)))
    from datatrove.executor import RayPipelineExecutor

    return RayPipelineExecutor(list(stage.steps), **(given | dict(settings.options)))
