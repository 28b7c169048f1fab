"""What a piece of work takes of this machine: seconds, and the most memory that was in use."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROC = Path("/proc/self")


class Taken:
    """Of a `measured` block, when it has ended.

    Attributes:
      seconds: it took.
      memory: bytes of this process at their highest, all that it held before included. Where the
        system cannot tell that of a block (other than Linux), of the process so far.
    """

    seconds: float = 0.0
    memory: int = 0


@contextmanager
def measured() -> Iterator[Taken]:
    """Measures the block, also where it raises."""
    taken = Taken()
    _forget_peak()
    began = time.monotonic()
    try:
        yield taken
    finally:
        taken.seconds, taken.memory = time.monotonic() - began, _peak()


def _forget_peak() -> None:
    """Linux keeps the highest memory of a process; "5" sets it back to the present one."""
    with suppress(OSError):
        (_PROC / "clear_refs").write_text("5")


def _peak() -> int:
    with suppress(OSError):
        for line in (_PROC / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
