"""Our flash attention, JAX's splash and tokamax's, compiled for a TPU that is not here.

    python benchmarks/tpu_attention.py [--lengths 4096 16384] [--blocks 512 1024] [--slice v5e-1]

One row of 7B's attention (32 heads of 128), packed, forward and backward. Bundles are instructions
of the compiler's final schedule for one pair of blocks, of which tokamax has a second form for
pairs that the mask leaves whole. Needs libtpu; tokamax's rows appear where it is installed
(pip install tokamax==0.0.12). Half a minute to some minutes a program.
"""

import argparse
import functools
import importlib.util
import json
import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HEADS, SIZE = 32, 128
_FORWARD = ("splash_m?a_fwd_",)
_BACKWARD = ("splash_m?a_dkv_", "attention_backward")


def main() -> None:
    """Compiles each and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[4096, 16_384])
    parser.add_argument("--blocks", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--slice", default="v5e-1")
    arguments = parser.parse_args()
    from codellama_jax.writing import aligned

    sides = {"ours": _of_ours, "JAX": _of_jax}
    if importlib.util.find_spec("tokamax"):
        sides["tokamax"] = _of_tokamax
    table = [("kernel", "length", "blocks", "temporary MiB", "beside kernels ms",
              "bundles forward", "backward", "compiled in")]  # fmt: skip
    for name, side in sides.items():
        for length in arguments.lengths:
            for block in arguments.blocks:
                table.append((name, f"{length:,}", f"{block:,}", *_compiled(arguments.slice, side,
                              length, block)))  # fmt: skip
                print("\n".join(aligned(table)), flush=True)


def _compiled(name: str, side: Any, length: int, block: int) -> tuple[str, ...]:
    """The figures of one program; a process of its own, as libtpu takes its options once."""
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("spawn").Process(
            target=_compile, args=(name, side, length, block, folder)
        )
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"compiling at {length} with blocks of {block} failed")
        found = json.loads((Path(folder) / "found.json").read_text())
        bundles = [_bundles(Path(folder), kernels) for kernels in (_FORWARD, _BACKWARD)]
    return (f"{found['temporary'] / 2**20:,.0f}", f"{found['other'] * 1000:.2f}",
            *(" / ".join(f"{n:,}" for n in each) for each in bundles),
            f"{found['seconds']:.0f} s")  # fmt: skip


def _compile(name: str, side: Any, length: int, block: int, folder: str) -> None:
    os.environ["LIBTPU_INIT_ARGS"] = f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true"
    from codellama_jax.planning.topologies import prepare_compiler, topology

    prepare_compiler()
    import jax
    import jax.numpy as jnp

    from codellama_jax.parallel import make_mesh
    from codellama_jax.parallel.compiler_options import compiler_options
    from codellama_jax.planning.estimate import estimate

    jax.config.update("jax_platforms", "cpu")
    slice_ = topology(name)
    devices = slice_.devices()
    attend, constants = side(length, block)
    mesh = make_mesh(devices=devices)
    here = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def shaped(shape: tuple[int, ...], dtype: Any = jnp.bfloat16) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=here)

    def total(q, k, v, segments, constants):
        return jnp.sum(attend(q, k, v, segments, constants).astype(jnp.float32) ** 2)

    arguments = (
        shaped((1, length, HEADS, 1, SIZE)),
        *(shaped((1, length, HEADS, SIZE)),) * 2,
        shaped((1, length), jnp.int32),
        jax.tree.map(lambda x: shaped(x.shape, x.dtype), constants),
    )
    began = time.perf_counter()
    with jax.set_mesh(mesh):
        lowered = jax.jit(jax.grad(total, (0, 1, 2))).lower(*arguments)
    compiled = lowered.compile(compiler_options=compiler_options(mesh))
    seconds = time.perf_counter() - began
    timed = estimate(compiled.as_text(), slice_.chip, slice_.wrap)
    found = {"temporary": compiled.memory_analysis().temp_size_in_bytes,
             "other": timed.compute, "seconds": seconds}  # fmt: skip
    (Path(folder) / "found.json").write_text(json.dumps(found))


def _of_ours(length: int, block: int) -> tuple[Any, Any]:
    """Attention as the model has it, in its layout (B, S, K, G, H), and arrays that it needs."""
    import numpy as np

    from codellama_jax.model.splash import splash_attention, splash_kernel

    def attend(q, k, v, segments, constants):
        kernel, rows = constants
        return splash_attention(q, k, v, segments, segments, rows, kernel, block, interpret=False)

    rows = np.arange(length, dtype=np.int32)
    return attend, (splash_kernel(rows, length, 1, block, 1, interpret=False), rows)


def _of_jax(length: int, block: int) -> tuple[Any, Any]:
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    sizes = splash.BlockSizes(
        block_q=block,
        block_kv=block,
        block_kv_compute=block,
        block_q_dkv=block,
        block_kv_dkv=block,
        block_kv_dkv_compute=block,
        use_fused_bwd_kernel=True,
    )
    causal = splash.MultiHeadMask([splash.CausalMask((length, length))])
    kernel = splash.make_splash_mqa(causal, block_sizes=sizes, head_shards=1, q_seq_shards=1)
    return functools.partial(_of_kernels, splash.SegmentIds), kernel


def _of_tokamax(length: int, block: int) -> tuple[Any, Any]:
    from tokamax._src.ops.experimental.tpu.splash_attention import splash_attention_kernel as splash
    from tokamax._src.ops.experimental.tpu.splash_attention import splash_attention_mask as mask

    config = splash.SplashConfig(
        block_q=block,
        block_kv=block,
        block_q_dkv=block,
        block_kv_dkv=block,
        residual_checkpoint_name="attention",
        dq_reduction_steps=3,
    )
    causal = mask.CausalMask((length, length))
    kernel = splash.make_splash_mqa(causal, config=config, q_seq_shards=1)
    return functools.partial(_of_kernels, splash.SegmentIds), kernel


def _of_kernels(segment_ids: Any, q: Any, k: Any, v: Any, segments: Any, kernel: Any) -> Any:
    """Attention in the model's layout by a kernel of one head of one row."""
    import jax

    def one_row(q, k, v, segments):
        own = segment_ids(segments, segments)
        return jax.vmap(kernel, in_axes=(0, 0, 0, None))(q, k, v, own)

    q = (q * SIZE**-0.5).transpose(0, 2, 3, 1, 4)
    k, v = k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)
    return jax.vmap(one_row)(q, k, v, segments).transpose(0, 3, 1, 2, 4)


def _bundles(folder: Path, kernels: Sequence[str]) -> list[int]:
    """Bundles of each straight piece with matrix products, in the order of the kernel's program."""
    (path,) = (path for name in kernels for path in folder.glob(f"*{name}*-final_bundles.txt"))
    pieces, length, products = [], 0, 0
    for line in path.read_text().splitlines():
        if not re.match(r"\s*(0x[0-9a-f]+|0)\s", line):
            continue
        begins = re.search(r"\b(LB|LH|LE|PB|PF):", line[:24])
        if begins:
            pieces.append((length, products))
            length = products = 0
        length, products = length + 1, products + line.count("vmatmul")
        if "sbr.rel" in line:
            pieces.append((length, products))
            length = products = 0
    return [count for count, products in [*pieces, (length, products)] if products]


if __name__ == "__main__":
    main()
