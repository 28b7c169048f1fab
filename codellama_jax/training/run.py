"""A run: a graph of phases in one folder."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gin
import jax

from codellama_jax.model import LlamaConfig
from codellama_jax.parallel import losing_hosts, make_mesh, tell
from codellama_jax.runs import saved_steps
from codellama_jax.training.dry_run import dry_run_of
from codellama_jax.training.figures import clock
from codellama_jax.training.one_writer import one_writer
from codellama_jax.training.phase import Phase, in_order, model_of
from codellama_jax.training.preemption import Preemption
from codellama_jax.training.trainer import RunSettings, train_phase
from codellama_jax.training.watchdog import Watchdog


@gin.configurable
def train(
    run_dir: str = gin.REQUIRED,
    phases: Sequence[Phase] = gin.REQUIRED,
    seed: int = 0,
    accept_changed_data: bool = False,
    executables: str | None = None,
    dry_run: bool = False,
    devices: int | None = None,
) -> dict[str, Any]:
    """Trains every phase of the graph, each from its parent's last checkpoint.

    What is complete is skipped, what was interrupted continues at its last checkpoint. Each phase
    runs in the gin scope of its name: `python/LlamaConfig.vocab_size = 32000`, like
    `long_context/make_mesh.context = 2`, is for that phase alone.

    Args:
      run_dir: one folder a phase is made in it.
      phases: the graph.
      seed: of initial parameters and of the data's order.
      accept_changed_data: continue a phase although its data is not what its checkpoint was trained
        on, which is refused otherwise; what changed is printed and kept in the checkpoint's record.
      executables: folder of steps that `plan` compiled ahead of time, loaded where program, devices
        and versions are the same; what is not there is compiled, which is printed.
      dry_run: train nothing; print the graph with everything it resolves to, and check every file.
      devices: of a dry run's mesh; None takes as many as make_mesh's sizes ask for.

    Returns:
      The folder of each phase by name; of a dry run what `dry_run_of` returns.

    Raises:
      UserError: another program is training in the folder, or a phase cannot be trained.
    """
    ordered = in_order(phases)
    if dry_run:
        return dry_run_of(Path(run_dir), ordered, seed, devices or 0)
    folders = {phase.name: Path(run_dir) / phase.name for phase in ordered}
    with one_writer(Path(run_dir)):
        begun = {name for name, folder in folders.items() if saved_steps(folder)}
        to_enter = frozenset(p.parent for p in ordered if p.parent and p.name not in begun)
        settings = RunSettings(seed, accept_changed_data, executables, to_enter)
        return _train(folders, ordered, settings)


def _train(
    folders: Mapping[str, Path], ordered: Sequence[Phase], settings: RunSettings
) -> dict[str, str]:
    tell(f"phases: {' → '.join(folders)}")
    preemption, described = Preemption(), None
    for phase in ordered:
        folder = folders[phase.name]
        folder.mkdir(parents=True, exist_ok=True)
        parent = folders[phase.parent] if phase.parent else None
        began = time.monotonic()
        with gin.config_scope(phase.name):
            config, mesh = model_of(phase), make_mesh()
            if (line := _described(config, mesh)) != described:
                tell(line)
            described = line
            with jax.set_mesh(mesh), Watchdog(folder) as watchdog, losing_hosts():
                trained = train_phase(
                    phase, config, mesh, folder, parent, settings, watchdog, preemption
                )
        took = f"done in {clock(time.monotonic() - began)}" if trained else "is complete"
        tell(f"{phase.name}: {phase.steps:,} steps, {phase.tokens:,} tokens {took}")
    return {name: str(folder) for name, folder in folders.items()}


def _described(config: LlamaConfig, mesh: jax.sharding.Mesh) -> str:
    shape = ", ".join(f"{axis} {size}" for axis, size in mesh.shape.items() if size > 1)
    return (
        f"{config.num_parameters:,} parameters on {mesh.size} {mesh.devices.flat[0].device_kind}"
        f" devices ({shape or 'no sharding'})"
    )
