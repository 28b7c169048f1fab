"""What a program may use, and what is said about it."""

from dataclasses import dataclass
from typing import Literal

import gin

Status = Literal["passed", "failed", "timeout", "memory", "error"]


@gin.configurable
@dataclass(frozen=True)
class Limits:
    """What one program may use.

    Attributes:
      wall_seconds: until the program is killed with all its processes.
      cpu_seconds: of a process.
      memory_bytes: address space of a process, and private memory of all of them together.
      processes: at once.
      file_bytes: the size of one file, of all of ``/tmp``, and of all of ``/dev/shm``.
      output_bytes: what the host reads from a sandbox before it discards the rest; what a program
        prints goes nowhere.
      compile_seconds: for compiling alone, in languages that are compiled.
      compile_memory_bytes: the same.
      build_bytes: of ``/tmp`` in those languages, in place of `file_bytes`.
      hash_seed: Python's: it decides the order of sets, so the same seed gives the same verdict.
    """

    wall_seconds: float = 3.0
    cpu_seconds: int = 4
    memory_bytes: int = 512 * 2**20
    processes: int = 32
    file_bytes: int = 10_000_000
    output_bytes: int = 64 * 2**10
    compile_seconds: float = 30.0
    compile_memory_bytes: int = 2 * 2**30
    build_bytes: int = 64 * 2**20
    hash_seed: int = 0


@dataclass(frozen=True)
class Verdict:
    """`status`: passed; failed (exception, early exit, signal, too many processes); timeout;
    memory; error (the sandbox itself gave no verdict, no fault of the program's). `detail`: one
    line, written by the program and therefore not to be trusted. `seconds`: its wall time."""

    status: Status
    detail: str
    seconds: float

    @property
    def passed(self) -> bool:
        return self.status == "passed"
