"""Every measurement of every checkpoint of a run."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gin

from codellama_jax.errors import UserError
from codellama_jax.evaluation.dialogues import dialogue_loss
from codellama_jax.evaluation.functional import functional_correctness
from codellama_jax.evaluation.heldout import (
    bits_per_byte,
    compressed_bits_per_byte,
    heldout_texts,
)
from codellama_jax.evaluation.infilling import infilling_exact_match, single_line_holes
from codellama_jax.evaluation.positions import long_documents, loss_by_position
from codellama_jax.evaluation.retrieval import key_retrieval
from codellama_jax.evaluation.samples import samples
from codellama_jax.generation import Model, load_model
from codellama_jax.weights import FOLDER, read_record

FILE = "evaluation.json"


@gin.configurable
def evaluate(
    run_dir: str = gin.REQUIRED,
    window: int = 512,
    rope_bases: Sequence[float] = (1e4, 1e6),
) -> dict[str, Any]:
    """Measures the last checkpoint of every phase of a run.

    Results are kept beside each phase and not measured again while checkpoint and settings stay
    the same.

    Args:
      run_dir: of `train`.
      window: tokens of context in which held-out text is scored; the code phase's sequence.
      rope_bases: under each of them the loss by position is measured.

    Returns:
      {"phases": {name: results}, "compression": {source: bits per byte}}, also written to
      `evaluation.json` in the run's folder.

    Raises:
      UserError: no run there, or one without checkpoints.
    """
    phases = trained_phases(run_dir)
    heldout = heldout_texts()
    compression = {
        text.source: {"bytes": text.size, **compressed_bits_per_byte(text)} for text in heldout
    }
    results = {}
    for name, record in phases.items():
        folder = Path(run_dir) / name
        key = _settings_key(record)
        saved = _read(folder / FILE)
        if saved.get("key") == key:
            print(f"{name}: evaluated already", flush=True)
            results[name] = saved
            continue
        model = load_model(folder)
        sequences = long_documents(model.vocabulary)
        if not sequences:
            raise UserError("the corpus has no held-out document as long as long_documents.length")
        measure: dict[str, Callable[[Model], Any]] = {
            "bits_per_byte": lambda m: {
                text.source: bits_per_byte(m.config, m.params, m.vocabulary, text, window)
                for text in heldout
            },
            "loss_by_position": lambda m, s=sequences: [
                loss_by_position(m.config, m.params, s, base) for base in rope_bases
            ],
            "infilling": lambda m: infilling_exact_match(m, single_line_holes()),
            "key_retrieval": key_retrieval,
            "programs": functional_correctness,
            "dialogues": lambda m: dialogue_loss(m, window=window),
            "samples": samples,
        }
        values: dict[str, Any] = {"key": key, "seconds": {}, "step": record["data"]["step"]}
        for what, function in measure.items():
            began = time.perf_counter()
            values[what] = function(model)
            values["seconds"][what] = round(time.perf_counter() - began, 2)
        (folder / FILE).write_text(json.dumps(values, indent=1))
        results[name] = values
        _write(Path(run_dir), results, compression)
        print(f"{name}: {_summary(values)}", flush=True)
    return _write(Path(run_dir), results, compression)


def trained_phases(run_dir: str | Path) -> dict[str, dict[str, Any]]:
    """Checkpoint records of a run's phases by name, parents first.

    Raises:
      UserError: no run there.
    """
    folders = sorted(p.parent for p in Path(run_dir).glob(f"*/{FOLDER}"))
    records = {folder.name: read_record(folder) for folder in folders}
    if not records:
        raise UserError(f"no trained phase in {run_dir}: run `codellama-jax train` first")
    return dict(sorted(records.items(), key=lambda item: (len(item[1]["lineage"]), item[0])))


def _write(
    run: Path, results: dict[str, Any], compression: dict[str, dict[str, float]]
) -> dict[str, Any]:
    whole = {"phases": results, "compression": compression, "config": gin.config_str()}
    (run / FILE).write_text(json.dumps(whole, indent=1))
    return whole


def _settings_key(record: dict[str, Any]) -> str:
    """Changes with the checkpoint and with every gin setting."""
    parts = [gin.config_str(), record["lineage"], record["data"]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _summary(values: dict[str, Any]) -> str:
    bits = ", ".join(f"{source} {v:.3f}" for source, v in values["bits_per_byte"].items())
    shares = (f"{name.upper()} {r['exact_match']:.1%}" for name, r in values["infilling"].items())
    infilled = ", ".join(shares) or "not trained"
    programs = values["programs"]
    passed = f"pass@1 {programs['pass@1']:.1%}" if "pass@1" in programs else "programs not run"
    return (
        f"bits per byte {bits}; infilling {infilled}; {passed}"
        f" ({sum(values['seconds'].values()):.0f} s)"
    )
