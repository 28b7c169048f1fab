"""What the training loop costs beside the step: data, metrics, figures, the guard, saves.

    python benchmarks/trainer_overhead.py [--corpus corpora/quickstart] [--steps 60] [--rounds 3]

The code phase of the quickstart is trained by the trainer as it is, and the same jitted step is
repeated on one batch that lies on the devices, in turn; medians count. The trainer's time is from
its second printed line to its last, so nothing is compiled in it.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _configure(corpus: str, folder: str, steps: int) -> None:
    import gin

    from codellama_jax import training  # noqa: F401 - registers its configurables

    gin.add_config_file_search_path(str(ROOT))
    gin.parse_config_files_and_bindings(
        ["configs/runs/quickstart.gin"],
        [
            f"RowStream.corpus = '{Path(corpus).absolute()}'",
            f"train.run_dir = '{folder}'",
            "train.phases = [@code/Phase()]",
            f"code/Phase.steps = {steps + 21}",
            "Progress.print_every = 20",
        ],
    )


def trained(steps: int) -> float:
    """Seconds a step of the trainer."""
    import gin

    from codellama_jax import training
    from codellama_jax.training import read_metrics

    with tempfile.TemporaryDirectory() as folder:
        with gin.unlock_config():
            gin.bind_parameter("train.run_dir", folder)
        training.train()
        lines = [line for line in read_metrics(f"{folder}/code") if "tokens_per_second" in line]
    rates = [line["tokens_per_second"] for line in lines if line["step"] > 21]
    return 8 * 256 / statistics.median(rates)


def bare(steps: int) -> float:
    """Seconds a step of the step alone."""
    import gin
    import jax
    import numpy as np

    from codellama_jax.data import HostLoader, RowStream
    from codellama_jax.model import param_axes
    from codellama_jax.parallel import make_mesh
    from codellama_jax.training import Phase
    from codellama_jax.training.guard import Guard
    from codellama_jax.training.optimizer import make_optimizer
    from codellama_jax.training.phase import model_of
    from codellama_jax.training.state import init_state
    from codellama_jax.training.step import make_train_step

    with gin.config_scope("code"):
        phase, mesh = Phase(), make_mesh()
        config, guard = model_of(phase), Guard()
        with jax.set_mesh(mesh):
            optimizer = make_optimizer(param_axes(config))
            stream = RowStream(phase.mixture, phase.sequence_length, 0)
            (batch,) = HostLoader(stream, phase.batch_size, mesh).batches(0, 1)
            state = init_state(config, optimizer, mesh, guard, 0)
            lengths = stream.vocabulary.byte_lengths()
            step = make_train_step(config, optimizer, mesh, guard, lengths)
            seconds = []
            for _ in range(steps):
                began = time.perf_counter()
                state, metrics = step(state, batch, np.float32(1e-4))
                jax.block_until_ready(metrics)
                seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", default="corpora/quickstart")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="PATH")
    arguments = parser.parse_args()
    from codellama_jax.parallel import start_devices, tune_host

    tune_host()
    _configure(arguments.corpus, "unused", arguments.steps)
    start_devices()
    rounds = [(bare(arguments.steps), trained(arguments.steps)) for _ in range(arguments.rounds)]
    alone, whole = (statistics.median(column) for column in zip(*rounds))
    share = statistics.median(1 - step / loop for step, loop in rounds)
    each = ", ".join(f"{1 - step / loop:.1%}" for step, loop in rounds)
    print(f"the step alone {1000 * alone:.1f} ms, in the trainer {1000 * whole:.1f} ms:"
          f" overhead {share:.1%} (rounds: {each})")  # fmt: skip
    if arguments.json:
        result = {"step_seconds": alone, "trainer_seconds": whole, "overhead": share}
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
