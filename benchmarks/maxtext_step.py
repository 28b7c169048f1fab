"""MaxText's training step of the model of `train_step.py`, timed from outside of its own trainer.

MaxText has packages and a Python of its own: clone it, and give it a virtual environment beside
its sources (docs/model.md says how). Its trainer runs as it is, on synthetic data.
"""

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# What MaxText is fastest with on a CPU, of layers in a loop or unrolled, and these policies and
# minimal_with_context and full: 19.5 against up to 22.5 seconds of computing a step.
BEST = ("scan_layers=true", "remat_policy=minimal")
_WARM_UP = 2


def maxtext_step(
    folder: str,
    shape: Mapping[str, int],
    dtype: str,
    steps: int,
    rows: int,
    length: int,
    settings: Sequence[str] = BEST,
) -> tuple[float, float]:
    """Seconds of a step, and the seconds its threads computed, medians after those that warm up.

    Args:
      folder: a clone of MaxText, with its environment in .venv.
      shape: of the model, as LlamaConfig names it.
      dtype: of activations; parameters are float32.
      steps: that count.
      rows, length: of the batch.
      settings: further ones of MaxText, "name=value".

    Raises:
      SystemExit: MaxText ended before its last step.
    """
    root = Path(folder).resolve()
    heads = shape["num_heads"]
    command = [
        f"{root}/.venv/bin/python", "-m", "maxtext.trainers.pre_train.train",
        "maxtext/configs/base.yml", "run_name=step", f"base_output_directory={root}/.out",
        "hardware=cpu", "skip_jax_distributed_system=true", "dataset_type=synthetic",
        "enable_checkpointing=false", "enable_goodput_recording=false", "monitor_goodput=false",
        f"steps={_WARM_UP + steps}", f"per_device_batch_size={rows}",
        f"max_target_length={length}", f"dtype={dtype}", "decoder_block=llama2",
        "attention=dot_product", 'mlp_activations=["silu","linear"]',
        "logits_via_embedding=false", f"vocab_size={shape['vocab_size']}",
        f"base_emb_dim={shape['dim']}", f"base_num_decoder_layers={shape['num_layers']}",
        f"base_num_query_heads={heads}", f"base_num_kv_heads={shape['num_kv_heads']}",
        f"base_mlp_dim={shape['ffn_dim']}", f"head_dim={shape['dim'] // heads}", *settings,
    ]  # fmt: skip
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONUNBUFFERED": "1",
                   "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # fmt: skip
    with subprocess.Popen(
        command, cwd=root / "src", env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        last, ends = "", []
        for line in process.stdout or ():
            last = line.strip() or last
            # Told when a step's loss is there; the "seconds" it tells are those of its dispatch.
            if "completed step:" in line:
                ends.append((time.perf_counter(), _computed(process.pid)))
    if process.returncode or len(ends) < _WARM_UP + steps:
        raise SystemExit(f"MaxText in {root} ended after {len(ends)} steps: {last}")
    pairs = list(zip(ends[_WARM_UP - 1 :], ends[_WARM_UP:]))
    seconds, computed = (
        statistics.median(after[n] - before[n] for before, after in pairs) for n in (0, 1)
    )
    return seconds, computed


def _computed(process: int) -> float:
    """Seconds of computing of all threads of a process until now (man 5 proc)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
