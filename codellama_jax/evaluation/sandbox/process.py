"""The host's side of one sandbox: starts it, hands it the program, reads the verdict.

The host forks nothing by hand (no ``preexec_fn``): a process that holds JAX has threads.
"""

import functools
import marshal
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import CodeType
from typing import Any, get_args

from codellama_jax.evaluation.sandbox.limits import Limits, Status, Verdict

# The supervisor's files become modules of their own names, though there is no package inside.
_START = """
import marshal, sys
for name, code in marshal.loads(bytes.fromhex(sys.argv.pop())):
    module = sys.modules[name] = type(sys)(name)
    exec(code, module.__dict__)
module.main()
"""
_GRACE_SECONDS = 10.0  # for the sandbox to start and end on a busy machine, beyond wall_seconds
_DETAIL_CHARACTERS = 400
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
}


def execute(
    sandbox: Sequence[str],
    text: str,
    limits: Limits,
    contained: bool,
    job: dict[str, Any] | None = None,
    directory: str = "/",
) -> Verdict:
    numbers = (
        limits.wall_seconds,
        limits.cpu_seconds,
        limits.memory_bytes,
        limits.processes,
        limits.file_bytes,
        int(contained),
    )
    # -S: site-packages' .pth files cost several times the whole start-up. Not -I, which would
    # ignore PYTHONHASHSEED: the environment is ours.
    command = [*sandbox, _interpreter(), "-P", "-s", "-S", "-B", "-c", _START]
    command += [*(str(number) for number in numbers), marshal.dumps(job).hex() if job else ""]
    command += [_runner()]
    # The program in a file of memory: nothing to write while the child may not be reading.
    program = os.memfd_create("program")
    try:
        with open(program, "wb", closefd=False) as file:
            file.write(text.encode("utf-8", "surrogatepass"))
        os.lseek(program, 0, os.SEEK_SET)
        process = subprocess.Popen(
            command,
            stdin=program,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**ENVIRONMENT, "PYTHONHASHSEED": str(limits.hash_seed)},
            cwd=directory,
        )
    finally:
        os.close(program)
    allowed = sum(wall for _, wall, _ in job["steps"]) if job else limits.wall_seconds
    deadline = time.monotonic() + allowed + _GRACE_SECONDS
    with process:
        try:
            answer, complaint = _read(process, limits.output_bytes, deadline)
        finally:
            process.kill()  # has ended already, unless it overran the deadline
    return _parse(answer, complaint, process.returncode)


def _read(process: subprocess.Popen, cap: int, deadline: float) -> tuple[bytes, bytes]:
    """Standard output and error up to `cap` bytes each, until both end or the deadline passes."""
    kept = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in kept:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                kept[key.fileobj] += data[: cap - len(kept[key.fileobj])]
    return bytes(kept[process.stdout]), bytes(kept[process.stderr])


def _parse(answer: bytes, complaint: bytes, code: int) -> Verdict:
    head, _, detail = answer.decode("utf-8", "replace").partition("\n")
    status, _, seconds = head.partition(" ")
    if status in get_args(Status):
        return Verdict(status, _one_line(detail), float(seconds))
    said = complaint.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return Verdict("error", _one_line(said) or f"no verdict, exit code {code}", 0.0)


def _one_line(text: str) -> str:
    """Safe to print: a program chose these characters, and a terminal obeys some of them."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _DETAIL_CHARACTERS else line[: _DETAIL_CHARACTERS - 1] + "…"


_INSIDE = ("restrict", "complaints", "watch", "python", "commands", "supervisor")


@functools.cache
def _runner() -> str:
    """The files of `inside`, compiled once: compiling them in every sandbox is a quarter of its CPU
    time."""
    folder = Path(__file__).with_name("inside")
    package = f"{__package__}.inside"

    def compiled(name: str) -> CodeType:
        path = folder / f"{name}.py"
        return compile(path.read_text("utf-8"), path.name, "exec", optimize=2)

    return marshal.dumps([(f"{package}.{name}", compiled(name)) for name in _INSIDE]).hex()


@functools.cache
def _interpreter() -> str:
    """The interpreter behind a virtual environment: the environment itself stays outside."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
