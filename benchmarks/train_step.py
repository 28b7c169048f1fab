"""Training step on this machine beside transformers with torch: tokens/s, and share of the peak.

    python benchmarks/train_step.py [--dtype float32] [--steps 4] [--rows 8] [--length 512]
        [--maxtext FOLDER]

Model: 58 million parameters (8 layers of width 512, 32,000 ids), AdamW. Each side runs in a process
of its own, one after the other, several times in turn; the median counts. The peak is that of one
large matrix product, in the same precision, by the same library. transformers runs as it is and
compiled; the ratio is to the faster of the two. MaxText's own trainer joins in where there is a
clone of it (benchmarks/maxtext_step.py). Where other programs run beside them, compare the
tokens of a second of computing on one core, not those of a second by the clock. The last table
takes our step apart: each part is timed alone, forward and backward. On a CPU without instructions
for bfloat16 a step of transformers in it takes minutes: give it fewer rows.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from maxtext_step import BEST, maxtext_step

if TYPE_CHECKING:
    from codellama_jax.model import LlamaConfig

SHAPE = {"vocab_size": 32_000, "dim": 512, "num_layers": 8, "num_heads": 8, "num_kv_heads": 8,
         "ffn_dim": 1376}  # fmt: skip


def _timed(step, steps: int) -> tuple[float, float]:
    """Seconds a step, and the seconds its threads computed, medians after two that warm up."""
    step()
    step()
    seconds, computed = [], []
    for _ in range(steps):
        began, begun = time.perf_counter(), time.process_time()
        step()
        seconds.append(time.perf_counter() - began)
        computed.append(time.process_time() - begun)
    return statistics.median(seconds), statistics.median(computed)


def _result(step, steps: int, tokens: int, flops: int, product, size: int) -> dict[str, float]:
    """Speed of a step of so many tokens and operations, and of a product of size^3."""
    seconds, computed = _timed(step, steps)
    return {
        "tokens/s": tokens / seconds,
        "tokens/core s": tokens / computed,
        "flop/s": flops / seconds,
        "peak": 2 * size**3 / _timed(product, 8)[0],
    }


def _start() -> None:
    from codellama_jax.parallel import start_devices, tune_host

    tune_host()
    start_devices(platform="cpu", cpu_devices=1)


def _config(dtype: str) -> "LlamaConfig":
    from codellama_jax.model import LlamaConfig

    return LlamaConfig(**SHAPE, dtype=dtype, scan_unroll=SHAPE["num_layers"], attention_block=128)


def ours(dtype: str, steps: int, rows: int, length: int) -> dict[str, float]:
    """One device; the step of training/step.py as it is."""
    _start()
    import jax
    import jax.numpy as jnp
    import numpy as np

    from codellama_jax.model import param_axes
    from codellama_jax.parallel import make_mesh
    from codellama_jax.training.guard import Guard
    from codellama_jax.training.optimizer import make_optimizer
    from codellama_jax.training.state import init_state
    from codellama_jax.training.step import make_train_step

    config = _config(dtype)
    mesh = make_mesh()
    with jax.set_mesh(mesh):
        optimizer, guard = make_optimizer(param_axes(config)), Guard()
        state = init_state(config, optimizer, mesh, guard, 0)
        byte_lengths = np.ones(config.vocab_size, np.int32)
        train_step = make_train_step(config, optimizer, mesh, guard, byte_lengths)
        tokens = np.random.default_rng(0).integers(0, 32_000, (rows, length), np.int32)
        batch = {
            "inputs": tokens,
            "targets": np.roll(tokens, -1, axis=1),
            "positions": np.tile(np.arange(length, dtype=np.int32), (rows, 1)),
            "segment_ids": np.ones_like(tokens),
            "weights": np.ones((rows, length), np.float32),
            "task": np.zeros(rows, np.int32),
        }

        def step() -> None:
            nonlocal state
            state, metrics = train_step(state, batch, np.float32(1e-4))
            jax.block_until_ready((state, metrics))

        n = 2048
        a = jnp.ones((n, n), dtype)
        product = jax.jit(lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32))
        flops = config.flops_per_token(length) * rows * length
        return _result(
            step, steps, rows * length, flops, lambda: product(a, a).block_until_ready(), n
        )


def parts(dtype: str, steps: int, rows: int, length: int) -> dict[str, float]:
    """Milliseconds of each part of our step, alone: all layers, forward and backward."""
    _start()
    import jax
    import jax.numpy as jnp
    import numpy as np

    from codellama_jax.model import init_params, param_axes, product
    from codellama_jax.model.packed import packed_attention
    from codellama_jax.training import cross_entropy
    from codellama_jax.training.optimizer import make_optimizer

    config = _config(dtype)
    params = jax.jit(lambda: init_params(config, 0))()
    r = np.random.default_rng(0)

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(r.normal(size=shape), dtype)

    def milliseconds(function, *arguments) -> float:
        compiled = jax.jit(function)
        return 1000 * _timed(lambda: jax.block_until_ready(compiled(*arguments)), steps)[0]

    x = normal(rows, length, config.dim)
    heads, size = config.num_heads, config.key_size
    q, k, v = normal(rows, length, heads, 1, size), *(normal(rows, length, heads, size),) * 2
    segments = jnp.ones((rows, length), jnp.int32)
    tokens = jnp.asarray(r.integers(0, config.vocab_size, (rows, length)), jnp.int32)
    weights = jnp.ones((rows, length), jnp.float32)
    projections = [
        jnp.asarray(r.normal(size=shape), jnp.float32)
        for shape in [(config.dim, config.dim)] * 4 + [(config.dim, config.ffn_dim)] * 2
    ]
    down = jnp.asarray(r.normal(size=(config.ffn_dim, config.dim)), jnp.float32)

    def products(x, projections, down):
        outs = [product("BSD,DE->BSE", x, w) for w in projections]
        last = product("BSF,FD->BSD", outs[-1], down)
        return sum(jnp.sum(out.astype(jnp.float32) ** 2) for out in (*outs, last))

    def attention(q, k, v):
        return jnp.sum(packed_attention(q, k, v, segments, config).astype(jnp.float32) ** 2)

    def loss(x, head):
        return cross_entropy(x, head, tokens, weights, 512)[0]

    optimizer = make_optimizer(param_axes(config))
    moments = optimizer.init(params)
    layers = config.num_layers
    return {
        "weight products": layers
        * milliseconds(jax.grad(products, (0, 1, 2)), x, projections, down),
        "attention": layers * milliseconds(jax.grad(attention, (0, 1, 2)), q, k, v),
        "loss": milliseconds(jax.grad(loss, (0, 1)), x, params["head"]),
        "optimizer": milliseconds(optimizer.update, params, moments, params),
    }


def compiled(dtype: str, steps: int, rows: int, length: int) -> dict[str, float]:
    """transformers' Llama through torch.compile."""
    return theirs(dtype, steps, rows, length, compile_model=True)


