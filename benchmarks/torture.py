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

from torture_job import CONFIG, PHASE, ROOT, Job, checkpoints, differences, metrics, prepare, send

DISK_BYTES = 12_000_000


# Faults. Each gets the job and the generator, and returns what it did in a few words.


def signal_one(job: Job, draw: random.Random, number: int) -> str:
    chosen = draw.randrange(len(workers := job.workers()) or 1)
    for pid in workers[chosen : chosen + 1]:
        send(pid, number)
    return f"process {chosen}"


def kill_all(job: Job, draw: random.Random) -> str:
    job.kill()
    return "launcher and processes"


def terminate_all(job: Job, draw: random.Random) -> str:
    send(job.launcher.pid, signal.SIGTERM)
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
            (folder / "run.gin").write_text(CONFIG.format(root=ROOT, folder=folder, steps=steps))
            prepare(folder / "corpus")
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
