"""Training step on this machine beside transformers with torch: tokens/s, and share of the peak.

    python benchmarks/train_step.py [--dtype float32] [--steps 4] [--json PATH]

Model: 58 million parameters (8 layers of width 512, 32,000 ids), 8 rows of 512 tokens, AdamW. Each
side runs in a process of its own, one after the other, several times in turn; the median counts.
The peak is that of one large matrix product, in the same precision, by the same library.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

BATCH, LENGTH = 8, 512
SHAPE = {"vocab_size": 32_000, "dim": 512, "num_layers": 8, "num_heads": 8, "num_kv_heads": 8,
         "ffn_dim": 1376}  # fmt: skip


def _timed(step, steps: int) -> float:
    """Seconds a step, the median, after two that compile and warm up."""
    step()
    step()
    seconds = []
    for _ in range(steps):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def ours(dtype: str, steps: int) -> dict[str, float]:
    """One device; the step of training/step.py as it is."""
    from codellama_jax.parallel import make_mesh, start_devices, tune_host

    tune_host()
    start_devices(platform="cpu", cpu_devices=1)
    import jax
    import jax.numpy as jnp
    import numpy as np

    from codellama_jax.model import LlamaConfig, param_axes
    from codellama_jax.training.optimizer import make_optimizer
    from codellama_jax.training.state import init_state
    from codellama_jax.training.step import make_train_step

    config = LlamaConfig(**SHAPE, dtype=dtype, scan_unroll=SHAPE["num_layers"], attention_block=128)
    mesh = make_mesh()
    with jax.set_mesh(mesh):
        optimizer = make_optimizer(param_axes(config))
        state = init_state(config, optimizer, mesh, 0)
        train_step = make_train_step(config, optimizer, mesh)
        tokens = np.random.default_rng(0).integers(0, 32_000, (BATCH, LENGTH), np.int32)
        batch = {
            "inputs": tokens,
            "targets": np.roll(tokens, -1, axis=1),
            "positions": np.tile(np.arange(LENGTH, dtype=np.int32), (BATCH, 1)),
            "segment_ids": np.ones_like(tokens),
            "weights": np.ones((BATCH, LENGTH), np.float32),
            "task": np.zeros(BATCH, np.int32),
        }

        def step() -> None:
            nonlocal state
            state, metrics = train_step(state, batch, np.float32(1e-4))
            jax.block_until_ready((state, metrics))

        seconds = _timed(step, steps)
    n = 2048
    a = jnp.ones((n, n), dtype)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32))
    peak = 2 * n**3 / _timed(lambda: product(a, a).block_until_ready(), 8)
    flops = config.flops_per_token(LENGTH) * BATCH * LENGTH
    return {"tokens/s": BATCH * LENGTH / seconds, "flop/s": flops / seconds, "peak": peak}


def theirs(dtype: str, steps: int) -> dict[str, float]:
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
            attn_implementation="sdpa", max_position_embeddings=LENGTH,
        )
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), fused=True)
    tokens = torch.randint(0, 32_000, (BATCH, LENGTH), generator=torch.Generator().manual_seed(0))
    kind = getattr(torch, dtype)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", kind, enabled=dtype != "float32"):
            loss = model(tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    seconds = _timed(step, steps)
    n = 2048
    a = torch.ones(n, n, dtype=kind)
    peak = 2 * n**3 / _timed(lambda: a @ a, 8)
    flops = config.flops_per_token(LENGTH) * BATCH * LENGTH
    return {"tokens/s": BATCH * LENGTH / seconds, "flop/s": flops / seconds, "peak": peak}


SIDES = {"codellama-jax": ours, "transformers": theirs}


def main() -> None:
    """Runs every side in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", metavar="PATH")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print("RESULT", json.dumps(SIDES[arguments.side](arguments.dtype, arguments.steps)))
        return
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(arguments.rounds):
        for side, results in found.items():
            command = [sys.executable, __file__, f"--side={side}", f"--dtype={arguments.dtype}",
                       f"--steps={arguments.steps}"]  # fmt: skip
            output = subprocess.run(
                command, capture_output=True, text=True, check=True, env=dict(os.environ)
            ).stdout
            line = next(part for part in output.splitlines() if part.startswith("RESULT "))
            results.append(json.loads(line.removeprefix("RESULT ")))
    table = {
        side: {key: statistics.median(r[key] for r in results) for key in results[0]}
        for side, results in found.items()
    }
    best = table["transformers"]["tokens/s"]
    print(f"{arguments.dtype}, {BATCH} x {LENGTH} tokens, {os.cpu_count()} cores")
    print(f"{'':16}{'tokens/s':>10}{'GFLOP/s':>10}{'of peak':>10}{'ratio':>8}")
    for side, row in table.items():
        print(
            f"{side:16}{row['tokens/s']:10,.0f}{row['flop/s'] / 1e9:10,.0f}"
            f"{row['flop/s'] / row['peak']:10.0%}{row['tokens/s'] / best:8.2f}"
        )
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(table, file, indent=1)


if __name__ == "__main__":
    main()
