"""Checkpoints of a phase, written by Orbax: parameters, optimizer and a record of their origin.

  <phase>/checkpoints/<step>/params      the parameter tree
  <phase>/checkpoints/<step>/optimizer   moments, step and the guard's memory
  <phase>/checkpoints/<step>/record      JSON: model, data position, lineage, configuration
  <phase>/checkpoints/<step>/digests     sizes and checksums of all that
  <phase>/damaged/<step>                 checkpoints that were found damaged

A step's folder appears under its name only when all of it is written, and counts only when its
digests are there too.
"""

import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gin
import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as preservation

from codellama_jax.errors import UserError
from codellama_jax.runs import FOLDER, write_digests
from codellama_jax.training.state import TrainState


@gin.configurable
class PhaseCheckpoints:
    """Saves the state of one phase; resuming.py reads it.

    A save copies the state and returns; the files are written while training goes on.

    Args:
      directory: the phase's folder.
      save_every: steps between saves; the last step is always saved, and so is the one at which
        the run is preempted.
      keep: the newest checkpoints kept, two at least, for the case that one is damaged.
      permanent_every: of every so many steps one checkpoint is kept for good; None keeps none.
      permanent_hours: the same by age.
      best: as many of those with the lowest held-out loss are kept (of steps at which
        `HeldOut.every` measured it).
      timeout_seconds: longest time that writing one may take.

    Raises:
      UserError: fewer than two to keep.

    Attributes:
      stalled: seconds that training has waited for saves.
    """

    def __init__(
        self,
        directory: Path,
        save_every: int = 100,
        keep: int = 2,
        permanent_every: int | None = None,
        permanent_hours: float | None = None,
        best: int = 0,
        timeout_seconds: int = 1200,
    ):
        if keep < 2:
            raise UserError(
                f"PhaseCheckpoints.keep = {keep}: keep 2 at least, as the newest may be damaged"
            )
        self._save_every = save_every
        self._directory = (directory / FOLDER).absolute()
        self._sealing: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.stalled = 0.0
        policies: list[Any] = [preservation.LatestN(keep)]
        if permanent_every:
            policies.append(preservation.EveryNSteps(permanent_every))
        if permanent_hours:
            policies.append(preservation.EveryNSeconds(int(permanent_hours * 3600)))
        if best:
            policies.append(
                preservation.BestN(
                    get_metric_fn=lambda metrics: metrics["heldout_loss"],
                    reverse=True,
                    n=best,
                    keep_checkpoints_without_metrics=False,
                )
            )
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=preservation.AnyPreservationPolicy(policies),
                cleanup_tmp_directories=True,
                async_options=ocp.AsyncOptions(timeout_secs=timeout_seconds),
            ),
            item_handlers={
                # Weights hardly compress (by a tenth), and to try costs ten times the writing.
                "params": ocp.PyTreeCheckpointHandler(use_compression=False),
                "optimizer": ocp.PyTreeCheckpointHandler(use_compression=False),
                "record": ocp.JsonCheckpointHandler(),
            },
        )

    def due(self, step: int) -> bool:
        """Whether a checkpoint of this step is wanted."""
        return step % self._save_every == 0

    def save(
        self,
        step: int,
        state: TrainState,
        record: dict[str, Any],
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Begins to save; the state is copied before this returns, the files are written after.

        Args:
          step: of the state.
          state: parameters, moments and step.
          record: JSON.
          metrics: with "heldout_loss" where it was measured at this step.

        Raises:
          UserError: the disk has no room for it. Orbax would find out in the middle of writing.
        """
        began = time.perf_counter()
        self._settle()  # what is being written needs room too
        self._check_room(step, state)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                params=ocp.args.PyTreeSave(state.params),
                optimizer=ocp.args.PyTreeSave(optimizer_item(state)),
                record=ocp.args.JsonSave(record),
            ),
            metrics=dict(metrics) if metrics else None,
            force=True,
        )
        self._sealing = threading.Thread(target=self._seal, args=(step,), name="digests")
        self._sealing.start()
        self.stalled += time.perf_counter() - began

    def wait(self) -> None:
        """Waits for the save under way and reports its errors."""
        began = time.perf_counter()
        self._settle()
        self.stalled += time.perf_counter() - began

    def close(self) -> None:
        """Waits for the save under way, reports its errors and ends."""
        self.wait()
        self._manager.close()

    def _check_room(self, step: int, state: TrainState) -> None:
        arrays = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        needed = 1.02 * arrays + 1e6  # what describes them is written, too
        free = shutil.disk_usage(self._directory).free
        if free < needed:
            raise UserError(
                f"the disk is full: a checkpoint of step {step} needs {needed / 1e6:,.1f} MB,"
                f" {self._directory} has {free / 1e6:,.1f} MB left; make room or set another"
                " train.run_dir, and start again: it continues"
            )

    def _seal(self, step: int) -> None:
        try:
            self._manager.wait_until_finished()
            place = (jax.process_index(), jax.process_count())
            write_digests(self._directory / str(step), *place)
        except BaseException as error:  # handed to the training loop, which raises it
            self._failure = error

    def _settle(self) -> None:
        if self._sealing:
            self._sealing.join()
            self._sealing = None
        if self._failure:
            failure, self._failure = self._failure, None
            raise failure


def optimizer_item(state: TrainState) -> dict[str, Any]:
    """What is saved as "optimizer"."""
    return {"moments": state.optimizer, "step": state.step, "guard": state.guard}
