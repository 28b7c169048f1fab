"""A run: a graph of phases in one folder."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import gin
import jax

from codellama_jax.model import LlamaConfig
from codellama_jax.parallel import losing_hosts, make_mesh, tell
from codellama_jax.training.figures import clock
from codellama_jax.training.phase import Phase, in_order
from codellama_jax.training.preemption import Preemption
from codellama_jax.training.trainer import train_phase
from codellama_jax.training.watchdog import Watchdog


@gin.configurable
def train(
    run_dir: str = gin.REQUIRED,
    phases: Sequence[Phase] = gin.REQUIRED,
    seed: int = 0,
    accept_changed_data: bool = False,
) -> dict[str, str]:
    """Trains every phase of the graph, each from its parent's last checkpoint.

    What is complete is skipped, what was interrupted continues at its last checkpoint.

    Args:
      run_dir: one folder a phase is made in it.
      phases: the graph.
      seed: of initial parameters and of the data's order.
      accept_changed_data: continue a phase although its data is not what its checkpoint was trained
        on, which is refused otherwise; what changed is printed and kept in the checkpoint's record.

    Returns:
      The folder of each phase by name.
    """

    ordered = in_order(phases)
    mesh = make_mesh()
    config = LlamaConfig()
    folders = {phase.name: Path(run_dir) / phase.name for phase in ordered}
    shape = ", ".join(f"{axis} {size}" for axis, size in mesh.shape.items() if size > 1)
    tell(
        f"{config.num_parameters:,} parameters on {mesh.size} {mesh.devices.flat[0].device_kind}"
        f" devices ({shape or 'no sharding'}); phases: {' → '.join(folders)}"
    )
    preemption = Preemption()
    for phase in ordered:
        folder = folders[phase.name]
        folder.mkdir(parents=True, exist_ok=True)
        phase_config = dataclasses.replace(config, rope_base=phase.rope_base)
        parent = folders[phase.parent] if phase.parent else None
        began = time.monotonic()

        with jax.set_mesh(mesh), Watchdog(folder) as watchdog, losing_hosts():
            trained = train_phase(
                phase,
                phase_config,
                mesh,
                folder,
                parent,
                seed,
                watchdog,
                preemption,
                accept_changed_data,
            )
        took = f"done in {clock(time.monotonic() - began)}" if trained else "is complete"
        tell(f"{phase.name}: {phase.steps:,} steps, {phase.tokens:,} tokens {took}")
    return {name: str(folder) for name, folder in folders.items()}
