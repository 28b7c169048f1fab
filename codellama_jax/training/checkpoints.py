"""Checkpoints of a phase, written by Orbax: parameters, optimizer and a record of their origin.

  <phase>/checkpoints/<step>/params      the parameter tree
  <phase>/checkpoints/<step>/optimizer   moments, step and the guard's memory
  <phase>/checkpoints/<step>/record      JSON: model, data position, lineage, configuration

A step's folder appears under its name only when all of it is written.
"""

import shutil
from pathlib import Path
from typing import Any

import gin
import jax
import orbax.checkpoint as ocp

from codellama_jax.errors import UserError
from codellama_jax.training.state import TrainState
from codellama_jax.weights import FOLDER


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
        self._directory = (directory / FOLDER).absolute()
        self._manager = ocp.CheckpointManager(
            self._directory,
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
        """Begins to save; the state is copied before this returns, the files are written after.

        Raises:
          UserError: the disk has no room for it. Orbax would find out in the middle of writing.
        """
        self._manager.wait_until_finished()  # as Orbax would: what it writes needs room too
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        free = shutil.disk_usage(self._directory).free
        if free < needed:
            raise UserError(
                f"the disk is full: a checkpoint of step {step} needs {needed / 1e6:,.1f} MB,"
                f" {self._directory} has {free / 1e6:,.1f} MB left; make room or set another"
                " train.run_dir, and start again: it continues"
            )
        self._manager.save(
            step,
            args=ocp.args.Composite(
                params=ocp.args.StandardSave(state.params),
                optimizer=ocp.args.StandardSave(_optimizer_item(state)),
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
                optimizer=ocp.args.StandardRestore(_optimizer_item(like)),
            ),
        )
        optimizer = restored.optimizer
        return TrainState(
            restored.params, optimizer["moments"], optimizer["step"], optimizer["guard"]
        )

    def record(self, step: int) -> dict[str, Any]:
        """The record saved at `step`."""
        args = ocp.args.Composite(record=ocp.args.JsonRestore())
        return self._manager.restore(step, args=args).record

    def close(self) -> None:
        """Waits for saves under way and reports their errors."""
        self._manager.wait_until_finished()
        self._manager.close()


def _optimizer_item(state: TrainState) -> dict[str, Any]:
    return {"moments": state.optimizer, "step": state.step, "guard": state.guard}
