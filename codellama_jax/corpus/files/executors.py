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
    try:
        if settings.kind == "ray":
            _run_by_ray(stages, logs, settings, workers, progress)
        else:
            _run_by_slurm(stages, logs, settings, workers, progress)
    except (TypeError, ImportError) as error:
        raise UserError(
            f"ExecutorSettings.options={dict(settings.options)!r} does not fit {settings.kind}:"
            f" {error}"
        ) from error


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


def _run_by_slurm(
    stages: Sequence[Stage],
    logs: Path,
    settings: ExecutorSettings,
    workers: int | None,
    progress: Progress,
) -> None:
    """Submits all stages, each of which waits for the one before, and waits for the last."""
    from datatrove.executor import SlurmPipelineExecutor

    previous = None
    for stage in stages:
        given = _options(stage, logs, settings, workers)
        given = {"job_name": f"prepare-{stage.name}", "requeue": False, **given}
        if (activate := Path(sys.prefix) / "bin/activate").exists():
            given = {"venv_path": os.fspath(activate), **given}
        previous = SlurmPipelineExecutor(list(stage.steps), depends=previous, **given)
    previous.run()  # launches those it depends on first
    progress.say(f"slurm has {sum(stage.tasks for stage in stages)} tasks to do")
    while previous.get_incomplete_ranks():
        time.sleep(settings.poll_seconds)


def _run_by_ray(
    stages: Sequence[Stage],
    logs: Path,
    settings: ExecutorSettings,
    workers: int | None,
    progress: Progress,
) -> None:
    """Runs stage after stage on the Ray cluster of RAY_ADDRESS, or one that Ray starts here.

    Not by datatrove's own order of stages: it would wait for ever for one whose tasks failed.
    """
    from datatrove.executor import RayPipelineExecutor

    for stage in stages:
        given = _options(stage, logs, settings, workers)
        executor = RayPipelineExecutor(list(stage.steps), **given)
        executor.run()
        if failed := executor.get_incomplete_ranks():
            raise UserError(
                f"{len(failed)} of the {stage.tasks} tasks of the stage {stage.name!r} failed under"
                f" Ray, the first of them {failed[0]}: see {executor.logging_dir.path}/logs; the"
                " same command continues"
            )
        progress.say(f"{stage.name}: {stage.tasks} tasks")


def _options(
    stage: Stage, logs: Path, settings: ExecutorSettings, workers: int | None
) -> dict[str, Any]:
    """What both of datatrove's executors are given."""
    return {
        "tasks": stage.tasks,
        "workers": -1 if workers is None else workers,
        "logging_dir": str(logs / stage.name),
        **settings.options,
    }
