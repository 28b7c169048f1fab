"""Folders as training leaves them, written without training."""

import dataclasses
import json
import os

import helpers  # noqa: F401  (before JAX starts)

from codellama_jax.model import LlamaConfig
from codellama_jax.runs import write_digests
from codellama_jax.training import Phase
from codellama_jax.training.lineage import lineage_entry

CONFIGURATION = """
code/Phase.name = "code"
code/Phase.mixture = "code_llama"
code/Phase.steps = 30
long/Phase.name = "long"
long/Phase.parent = "code"
long/Phase.steps = 20
HostLoader.workers = {workers}
train.phases = \\
    [@code/Phase(),
     @long/Phase()]
train.run_dir = "{run}"
"""


def write_phase(run, phase, saved=(), losses=(), ancestors=(), workers=0, seed=0, bits=False):
    """A phase's folder with checkpoints at the steps `saved` and a metrics line for each loss."""
    folder = run / phase.name
    folder.mkdir(parents=True)
    for step in saved:
        record = {
            "model": dataclasses.asdict(LlamaConfig(rope_base=phase.rope_base)),
            "lineage": [lineage_entry(one, seed) for one in (*ancestors, phase)],
            "operative_config": CONFIGURATION.format(workers=workers, run=run),
            "code_version": "0.1.0",
            "data": {"step": step, "fingerprint": {"mixture": phase.mixture, "seed": seed}},
        }
        item = folder / f"checkpoints/{step}/record"
        item.mkdir(parents=True)
        (item / "metadata").write_text(json.dumps(record))
        (item.parent / "params").write_bytes(bytes(1000))
        write_digests(item.parent)
    lines = [
        {"step": step, "loss": loss, "tokens": 200, **({"bits_per_byte": loss / 2} if bits else {})}
        for step, loss in enumerate(losses, 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def leave(folder, seconds):
    """Makes a phase's last sign so many seconds old."""
    moment = (folder / "metrics.jsonl").stat().st_mtime - seconds
    for path in (folder / "metrics.jsonl", folder / "checkpoints"):
        if path.exists():
            os.utime(path, (moment, moment))


CODE = Phase("code", "code_llama", 30, 2, 128, warmup_steps=2)
LONG = Phase("long", "code_llama", 20, 2, 256, parent="code", rope_base=1e6, warmup_steps=2)
