"""Disturbs a training of several processes again and again, and asks for the undisturbed result.

    python benchmarks/torture.py [--faults 30] [--processes 2] [--seed 0] [--minutes 20]

A tiny model is trained by `launch/local.py`, once undisturbed and once with faults at moments drawn
from the seed: one process or all of them killed -9, SIGTERM to one of them or to the launcher, one
stopped so that it hangs, bytes flipped in a file of the newest checkpoint, a file truncated or
lost, the disk filled up. Whatever ends, this script starts the same command again, as a cluster's
scheduler would; it does nothing else. At the end every step's loss, gradient norm and tokens of
each task, and every array of the last checkpoint, must be bit for bit those of the undisturbed run:
no row was seen twice or missed.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PHASE = "code"
DISK_BYTES = 12_000_000
CONFIG = """
start_devices.platform = "cpu"
start_devices.cpu_devices = 1
start_devices.compilation_cache = "{folder}/programs"
LlamaConfig.vocab_size = 512
LlamaConfig.dim = 32
LlamaConfig.num_layers = 2
LlamaConfig.num_heads = 2
LlamaConfig.num_kv_heads = 1
LlamaConfig.ffn_dim = 64
LlamaConfig.dtype = "float32"
RowStream.corpus = "{folder}/corpus"
PhaseCheckpoints.save_every = 5
Progress.print_every = 20
Progress.writers = ()
Watchdog.step_seconds = 20.0
code/Phase.name = "code"
code/Phase.mixture = "code_llama"
code/Phase.steps = {steps}
code/Phase.batch_size = 4
code/Phase.sequence_length = 128
code/Phase.warmup_steps = 10
train.phases = [@code/Phase()]
"""


def metrics(run: Path) -> dict[int, dict]:
    """Lines of the run's metrics by step, without what depends on the clock."""
    path = run / PHASE / "metrics.jsonl"
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            values = json.loads(line)
        except ValueError:  # being written
            continue
        names = ("loss", "gradient_norm", "task_loss", "task_tokens")
        found[values["step"]] = {name: values[name] for name in names}
    return found


def checkpoints(run: Path) -> list[Path]:
    """Folders of finished checkpoints, the newest last."""
    found = (run / PHASE / "checkpoints").glob("*/digests/0.json")
    return sorted((path.parent.parent for path in found), key=lambda path: int(path.name))


