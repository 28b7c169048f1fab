"""A run so small that whole ones fit into a test: its corpus, its configuration, its curve."""

import json
import sys
import sysconfig
from pathlib import Path

from helpers import ROOT

STDLIB = Path(sysconfig.get_paths()["stdlib"])
MAIN = [sys.executable, "-m", "codellama_jax.main"]
CONFIG = """
include "{root}/configs/meshes/cpu2.gin"
include "{root}/configs/models/tiny.gin"
start_devices.compilation_cache = "{cache}"
RowStream.corpus = "{corpus}"
PhaseCheckpoints.save_every = 4
Progress.print_every = 5
Phase.batch_size = 2
Phase.sequence_length = 128
Phase.warmup_steps = 2
Phase.peak_learning_rate = 1e-3
code/Phase.name = "code"
code/Phase.mixture = "code_llama"
code/Phase.steps = 30
long/Phase.name = "long"
long/Phase.parent = "code"
long/Phase.mixture = "code_llama"
long/Phase.sequence_length = 256
long/Phase.rope_base = 1e6
long/Phase.steps = 20
train.phases = [@code/Phase(), @long/Phase()]
"""


def write_run(folder: Path) -> None:
    """A corpus and `run.gin` in the folder."""
    from codellama_jax.corpus import prepare

    roots = [str(STDLIB / name) for name in ("json", "email", "logging", "unittest")]
    prepare(output_dir=str(folder / "corpus"), roots=roots, vocab_size=512, workers=1)
    text = CONFIG.format(root=ROOT, corpus=folder / "corpus", cache=folder / "cache")
    (folder / "run.gin").write_text(text)


def train_command(folder: Path, run: str, *bindings: str) -> list[str]:
    """The command that trains the run in `folder / run`."""
    given = (f'train.run_dir = "{folder / run}"', *bindings)
    return [*MAIN, "train", f"--gin_file={folder}/run.gin", *(f"--gin_bindings={b}" for b in given)]


def curve(phase: Path, name: str = "loss") -> dict[int, float]:
    """One figure of a phase, by step."""
    path = phase / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {line["step"]: line[name] for line in lines if name in line}
