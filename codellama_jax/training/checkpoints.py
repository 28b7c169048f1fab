"""Checkpoints of a phase, written by Orbax: parameters, optimizer and a record of their origin.

  <phase>/checkpoints/<step>/params      the parameter tree
  <phase>/checkpoints/<step>/optimizer   moments and step
  <phase>/checkpoints/<step>/record      JSON: model, data position, lineage, configuration

A step's folder appears under its name only when all of it is written.
"""

import json
from pathlib import Path
from typing import Any

import gin
import jax
import orbax.checkpoint as ocp

from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig, Params, param_axes, param_shapes
from codellama_jax.parallel import tree_shardings
from codellama_jax.training.state import TrainState

FOLDER = "checkpoints"


@gin.configurable
class PhaseCheckpoints:
    """Saves and restores the state of one phase.

    Args:
      directory: the phase's folder.
      save_every: steps between saves; the last step is always saved.
      keep: checkpoints kept.
    """

    def __init__(self, directory: Path, save_every: int = 100, keep: int = 2):
        options = ocp.CheckpointManagerOptions(
            save_interval_steps=save_every, max_to_keep=keep, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(
            (directory / FOLDER).absolute(),
            options=options,
            item_names=("params", "optimizer", "record"),
        )

    def latest(self) -> int | None:
        """The last step saved whole."""
        return self._manager.latest_step()

    def due(self, step: int) -> bool:
        """Whether `save` would save this step."""
        return self._manager.should_save(step)

    def save(self, step: int, state: TrainState, record: dict[str, Any], last: bool) -> None:
        """Begins to save; the state is copied before this returns, the files are written after."""
        self._manager.save(
            step,
            args=ocp.args.Composite(
                params=ocp.args.StandardSave(state.params),
                optimizer=ocp.args.StandardSave(
                    {"moments": state.optimizer, "step": state.step}
                ),
                record=ocp.args.JsonSave(record),
            ),
            force=last,
        )

    def restore(self, step: int, like: TrainState) -> TrainState:
        """The state saved at `step`, in the layout of the abstract state `like`."""
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                params=ocp.args.StandardRestore(like.params),
                optimizer=ocp.args.StandardRestore(
                    {"moments": like.optimizer, "step": like.step}
                ),
            ),
        )
        optimizer = restored.optimizer
        return TrainState(restored.params, optimizer["moments"], optimizer["step"])

    def record(self, step: int) -> dict[str, Any]:
        """The record saved at `step`."""
        args = ocp.args.Composite(record=ocp.args.JsonRestore())
        return self._manager.restore(step, args=args).record

    def close(self) -> None:
        """Waits for saves under way and reports their errors."""
        self._manager.wait_until_finished()
        self._manager.close()


def latest_step(phase_directory: str | Path) -> int:
    """The last step of a phase that was saved whole.

    Raises:
      UserError: there is none.
    """
    folder = Path(phase_directory) / FOLDER
    steps = [int(p.name) for p in folder.glob("*") if p.name.isdigit()] if folder.is_dir() else []
    if not steps:
        raise UserError(
            f"no checkpoint in {phase_directory}: train that phase first (`codellama-jax train`)"
            " or name another folder"
        )
    return max(steps)


def read_record(phase_directory: str | Path) -> dict[str, Any]:
    """The record of a phase's last checkpoint; raises UserError when there is none."""
    path = Path(phase_directory) / FOLDER / str(latest_step(phase_directory)) / "record/metadata"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the checkpoint record {path}: {error}") from error


def config_of(record: dict[str, Any]) -> LlamaConfig:
    """The model configuration a checkpoint was trained with."""
    return LlamaConfig(**record["model"])


def load_params(
    phase_directory: str | Path, config: LlamaConfig, mesh: jax.sharding.Mesh
) -> Params:
    """Parameters of a phase's last checkpoint, laid out on the mesh.

    Raises:
      UserError: no checkpoint there, or one that cannot be read or is of another shape.
    """
    step = latest_step(phase_directory)
    shapes = param_shapes(config)
    like = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        tree_shardings(mesh, shapes, param_axes(config)),
    )
    path = (Path(phase_directory) / FOLDER / str(step) / "params").absolute()
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            return checkpointer.restore(path, like)
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"cannot restore the parameters in {path}: {reason}") from error
