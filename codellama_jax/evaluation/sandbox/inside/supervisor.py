"""The supervisor: pid 1 of the sandbox, whose child is the candidate program.

Command line: wall_seconds cpu_seconds memory_bytes processes file_bytes contained(0|1) job. The
job is empty for Python, else hexadecimal marshal of {"file", "token", "failure", "reserves",
"steps": [(command, wall_seconds, memory_bytes)]}. The program comes on standard input, the verdict
leaves on standard output: ``status seconds\ndetail``.
"""

import _signal
import marshal
import os
import sys
import time

from codellama_jax.evaluation.sandbox.inside.commands import run_commands
from codellama_jax.evaluation.sandbox.inside.python import run_python
from codellama_jax.evaluation.sandbox.inside.restrict import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    prctl,
)
from codellama_jax.evaluation.sandbox.inside.watch import kill_descendants


def main() -> None:
    wall, cpu, memory, processes, file, contained = map(float, sys.argv[1:7])
    limits = {
        "wall": wall,
        "cpu": int(cpu),
        "memory": int(memory),
        "processes": int(processes),
        "file": int(file),
        "contained": bool(contained),
    }
    job = marshal.loads(bytes.fromhex(sys.argv[7])) if sys.argv[7] else None
    os.closerange(3, 2**31 - 1)
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    # Same uid as the candidate: undumpable, it cannot be traced, nor its memory or files opened.
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    with open(0, "rb", closefd=False) as stream:
        source = stream.read().decode("utf-8", "surrogatepass")

    started = time.monotonic()
    status, detail = run_commands(job, source, limits) if job else run_python(source, limits)
    seconds = time.monotonic() - started
    if not limits["contained"]:
        kill_descendants()
    answer = f"{status} {seconds:.6f}\n{detail}".encode("utf-8", "replace")
    os.write(1, answer)
    os._exit(0)
