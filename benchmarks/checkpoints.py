"""Checkpoints: how long training stands still for a save, how fast and in what memory it is read.

    python benchmarks/checkpoints.py [--dim 1024] [--layers 8] [--devices 2] [--folder DIR]

A training state (parameters and both moments, float32) is saved twice and restored, each in a
process of its own. The stall is the time until `save` returns and until the next one may begin; the
disk's own speed is that of reading the same files in one go, with nothing of them in memory, as the
restore does. Peak memory is the restore's above what the process had before, as a multiple of the
state.

A virtual machine may get memory from its host only when it is first touched, which took 2 to 4
seconds for 2 GB where this was written. That is neither the disk's time nor the restore's, so the
memory is touched and given back just before; --untouched leaves that out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np


def _state(dim: int, layers: int, devices: int):
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    from codellama_jax.model import LlamaConfig, param_axes
    from codellama_jax.parallel import make_mesh
    from codellama_jax.training.guard import Guard
    from codellama_jax.training.optimizer import make_optimizer

    config = LlamaConfig(
        dim=dim, num_layers=layers, num_heads=dim // 128, num_kv_heads=dim // 128,
        ffn_dim=dim * 11 // 4,
    )  # fmt: skip
    return config, make_optimizer(param_axes(config)), make_mesh(), Guard()


def save(folder: str, dim: int, layers: int, devices: int, **_: bool) -> dict[str, float]:
    """Seconds that the loop stands in `save`, and until all is on disk."""
    config, optimizer, mesh, guard = _state(dim, layers, devices)
    import jax

    from codellama_jax.training import PhaseCheckpoints
    from codellama_jax.training.state import init_state

    state = init_state(config, optimizer, mesh, guard, 0)
    # Moments that are not all zeros, which would be read and written as next to nothing.
    moments = state.optimizer[1]._replace(mu=state.params, nu=jax.tree.map(abs, state.params))
    optimizer = (state.optimizer[0], moments, *state.optimizer[2:])
    state = jax.block_until_ready(state._replace(optimizer=optimizer))
    checkpoints = PhaseCheckpoints(Path(folder))
    record = {"model": {}, "lineage": [{"settings": {}}], "data": {}}
    stalls, wholes = [], []
    for step in (1, 2):
        began, before = time.perf_counter(), checkpoints.stalled
        checkpoints.save(step, state, record)
        stalls.append(checkpoints.stalled - before)
        checkpoints.wait()
        wholes.append(time.perf_counter() - began)
    checkpoints.close()
    return {
        "state": sum(leaf.nbytes for leaf in jax.tree.leaves(state)),
        "files": sum(path.stat().st_size for path in _files(folder)),
        "stall": stalls[-1],
        "until_written": wholes[-1],
    }


def read(folder: str, **_: int) -> dict[str, float]:
    """Seconds to read the files of the last checkpoint, and nothing else."""
    files, buffer = _forget(folder), bytearray(1 << 23)
    began = time.perf_counter()
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return {"seconds": time.perf_counter() - began}


def restore(folder: str, dim: int, layers: int, devices: int, untouched: bool) -> dict[str, float]:
    """Seconds to check and restore the last checkpoint, and the memory that took at its peak."""
    config, optimizer, mesh, guard = _state(dim, layers, devices)
    import jax
    import psutil

    from codellama_jax.training.resuming import newest_whole
    from codellama_jax.training.state import abstract_state

    like = abstract_state(config, optimizer, mesh, guard)
    jax.block_until_ready(jax.numpy.zeros(()))
    files = _forget(folder)
    if not untouched:
        _touch(sum(path.stat().st_size for path in files))
    me, done = psutil.Process(), threading.Event()
    before = peak = me.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, me.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    found = newest_whole(Path(folder), like, lambda record: None, last=3)
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    assert found and found.step == 2
    return {"seconds": seconds, "peak": peak - before}


def _touch(size: int, piece: int = 1 << 25) -> None:
    for one in [np.empty(piece, np.uint8) for _ in range(1 + size // piece)]:
        one[::4096] = 1


def _files(folder: str) -> list[Path]:
    return [path for path in sorted(Path(folder, "checkpoints/2").rglob("*")) if path.is_file()]


def _forget(folder: str) -> list[Path]:
    """Files of the last checkpoint, after the system has dropped them from memory."""
    files = _files(folder)
    os.sync()
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return files


SIDES = {"save": save, "read": read, "restore": restore}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="on the disk to measure; a temporary one unless given")
    parser.add_argument("--untouched", action="store_true", help="memory is not touched before")
    parser.add_argument("--json", metavar="PATH")
    parser.add_argument("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    from codellama_jax.parallel import tune_host

    tune_host()  # as the command line does; the other processes inherit it
    sizes = {name: getattr(arguments, name) for name in ("dim", "layers", "devices")}
    if arguments.side:
        print("RESULT", json.dumps(SIDES[arguments.side](
            arguments.folder, untouched=arguments.untouched, **sizes)))  # fmt: skip
        return
    given = [f"--{name}={value}" for name, value in sizes.items()]
    given += ["--untouched"] * arguments.untouched
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        run = lambda side: _run(side, folder, given)  # noqa: E731
        saved = run("save")
        rounds = [
            {side: run(side) for side in ("read", "restore")} for _ in range(arguments.rounds)
        ]
    of = lambda side, name: statistics.median(r[side][name] for r in rounds)  # noqa: E731
    disk, restored = (saved["files"] / of(side, "seconds") for side in ("read", "restore"))
    result = {
        **saved,
        "disk_bytes_per_second": disk,
        "restore_bytes_per_second": restored,
        "restore_of_disk": restored / disk,
        "peak_of_state": of("restore", "peak") / saved["state"],
        "minutes_between_saves_for_2_percent": saved["stall"] / 0.02 / 60,
        "rounds": rounds,
    }
    print(f"state {saved['state'] / 1e6:,.0f} MB, its files {saved['files'] / 1e6:,.0f} MB")
    print(f"save: stall {saved['stall']:.2f} s, on disk after {saved['until_written']:.2f} s")
    print(f"disk: {disk / 1e6:,.0f} MB/s; restore, its check included: {restored / 1e6:,.0f} MB/s,"
          f" {restored / disk:.0%} of it")  # fmt: skip
    print(f"peak memory of a restore: {result['peak_of_state']:.2f} x the state")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")


def _run(side: str, folder: str, given: list[str]) -> dict[str, float]:
    command = [sys.executable, __file__, f"--side={side}", f"--folder={folder}", *given]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    return json.loads(line.removeprefix("RESULT"))


if __name__ == "__main__":
    main()