class Job:
    """The training, started through the launcher as often as it takes."""

    def __init__(self, folder: Path, run: Path, processes: int):
        self.run, self.log = run, folder / f"{run.name}.log"
        self.command = [
            *(sys.executable, str(ROOT / "launch/local.py"), f"--processes={processes}"),
            *("--grace=5", "--restarts=1000", "--"),
            *(sys.executable, "-m", "codellama_jax.main", "train", f"--gin_file={folder}/run.gin"),
            f"--gin_bindings=train.run_dir = '{run}'",
        ]
        self.launcher: subprocess.Popen | None = None
        self.starts = 0

    def start(self) -> None:
        """Starts it, unless it runs."""
        if self.running():
            return
        self.starts += 1
        with self.log.open("a") as log:
            self.launcher = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "GLIBC_TUNABLES": ""},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def running(self) -> bool:
        return self.launcher is not None and self.launcher.poll() is None

    def workers(self) -> list[int]:
        """Process ids of the training processes, in their order."""
        path = Path(f"/proc/{self.launcher.pid}/task/{self.launcher.pid}/children")
        return sorted(map(int, path.read_text().split())) if self.running() else []

    def kill(self) -> None:
        """The machine is gone: launcher and processes at once."""
        for pid in [self.launcher.pid, *self.workers()]:
            _signal(pid, signal.SIGKILL)
        self.launcher.wait()

    def said(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


# Faults. Each gets the job and the generator, and returns what it did in a few words.


def signal_one(job: Job, draw: random.Random, number: int) -> str:
    chosen = draw.randrange(len(workers := job.workers()) or 1)
    for pid in workers[chosen : chosen + 1]:
        _signal(pid, number)
    return f"process {chosen}"


def kill_all(job: Job, draw: random.Random) -> str:
    job.kill()
    return "launcher and processes"


def terminate_all(job: Job, draw: random.Random) -> str:
    _signal(job.launcher.pid, signal.SIGTERM)
    return "launcher"


def _newest_file(job: Job, draw: random.Random) -> Path | None:
    job.kill()
    if not (saved := checkpoints(job.run)):
        return None
    files = sorted(path for path in saved[-1].rglob("*") if path.is_file() and path.stat().st_size)
    return draw.choice([path for path in files if path.parent.name != "digests"])


def flip(job: Job, draw: random.Random) -> str:
    if not (path := _newest_file(job, draw)):
        return "killed; nothing saved yet"
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    return _inside(path, job)


def truncate(job: Job, draw: random.Random) -> str:
    if not (path := _newest_file(job, draw)):
        return "killed; nothing saved yet"
    os.truncate(path, draw.randrange(path.stat().st_size))
    return _inside(path, job)


def lose(job: Job, draw: random.Random) -> str:
    if not (path := _newest_file(job, draw)):
        return "killed; nothing saved yet"
    path.unlink()
    return _inside(path, job)


def _inside(path: Path, job: Job) -> str:
    parts = path.relative_to(job.run / PHASE / "checkpoints").parts
    return f"killed; {parts[0]}/{parts[1]}" + ("/…" if len(parts) > 2 else "")


def fill_disk(job: Job, draw: random.Random) -> str:
    """Leaves no room until the job has ended over it."""
    filler = job.run.parent / "filler"
    free = shutil.disk_usage(job.run.parent).free
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:  # the job writes too
        file.write(b"\0" * max(free - 20_000, 0))
    deadline = time.monotonic() + 120
    while job.running() and time.monotonic() < deadline:
        time.sleep(0.1)
    filler.unlink()
    return f"ended with code {job.launcher.poll()}"


FAULTS = {
    "kill -9 one": functools.partial(signal_one, number=signal.SIGKILL),
    "kill -9 all": kill_all,
    "SIGTERM one": functools.partial(signal_one, number=signal.SIGTERM),
    "SIGTERM launcher": terminate_all,
    "stop one (hang)": functools.partial(signal_one, number=signal.SIGSTOP),
    "flip a bit": flip,
    "truncate a file": truncate,
    "lose a file": lose,
    "fill the disk": fill_disk,
}


@dataclasses.dataclass
class Fault:
    """One line of the table."""

    kind: str
    at: int
    what: str = ""
    back: int = 0
    seconds: float = 0.0


def torture(job: Job, faults: int, steps: int, draw: random.Random, until: float, disk: bool):
    """Runs the job to its end among faults; returns them."""
    kinds = [kind for kind in FAULTS if disk or kind != "fill the disk"]
    # Every kind equally often, in an order of the seed; hangs cost their time-out.
    plan = [kinds[number % len(kinds)] for number in range(faults)]
    draw.shuffle(plan)
    done: list[Fault] = []
    job.start()
    for number, kind in enumerate(plan):
        # The moment: some steps on, and some time after; now and then while it still starts.
        last = max(metrics(job.run), default=0)
        wanted = min(last + draw.randint(1, 8), steps - 5 * (len(plan) - number))
        early = draw.random() < 0.15
        waited = time.monotonic() + (draw.uniform(0, 8) if early else 120)
        while job.running() and time.monotonic() < waited:
            if max(metrics(job.run), default=0) >= wanted and not early:
                break
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 0.3))
        if time.monotonic() > until:
            print("out of time: no more faults", flush=True)
            break
        at, began, said = max(metrics(job.run), default=0), time.monotonic(), job.said()
        fault = Fault(kind, at, FAULTS[kind](job, draw))
        # Back when a step is done that was not done by the processes before.
        while time.monotonic() < began + 180:
            if not job.running():
                if job.launcher.returncode == 0:
                    break
                job.start()
            text = job.log.read_text(errors="replace")[said:]
            restarted = "continues from step" in text or "starting again" in text or job.starts > 1
            now = max(metrics(job.run), default=0)
            if restarted and " done, compiled in" in text and now:
                break
            time.sleep(0.05)
        found = job.log.read_text(errors="replace")[said:]
        marks = [line.split()[-1] for line in found.splitlines() if "continues from step" in line]
        fault.back, fault.seconds = int(marks[-1]) if marks else 0, time.monotonic() - began
        done.append(fault)
        print(
            f"{len(done):>3}  {fault.kind:<17} at step {fault.at:>4}  {fault.what:<32}"
            f" continued from {fault.back:>4}  after {fault.seconds:5.1f} s",
            flush=True,
        )
    while True:
        if not job.running():
            if job.launcher.returncode == 0:
                return done
            job.start()
        time.sleep(0.2)


