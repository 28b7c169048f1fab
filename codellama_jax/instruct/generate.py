"""Has a teacher answer everything a stage asks, and goes on where an earlier start ended."""

import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict

from codellama_jax.generation import Sampling
from codellama_jax.instruct.log import Log
from codellama_jax.instruct.teacher import Ask, Teacher, seed_of


def generate(
    stage: str, asks: Sequence[Ask], teacher: Teacher, sampling: Sampling, log: Log
) -> list[dict]:
    """The answers in order: {"text", "prompt", "teacher", "seed", "sampling"}.

    The seed of an answer follows from `sampling.seed`, the stage and the ask's key, so nothing
    depends on which answers an earlier start had got, or on what is asked at the same time.

    Args:
      log: what was answered by an earlier start; each answer is in it before the next is awaited.

    Raises:
      UserError: the teacher fails; what it answered is kept.
    """
    waiting = [
        ask._replace(seed=seed_of(sampling.seed, stage, ask.key))
        for ask in asks
        if ask.key not in log.done
    ]
    settings = {"teacher": dict(teacher.describe()), "sampling": asdict(sampling)}

    leaving = threading.Event()

    def call(group: Sequence[Ask]) -> None:
        # Logged here and not where calls are awaited: a start that is told to end waits for the
        # answers under way and has them, too.
        for ask, text in teacher.answer(stage, group, sampling):
            own = {"text": _writable(text), "prompt": ask.prompt, "seed": ask.seed}
            log.add([(ask.key, {**own, **settings})])
            if leaving.is_set():
                return

    size = teacher.group
    queue = iter([waiting[start : start + size] for start in range(0, len(waiting), size)])
    with ThreadPoolExecutor(teacher.concurrency) as pool:
        # A call is submitted when another ends: after a failure few are left to wait for.
        under_way = {
            pool.submit(call, group) for group in itertools.islice(queue, teacher.concurrency)
        }
        try:
            while under_way:
                finished = next(as_completed(under_way))
                under_way.remove(finished)
                finished.result()
                under_way |= {pool.submit(call, group) for group in itertools.islice(queue, 1)}
        finally:  # the pool ends when its calls have
            leaving.set()
    return [log.done[ask.key] for ask in asks]


def _writable(text: str) -> str:
    """Without halves of surrogate pairs, which no file can hold."""
    return text.encode("utf-8", "replace").decode()
