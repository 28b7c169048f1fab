"""A run without training: everything its phases resolve to, and everything that would stop them."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gin
import jax
import numpy as np
from jax.sharding import AbstractMesh

from codellama_jax.data import check_batch, rates_of
from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig, describe_layout, param_axes, param_shapes
from codellama_jax.parallel import make_mesh
from codellama_jax.training.checks import (
    Problems,
    check_data,
    check_room,
    check_start,
    progress_of,
)
from codellama_jax.training.dry_run_text import text_of
from codellama_jax.training.optimizer import make_optimizer, warmup_of
from codellama_jax.training.phase import Phase, model_of
from codellama_jax.training.resolved import settings_of
from codellama_jax.training.state import state_shardings


def dry_run_of(run_dir: Path, phases: Sequence[Phase], seed: int, devices: int) -> dict[str, Any]:
    """Prints the graph of phases with what each resolves to, and checks every file.

    Touches no device and reads no tensor.

    Args:
      run_dir: of the run.
      phases: parents before children.
      seed: of the run.
      devices: of the mesh; 0 takes as many as the sizes of each phase's mesh ask for.

    Returns:
      {"run_dir", "seed", "phases": a dictionary each, "problems": lines}.
    """
    problems, described = Problems(), []
    models: dict[str, LlamaConfig | None] = {}
    for phase in phases:
        with gin.config_scope(phase.name):
            config = models[phase.name] = problems.met(model_of, phase)
            mesh = problems.met(lambda: make_mesh(devices=devices))
            found = _described(phase, config, mesh, problems)
            check_data(phase, config, problems)
            step = progress_of(phase, config, seed, run_dir / phase.name, problems)
            if config and not step:
                check_start(phase, config, models.get(phase.parent), problems)
            described.append({**found, "step": step, "settings": problems.met(settings_of, phase)})
    left = [found["state_bytes"] for found in described if found["step"] < found["steps"]]
    # The last checkpoint of each phase, and one that is being written.
    check_room(run_dir, sum(left) + max(left, default=0), problems)
    result = {
        "run_dir": str(run_dir), "seed": seed, "phases": described, "problems": problems.lines,
    }  # fmt: skip
    print(text_of(result), flush=True)
    for line in problems.lines:
        print(f"codellama-jax: error: {line}", file=sys.stderr)
    return result


def _described(
    phase: Phase, config: LlamaConfig | None, mesh: AbstractMesh | None, problems: Problems
) -> dict[str, Any]:
    """The figures of a phase; those that cannot be told are None, sizes 0."""
    try:
        rates = rates_of(phase.mixture)
    except UserError:  # told by check_data
        rates = {}
    found: dict[str, Any] = {
        "name": phase.name,
        "purpose": phase.purpose,
        "parent": phase.parent,
        "initial_weights": phase.initial_weights,
        "steps": phase.steps,
        "batch_size": phase.batch_size,
        "sequence_length": phase.sequence_length,
        "tokens": phase.tokens,
        "mixture": phase.mixture,
        "rates": rates,
        "peak_learning_rate": phase.peak_learning_rate,
        "warmup_steps": warmup_of(phase),
        "final_learning_rate": phase.peak_learning_rate * phase.final_fraction,
        "rope_base": phase.rope_base,
        "vocab_size": config and config.vocab_size,
        "parameters": config and config.num_parameters,
        "model_flops": config and config.flops_per_token(phase.sequence_length) * phase.tokens,
        "mesh": mesh and dict(mesh.shape),
        "parameter_bytes_per_device": None,
        "optimizer_bytes_per_device": None,
        "state_bytes": 0,
    }
    if config and mesh:
        problems.met(_check_batch, phase, mesh)
        found |= problems.met(_memory, config, mesh) or {}
    return found


def _check_batch(phase: Phase, mesh: AbstractMesh) -> None:
    try:
        check_batch(phase.batch_size, phase.sequence_length, mesh)
    except UserError as error:
        raise UserError(f"phase {phase.name!r}: {error}") from error


def _memory(config: LlamaConfig, mesh: AbstractMesh) -> dict[str, int]:
    totals = describe_layout(config, mesh)["totals"]
    optimizer = make_optimizer(param_axes(config))
    shapes = jax.eval_shape(optimizer.init, param_shapes(config))
    layout = state_shardings(config, optimizer, mesh).optimizer
    leaves = list(zip(jax.tree.leaves(shapes), jax.tree.leaves(layout)))
    width = [np.dtype(leaf.dtype).itemsize for leaf, _ in leaves]
    whole = sum(math.prod(leaf.shape) * n for (leaf, _), n in zip(leaves, width))
    part = sum(math.prod(s.shard_shape(leaf.shape)) * n for (leaf, s), n in zip(leaves, width))
    return {
        "parameter_bytes_per_device": totals["device_bytes"],
        "optimizer_bytes_per_device": part,
        "state_bytes": totals["bytes"] + whole,
    }
