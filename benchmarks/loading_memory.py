"""Memory of loading Hugging Face weights: above the shards themselves, about one tensor.

    python benchmarks/loading_memory.py [--dim 2048] [--layers 8] [--devices 4]

Random weights of a Llama of that size are written as safetensors files, then read in a process of
its own onto virtual devices, which share this machine's memory: the peak is to stay under what the
shards take, plus 1.2 times the largest tensor. Pages of the files, which the system may drop at any
time, are not counted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path


def _config(dim: int, layers: int):
    from codellama_jax.model import LlamaConfig

    return LlamaConfig(
        dim=dim, num_layers=layers, num_heads=dim // 128, num_kv_heads=dim // 128,
        ffn_dim=dim * 11 // 4, param_dtype="bfloat16",
    )  # fmt: skip


def write(folder: str, dim: int, layers: int) -> None:
    """Writes the weights."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    from codellama_jax.model import init_params
    from codellama_jax.weights.hugging_face import write_hugging_face

    config = _config(dim, layers)
    params = jax.jit(lambda: init_params(config, 0))()
    write_hugging_face(folder, config, params, 4096, shard_bytes=500_000_000)


def read(folder: str, dim: int, layers: int, devices: int) -> dict[str, float]:
    """Bytes at the peak of loading, above what was there before."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    from codellama_jax.parallel import make_mesh
    from codellama_jax.weights.hugging_face import open_hugging_face
    from codellama_jax.weights.source import load_source

    mesh = make_mesh()
    source = open_hugging_face(folder)
    before = peak = _anonymous()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, _anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    params = load_source(source, _config(dim, layers), mesh)
    jax.block_until_ready(params)
    done.set()
    watcher.join()
    return {
        "shards": sum(x.nbytes for x in jax.tree.leaves(params)),
        "largest": max(x.nbytes for x in _tensors(params)),
        "peak": peak - before,
    }


def _tensors(params):
    import jax

    layers = [x[0] for x in jax.tree.leaves(params["layers"])]
    return [*layers, params["embedding"], params["head"]]


def _anonymous() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Writes, reads, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--devices", type=int, default=4)
    parser.add_argument("--side", choices=("write", "read"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side == "write":
        write(arguments.folder, arguments.dim, arguments.layers)
        return
    if arguments.side == "read":
        print(json.dumps(read(arguments.folder, arguments.dim, arguments.layers,
                              arguments.devices)))  # fmt: skip
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, f"--folder={Path(folder) / 'weights'}",
                   f"--dim={arguments.dim}", f"--layers={arguments.layers}",
                   f"--devices={arguments.devices}"]  # fmt: skip
        subprocess.run([*command, "--side=write"], check=True)
        done = subprocess.run(
            [*command, "--side=read"], check=True, stdout=subprocess.PIPE, text=True
        )
    found = json.loads(done.stdout.splitlines()[-1])
    over = (found["peak"] - found["shards"]) / found["largest"]
    for name in ("shards", "largest", "peak"):
        print(f"{name:10}{found[name] / 2**20:10,.0f} MiB")
    print(f"above the shards: {over:.2f} of the largest tensor")


if __name__ == "__main__":
    main()