def theirs(
    dtype: str, steps: int, rows: int, length: int, compile_model: bool = False
) -> dict[str, float]:
    """transformers' Llama with sdpa attention and torch's fused AdamW."""
    import torch
    import transformers

    from codellama_jax.model import LlamaConfig

    config = LlamaConfig(**SHAPE)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=config.vocab_size, hidden_size=config.dim,
            num_hidden_layers=config.num_layers, num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads, intermediate_size=config.ffn_dim,
            attn_implementation="sdpa", max_position_embeddings=length,
        )
    )  # fmt: skip
    if compile_model:
        model = torch.compile(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), fused=True)
    tokens = torch.randint(0, 32_000, (rows, length), generator=torch.Generator().manual_seed(0))
    kind = getattr(torch, dtype)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", kind, enabled=dtype != "float32"):
            loss = model(tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    n = 2048
    a = torch.ones(n, n, dtype=kind)
    flops = config.flops_per_token(length) * rows * length
    return _result(step, steps, rows * length, flops, lambda: a @ a, n)


SIDES = {"codellama-jax": ours, "transformers": theirs, "torch.compile": compiled}


def main() -> None:
    """Runs every side in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", metavar="PATH")
    parser.add_argument("--maxtext", metavar="FOLDER", help="a clone of it, with its .venv")
    parser.add_argument("--maxtext_settings", nargs="+", default=BEST, metavar="NAME=VALUE")
    parser.add_argument("--side", choices=(*SIDES, "parts"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    rows, length = arguments.rows, arguments.length
    if arguments.side:
        side = {**SIDES, "parts": parts}[arguments.side]
        print("RESULT", json.dumps(side(arguments.dtype, arguments.steps, rows, length)))
        return
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    if arguments.maxtext:
        found["MaxText"] = []
    for _ in range(arguments.rounds):
        for side, results in found.items():
            if side == "MaxText":
                results.append(_of_maxtext(arguments, found["codellama-jax"][-1]["peak"]))
            else:
                results.append(_in_a_process(side, arguments))
    table = {
        side: {key: statistics.median(r[key] for r in results) for key in results[0]}
        for side, results in found.items()
    }
    torch = ("transformers", "torch.compile")
    best, thrifty = (
        max(table[side][key] for side in torch) for key in ("tokens/s", "tokens/core s")
    )
    print(f"{arguments.dtype}, {rows} x {length} tokens, {os.cpu_count()} cores")
    print(
        f"{'':16}{'tokens/s':>10}{'GFLOP/s':>10}{'of peak':>10}{'ratio':>8}"
        f"{'tokens/core s':>16}{'ratio':>8}"
    )
    for side, row in table.items():
        print(
            f"{side:16}{row['tokens/s']:10,.0f}{row['flop/s'] / 1e9:10,.0f}"
            f"{row['flop/s'] / row['peak']:10.0%}{row['tokens/s'] / best:8.2f}"
            f"{row['tokens/core s']:16,.0f}{row['tokens/core s'] / thrifty:8.2f}"
        )
    if "MaxText" in table:
        by_clock, by_core = (
            table["codellama-jax"][key] / table["MaxText"][key]
            for key in ("tokens/s", "tokens/core s")
        )
        print(f"\nours to MaxText's: {by_clock:.2f} by the clock, {by_core:.2f} by core seconds")
    step = rows * length / table["codellama-jax"]["tokens/s"] * 1000
    taken = _in_a_process("parts", arguments)
    taken["the rest"] = step - sum(taken.values())
    print(f"\n{'our step':16}{step:10,.0f} ms")
    for part, milliseconds in taken.items():
        print(f"{part:16}{milliseconds:10,.0f} ms{milliseconds / step:7.0%}")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({**table, "parts": taken}, file, indent=1)


def _of_maxtext(arguments: argparse.Namespace, peak: float) -> dict[str, float]:
    """`peak` is that of our matrix product: both are XLA's."""
    from codellama_jax.model import LlamaConfig

    rows, length = arguments.rows, arguments.length
    seconds, computed = maxtext_step(
        arguments.maxtext, SHAPE, arguments.dtype, arguments.steps, rows, length,
        arguments.maxtext_settings,
    )  # fmt: skip
    tokens = rows * length
    return {
        "tokens/s": tokens / seconds,
        "tokens/core s": tokens / computed,
        "flop/s": LlamaConfig(**SHAPE).flops_per_token(length) * tokens / seconds,
        "peak": peak,
    }


def _in_a_process(side: str, arguments: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, f"--side={side}", f"--dtype={arguments.dtype}",
               f"--steps={arguments.steps}", f"--rows={arguments.rows}",
               f"--length={arguments.length}"]  # fmt: skip
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ)
    )
    line = next(part for part in done.stdout.splitlines() if part.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


if __name__ == "__main__":
    main()
