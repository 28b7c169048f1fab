"""A candidate that is a Python program: it runs in a fork of the supervisor."""

import _signal
import os
import sys

from codellama_jax.evaluation.sandbox.inside.restrict import restrict
from codellama_jax.evaluation.sandbox.inside.watch import MESSAGE_BYTES, watch

FILE_NAME = "<program>"


def describe(error: BaseException, source: str) -> str:
    """One line: the exception, and the line of the program it came from."""
    if isinstance(error, SystemExit):
        return f"exited with code {error.code!r} before its tests ended"
    text = f"{type(error).__name__}: {error}".strip().rstrip(":")
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE_NAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    lines = source.split("\n")
    return f"{text}  [line {line}: {lines[line - 1].strip()}]" if 0 < line <= len(lines) else text


def run_candidate(source: str, limits: dict, report: int, token: bytes) -> None:
    """Runs the program and never returns. Writes the token only if it ran through to its end."""
    # Bound now: the program may replace any name of any module, but not these locals.
    write, leave, getpid, identity = os.write, os._exit, os.getpid, os.getpid()
    restrict(limits)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)

    # A module of its own in sys.modules, because dataclasses and typing look there.
    module = type(sys)("candidate")
    sys.modules["candidate"] = module
    # The one copy of the token sits inside a C iterator, so that a program that walks the frames
    # and writes every string it finds to every descriptor never writes it alone.
    finish = map(write, (report,), (token,))
    del token
    try:
        # dont_inherit, optimize=0: asserts stay asserts whatever PYTHONOPTIMIZE says.
        exec(compile(source, FILE_NAME, "exec", 0, True, 0), module.__dict__)
    except BaseException as error:
        try:
            kind = "memory" if isinstance(error, MemoryError) else "failed"
            message = f"{kind} {describe(error, source)}".encode("utf-8", "replace")
        except BaseException:
            message = b"failed the error could not be described"
        write(report, message[:MESSAGE_BYTES])
        leave(1)
    if getpid() != identity:  # a fork of the program that fell through to here
        leave(1)
    next(finish)
    leave(0)


def run_python(source: str, limits: dict) -> tuple[str, str]:
    token = os.urandom(16)
    report, candidates_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2, report):
                os.dup2(null, descriptor)
            os.close(null)
            os.close(report)
            run_candidate(source, limits, candidates_end, token)
        finally:
            os._exit(3)
    os.close(candidates_end)
    return watch(child, limits, report, token)
