"""The training that benchmarks/torture.py disturbs, and what tells two such runs apart."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PHASE = "code"
CONFIG = """
include "{root}/configs/models/tiny.gin"
start_devices.platform = "cpu"
start_devices.cpu_devices = 1
start_devices.compilation_cache = "{folder}/programs"
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
            send(pid, signal.SIGKILL)
        self.launcher.wait()

    def said(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0


def send(pid: int, number: int) -> None:
    """A signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def prepare(folder: Path) -> None:
    """A corpus of a few modules of the standard library."""
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
