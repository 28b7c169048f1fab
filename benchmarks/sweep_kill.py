"""Kills a worker of a sweep with kill -9; asks for every result, and for the best trial's again.

    python benchmarks/sweep_kill.py [--gin_file FILE] [--gin_bindings BINDING]

runs a sweep as a user does, by default the shipped one over learning rate and batch size (twelve
trials, two workers; it needs the quickstart's corpus). Once a trial has a checkpoint its worker is
killed. At the end every trial must have a result, and the best trial's gin file must end in the
same loss, to the last bit. The sweep's folder must not be there yet.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from codellama_jax.runs import read_metrics
from codellama_jax.sweeps import read_results
from codellama_jax.writing import aligned

ROOT = Path(__file__).resolve().parent.parent
MAIN = [sys.executable, "-m", "codellama_jax.main"]


def kill_a_worker(folder: Path, sweep: subprocess.Popen) -> str:
    """Kills the worker of the first trial that trains on from a checkpoint; the trial's name."""
    while sweep.poll() is None:
        for saved in folder.glob("trial_*/*/checkpoints/*/digests/0.json"):
            trial = saved.parents[4]
            for process in psutil.Process(sweep.pid).children(recursive=True):
                try:
                    if f"--gin_file={trial / 'run.gin'}" in process.cmdline():
                        process.parent().kill()
                        return trial.name
                except psutil.NoSuchProcess:
                    continue
        time.sleep(0.05)
    raise SystemExit("the sweep ended before a trial had a checkpoint: lower save_every")


def main() -> None:
    """Prints the trials, and whether the best one came out the same."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--gin_file", default="configs/sweeps/quickstart_learning_rate_batch.gin", help="a sweep"
    )
    parser.add_argument("--gin_bindings", action="append", default=[], help="for the sweep")
    parser.add_argument("--folder", default="runs/sweep_kill", help="the sweep's, not yet there")
    options = parser.parse_args()
    folder = Path(options.folder)
    if folder.exists():
        raise SystemExit(f"{folder} is there already: remove it or give another --folder")
    bindings = [*options.gin_bindings, f'sweep.folder = "{folder}"']
    words = [*MAIN, "sweep", f"--gin_file={options.gin_file}"]
    words += [f"--gin_bindings={binding}" for binding in bindings]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    sweep = subprocess.Popen(words, env=environment)
    killed = kill_a_worker(folder, sweep)
    print(f"killed the worker of {killed} with kill -9", flush=True)
    if sweep.wait():
        raise SystemExit(f"the sweep failed with exit code {sweep.returncode}")
    took = time.monotonic() - began

    result = read_results(folder)
    rows = [
        [
            str(row["trial"]),
            *(f"{value:.3g}" for value in row["values"].values()),
            row["state"],
            f"{row['tokens']:,}",
            str(row["attempts"]),
            f"{row['objective']:.4f}",
        ]
        for row in result["trials"]
    ]
    names = [name.rpartition(".")[2] for name in result["trials"][0]["values"]]
    heads = ["trial", *names, "state", "tokens", "starts", result["objective"]]
    print("\n".join(["", *aligned([heads, *rows])]))
    done = sum(row["state"] in ("complete", "given up") for row in result["trials"])
    print(f"\n{done} of {len(rows)} trials have a result, after {took / 60:.1f} min")

    subprocess.run(
        [*MAIN, "train", f"--gin_file={folder / 'best.gin'}"], env=environment, check=True
    )
    name, trial = result["objective"], folder / f"trial_{result['best']:03}"
    first, again = (
        [line[name] for line in read_metrics(run / result["phase"]) if name in line]
        for run in (trial, folder / "best")
    )
    same = "the same to the last bit" if first == again else "NOT THE SAME"
    print(f"{name} of {trial.name} {first[-1]!r}, of best.gin {again[-1]!r}: {same}")
    if done < len(rows) or first != again:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
