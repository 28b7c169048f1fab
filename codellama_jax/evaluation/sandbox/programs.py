"""Runs untrusted programs with bubblewrap, and says which ran through to their end.

A program is one text: definitions, then asserts. It passes when it runs to its last line without
an exception; other languages than Python are in `languages.py`. Each program gets a sandbox
of its own: no network, an empty read-only root holding ``/usr`` and the interpreter, a private
``/tmp`` of limited size, no environment, no capabilities, and limits on time, memory, processes and
files.

How the verdict travels. The first process of the sandbox, pid 1 of its own pid namespace, is a
supervisor of ours (``inside/``); the program runs in a child of it. The child tells the
supervisor that it came to the end by writing one random token into a pipe, exactly once and
nothing else, and then exits with code 0; the supervisor writes the verdict to the host on a
descriptor the child does not have. The supervisor is undumpable (its memory and descriptors are
closed to processes of the same user) and, as pid 1, immune to signals from inside. So leaving early
with any exit code, printing, or writing to every descriptor never looks like passing. When pid 1
ends the kernel kills every process of the namespace before the host sees the end: nothing survives.
What a program written against this very harness can still do is in ``docs/threat_model.md``.
"""

import os
import secrets
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import gin

from codellama_jax.errors import UserError
from codellama_jax.evaluation.sandbox.bubblewrap import launcher, sized
from codellama_jax.evaluation.sandbox.languages import (
    commands,
    language_named,
    missing_tool,
    with_finish,
)
from codellama_jax.evaluation.sandbox.limits import Limits, Verdict
from codellama_jax.evaluation.sandbox.process import execute


@gin.configurable(denylist=["heard"])
def run_programs(
    programs: Sequence[str],
    limits: Limits | None = None,
    workers: int | None = None,
    unsandboxed: bool = False,
    language: str = "python",
    heard: Callable[[int, Verdict], None] | None = None,
) -> list[Verdict]:
    """One verdict per program, in order.

    Args:
      programs: their texts.
      limits: of each; gin's unless given.
      workers: sandboxes at a time; one per CPU unless given.
      unsandboxed: runs the programs with the limits alone, free to read and write whatever this
        user can: only for programs you have read.
      language: of the programs, by MultiPL-E's name.
      heard: is told a program's place and verdict as soon as it has ended, in a thread of its own.

    Raises:
      UserError: bubblewrap does not work, or the language's tools are missing.
    """
    if reason := available(language, unsandboxed):
        raise UserError(f"cannot run generated programs: {reason}")
    limits = limits or Limits()

    def run(place: int, text: str) -> Verdict:
        verdict = run_program(text, limits, unsandboxed, language)
        if heard is not None:
            heard(place, verdict)
        return verdict

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        try:
            return list(pool.map(run, *zip(*enumerate(programs)))) if programs else []
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run_program(
    text: str, limits: Limits, unsandboxed: bool = False, language: str = "python"
) -> Verdict:
    """The verdict on one program. Call `available` first, or `run_programs`, which does."""
    job = None
    if language != "python":
        limits = replace(limits, file_bytes=max(limits.file_bytes, limits.build_bytes))
        text, job = _job(text, limits, language)
    if not unsandboxed:
        return execute([*launcher()[0], *sized(limits)], text, limits, contained=True, job=job)
    with tempfile.TemporaryDirectory(prefix="program-") as directory:
        return execute([], text, limits, contained=False, job=job, directory=directory)


def available(language: str = "python", unsandboxed: bool = False) -> str | None:
    """None when programs can be run in a sandbox here, else one line: why not, and what to do."""
    reason = None if unsandboxed else launcher()[1]
    return reason or (None if language == "python" else missing_tool(language))


def _job(text: str, limits: Limits, name: str) -> tuple[str, dict[str, Any]]:
    """The program with what marks its end, and what the runner has to do with it."""
    language, token = language_named(name), secrets.token_hex(16)
    running = (limits.wall_seconds, limits.memory_bytes)
    compiling = (limits.compile_seconds, limits.compile_memory_bytes)
    bounds = [compiling, running] if language.compile else [running]
    job = {
        "file": language.file,
        "token": token,
        "failure": language.failure,
        "reserves": language.reserves,
        "steps": [(command, *bound) for command, bound in zip(commands(language), bounds)],
    }
    return with_finish(language, text, token), job
