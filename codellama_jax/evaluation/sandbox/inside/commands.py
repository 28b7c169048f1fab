"""A candidate of another language: it becomes a file, which commands of ours compile and run."""

import _signal
import os

from codellama_jax.evaluation.sandbox.inside.complaints import Complaints
from codellama_jax.evaluation.sandbox.inside.restrict import restrict
from codellama_jax.evaluation.sandbox.inside.watch import watch


def run_commands(job: dict, source: str, limits: dict) -> tuple[str, str]:
    """Compiles and runs a program of another language, by commands that are ours."""
    with open(job["file"], "wb") as file:
        file.write(source.encode("utf-8", "surrogatepass"))
    token = job["token"].encode()
    for number, (command, wall, memory) in enumerate(job["steps"], start=1):
        own = {**limits, "wall": wall, "cpu": int(wall) + 1, "memory": memory}
        own["reserves"] = job["reserves"]
        report, candidates_end = os.pipe()
        heard, said = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                null = os.open(os.devnull, os.O_RDWR)
                # The pipes' own numbers are 3 and above, and the one for 3 is never 3: its reading
                # end is.
                for place, descriptor in enumerate((null, null, said, candidates_end)):
                    os.dup2(descriptor, place)
                restrict(own)
                for signal in (_signal.SIGINT, _signal.SIGPIPE, _signal.SIGXFSZ):
                    _signal.signal(signal, _signal.SIG_DFL)
                os.closerange(4, 64)
                os.execv(command[0], command)
            finally:
                os._exit(127)
        os.close(candidates_end)
        os.close(said)
        complaints = Complaints(heard, job["failure"].encode())
        last = number == len(job["steps"])
        status, detail = watch(child, own, report, token, complaints, ended_well=not last)
        if status != "passed" or last:
            return status, detail if last else f"does not compile: {detail}"
        os.close(report)
        os.close(heard)
    return "error", "no command to run"
