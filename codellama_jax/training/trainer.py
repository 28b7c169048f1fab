"""The training loop of one phase."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import gin
import jax
import numpy as np
from jax.sharding import Mesh

from codellama_jax import __version__
from codellama_jax.data import HostLoader, RowStream
from codellama_jax.model import LlamaConfig, param_axes
from codellama_jax.training.checkpoints import PhaseCheckpoints
from codellama_jax.training.entering import check_vocabulary, enter_phase
from codellama_jax.training.lineage import check_fingerprint, check_settings, lineage_entry, told
from codellama_jax.training.optimizer import learning_rate, make_optimizer
from codellama_jax.training.phase import Phase
from codellama_jax.training.progress import Progress
from codellama_jax.training.state import abstract_state, state_from_params
from codellama_jax.training.step import make_train_step


def train_phase(
    phase: Phase,
    config: LlamaConfig,
    mesh: Mesh,
    directory: Path,
    parent: Path | None,
    seed: int,
    accept_changed_data: bool = False,
) -> bool:
    """Trains a phase to its last step, from its last checkpoint if it has one.

    Args:
      phase: what to do.
      config: the model, with the phase's rotary base.
      mesh: where.
      directory: the phase's folder; checkpoints and metrics go there.
      parent: the parent phase's folder, or None to start from random parameters.
      seed: of initial parameters and of the data's order.
      accept_changed_data: continue although the data is not what the checkpoint was trained on;
        its record then says from which step on, and what changed.

    Returns:
      False when the phase was complete already.

    Raises:
      UserError: a parent that does not fit, another data pipeline than the checkpoint's.
    """
    checkpoints = PhaseCheckpoints(directory)
    start = checkpoints.latest() or 0
    if start:
        record = checkpoints.record(start)
        check_settings(record, phase, config, directory)
        if start == phase.steps:
            return False

    # Data: a function of the step, so that resuming is a number.
    stream = RowStream(phase.mixture, phase.sequence_length, seed)
    loader = HostLoader(stream, phase.batch_size, mesh)
    check_vocabulary(phase, stream.vocabulary, list(stream.rates), config.vocab_size)
    stream.vocabulary.save(directory / stream.vocabulary.file_name)

    # State: resumed, inherited, or fresh.
    optimizer = make_optimizer(param_axes(config))
    changes: list[dict[str, Any]] = []  # of the data, under way
    if start:
        fingerprint, accepted = stream.fingerprint(), accept_changed_data
        changed = check_fingerprint(record["data"]["fingerprint"], fingerprint, directory, accepted)
        changes = record["data"].get("changes", [])
        if changed:
            changes = [*changes, {"step": start, "changed": changed}]
            print(
                f"{phase.name}: accepted that the data from step {start} on is other:"
                f" {told(changed)}"
            )
        state = checkpoints.restore(start, abstract_state(config, optimizer, mesh))
        ancestors = record["lineage"][:-1]
        print(f"{phase.name}: continues from step {start}")
    else:
        params, ancestors = enter_phase(phase, config, mesh, parent, stream.vocabulary, seed)
        state = state_from_params(config, optimizer, mesh, params)
    record = {
        "model": dataclasses.asdict(config),
        "lineage": [*ancestors, lineage_entry(phase, seed)],
        "operative_config": gin.operative_config_str(),
        "code_version": __version__,
    }

    # The loop. Metrics of a step are read when the next one is under way.
    step_fn = make_train_step(config, optimizer, mesh)
    rates = np.asarray(jax.vmap(learning_rate(phase))(np.arange(phase.steps)), np.float32)
    flops = config.flops_per_token(phase.sequence_length)
    progress = Progress(directory, phase, start, flops)
    names = [task.name for task in stream.tasks]
    pending: tuple[int, dict] | None = None
    batches = loader.batches(start, phase.steps)
    for step, batch in zip(itertools.count(start + 1), batches):
        state, metrics = step_fn(state, batch, rates[step - 1])
        if pending:
            progress.write(*_readable(*pending, names, rates), loader.waited)
        pending = (step, metrics)
        last = step == phase.steps
        if last or checkpoints.due(step):
            position = {"step": step, "fingerprint": stream.fingerprint(), "changes": changes}
            checkpoints.save(step, state, {**record, "data": position}, last)
    progress.write(*_readable(*pending, names, rates), loader.waited)
    progress.close()
    checkpoints.close()
    for place, count in stream.set_aside().items():
        print(f"{phase.name}: record set aside {count} x: {place}")
    return True


def _readable(
    step: int, metrics: dict[str, jax.Array], names: list[str], rates: np.ndarray
) -> tuple[int, dict[str, Any]]:
    values = jax.device_get(metrics)
    losses, tokens = (
        np.bincount(values["row_task"], values[what], len(names)).tolist()
        for what in ("row_loss", "row_tokens")
    )
    return step, {
        "loss": float(values["loss"]),
        "gradient_norm": float(values["gradient_norm"]),
        "tokens": int(sum(tokens)),
        "learning_rate": float(rates[step - 1]),
        "task_loss": {name: loss / n for name, loss, n in zip(names, losses, tokens) if n},
        "task_tokens": {name: int(n) for name, n in zip(names, tokens)},
    }