def differences(ours: Path, theirs: Path) -> list[str]:
    """What is not the same in two runs, in words."""
    found = []
    one, other = metrics(ours), metrics(theirs)
    if one.keys() != other.keys():
        found.append(f"steps differ: {sorted(one.keys() ^ other.keys())[:5]}")
    wrong = [step for step in one.keys() & other.keys() if one[step] != other[step]]
    if wrong:
        found.append(f"{len(wrong)} steps differ, the first at {min(wrong)}")
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import numpy as np

    last = [checkpoints(run)[-1] for run in (ours, theirs)]
    if last[0].name != last[1].name:
        found.append(f"last checkpoints differ: {last[0].name}, {last[1].name}")
    for item in ("params", "optimizer"):
        mine, other = (_arrays(step / item) for step in last)
        for (path, a), b in zip(jax.tree.leaves_with_path(mine), jax.tree.leaves(other)):
            if not np.array_equal(a, b):
                found.append(f"array {item}{jax.tree_util.keystr(path)} differs")
    return found


def _arrays(folder: Path):
    """The arrays of a checkpoint as numpy's, whatever devices they were on."""
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    checkpointer = ocp.PyTreeCheckpointer()
    tree = checkpointer.metadata(folder).item_metadata.tree
    plain = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
    return checkpointer.restore(folder, restore_args=plain)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faults", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=20.0, help="no faults after that")
    parser.add_argument("--json", metavar="PATH")
    arguments = parser.parse_args()
    began = time.monotonic()
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="torture") as name:
        folder = Path(name)
        disk = folder / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
        mounted = (
            shutil.which("mount") and not subprocess.run(mount, capture_output=True).returncode
        )
        if not mounted:
            print("no small disk can be mounted here (it needs root): none is filled up")
        jobs: list[Job] = []
        try:
            steps = 10 * arguments.faults
            (folder / "run.gin").write_text(CONFIG.format(folder=folder, steps=steps))
            _prepare(folder / "corpus")
            for run in (folder / "undisturbed", disk / "run"):
                jobs.append(Job(folder, run, arguments.processes))
            undisturbed, job = jobs
            undisturbed.start()
            if undisturbed.launcher.wait():
                print(undisturbed.log.read_text())
                return 1
            print(f"undisturbed: {steps} steps in {time.monotonic() - began:.0f} s", flush=True)
            until = began + 60 * arguments.minutes
            done = torture(job, arguments.faults, steps, draw, until, mounted)
            found = differences(job.run, undisturbed.run)
            if found:
                shutil.copy(job.log, Path(tempfile.gettempdir()) / "torture.log")
        finally:
            for started in jobs:
                if started.running():
                    started.kill()
            if mounted:
                subprocess.run(["umount", str(disk)], check=True)
    seconds = time.monotonic() - began
    _print(done, found, seconds)
    if arguments.json:
        result = {"faults": list(map(dataclasses.asdict, done)), "differences": found}
        Path(arguments.json).write_text(json.dumps({**result, "seconds": seconds}, indent=1) + "\n")
    return 1 if found or len(done) < arguments.faults else 0


def _prepare(folder: Path) -> None:
    import sysconfig

    roots = [Path(sysconfig.get_paths()["stdlib"]) / name for name in ("json", "email", "logging")]
    subprocess.run(
        [
            *(sys.executable, "-m", "codellama_jax.main", "prepare"),
            f"--gin_bindings=prepare.output_dir = '{folder}'",
            f"--gin_bindings=prepare.roots = {[str(root) for root in roots]}",
            "--gin_bindings=prepare.vocab_size = 512",
        ],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _print(done: list[Fault], found: list[str], seconds: float) -> None:
    print(f"\n{'fault':<17} {'times':>5} {'steps lost':>11} {'seconds until a step':>21}")
    for kind in FAULTS:
        mine = [fault for fault in done if fault.kind == kind]
        if mine:
            lost = sum(max(fault.at - fault.back, 0) for fault in mine) / len(mine)
            took = sum(fault.seconds for fault in mine) / len(mine)
            print(f"{kind:<17} {len(mine):>5} {lost:>11.1f} {took:>21.1f}")
    verdict = "; ".join(found) if found else "bit for bit as undisturbed: every step and array"
    print(f"\n{len(done)} faults in {seconds / 60:.1f} min: {verdict}")


if __name__ == "__main__":
    sys.exit(main())
