"""The training loop of one phase."""

import dataclasses
import time
from pathlib import Path
from typing import Any, NamedTuple

import gin
import jax
import numpy as np
from jax.sharding import Mesh

from codellama_jax import __version__
from codellama_jax.data import HostLoader, RowStream
from codellama_jax.errors import Interrupted, UserError
from codellama_jax.model import LlamaConfig, param_axes
from codellama_jax.parallel import is_first, tell
from codellama_jax.training.checkpoints import PhaseCheckpoints
from codellama_jax.training.entering import check_vocabulary, enter_phase
from codellama_jax.training.executables import loaded_step
from codellama_jax.training.guard import Guard
from codellama_jax.training.heldout import HeldOut
from codellama_jax.training.lineage import check_fingerprint, check_settings, lineage_entry, told
from codellama_jax.training.metrics import readable
from codellama_jax.training.optimizer import learning_rate, make_optimizer
from codellama_jax.training.phase import Phase
from codellama_jax.training.preemption import Preemption
from codellama_jax.training.profile import Profile
from codellama_jax.training.progress import Progress
from codellama_jax.training.resuming import newest_whole
from codellama_jax.training.state import abstract_state, state_from_params
from codellama_jax.training.step import make_train_step
from codellama_jax.training.watchdog import Watchdog


class RunSettings(NamedTuple):
    """What all phases of a run share.

    Attributes:
      seed: of initial parameters and of the data's order.
      accept_changed_data: continue although the data is not what the checkpoint was trained on;
        its record then says from which step on, and what changed.
      executables: folder of steps compiled ahead of time; None compiles.
      to_enter: names of phases that another one has yet to start from.
    """

    seed: int
    accept_changed_data: bool = False
    executables: str | None = None
    to_enter: frozenset[str] = frozenset()


def train_phase(
    phase: Phase,
    config: LlamaConfig,
    mesh: Mesh,
    directory: Path,
    parent: Path | None,
    settings: RunSettings,
    watchdog: Watchdog,
    preemption: Preemption,
) -> bool:
    """Trains a phase to its last step, from its last checkpoint if it has one.

    Args:
      phase: what to do.
      config: the model, with the phase's rotary base.
      mesh: where.
      directory: the phase's folder; checkpoints and metrics go there.
      parent: the parent phase's folder, or None to start from random parameters.
      settings: of the run.
      watchdog: hears of every step.
      preemption: asked after every step.

    Returns:
      False when the phase was complete already.

    Raises:
      UserError: a parent that does not fit, another data pipeline than the checkpoint's.
      Interrupted: the machine is being taken away; the last step is saved.
    """
    began = time.time()
    optimizer, guard = make_optimizer(param_axes(config)), Guard()
    saved = newest_whole(
        directory,
        abstract_state(config, optimizer, mesh, guard),
        lambda record: check_settings(record, phase, config, settings.seed, directory),
        last=phase.steps,
        trust_last=phase.name not in settings.to_enter,
    )
    if saved and saved.step == phase.steps:
        return False
    start = saved.step if saved else 0

    # Data: a function of the step, so that resuming is a number.
    stream = RowStream(phase.mixture, phase.sequence_length, settings.seed)
    loader = HostLoader(stream, phase.batch_size, mesh)
    check_vocabulary(phase, stream.vocabulary, list(stream.rates), config.vocab_size)
    if is_first():
        stream.vocabulary.save(directory / stream.vocabulary.file_name)

    # State: resumed, inherited, or fresh.
    changes: list[dict[str, Any]] = []  # of the data, under way
    if saved:
        fingerprint, accepted = stream.fingerprint(), settings.accept_changed_data
        data, ancestors = saved.record["data"], saved.record["lineage"][:-1]
        changed = check_fingerprint(data["fingerprint"], fingerprint, directory, accepted)
        changes = data.get("changes", [])
        if changed:
            changes = [*changes, {"step": start, "changed": changed}]
            tell(
                f"{phase.name}: accepted that the data from step {start} on is other:"
                f" {told(changed)}"
            )
        state = saved.state
        tell(f"{phase.name}: continues from step {start}")
    else:
        params, ancestors = enter_phase(
            phase, config, mesh, parent, stream.vocabulary, settings.seed
        )
        state = state_from_params(config, optimizer, mesh, guard, params)

    # The loop. Metrics of a step are read when the next one is under way, or it is saved.
    step_fn = make_train_step(config, optimizer, mesh, guard, stream.vocabulary.byte_lengths())
    if settings.executables:
        step_fn = loaded_step(step_fn, state, phase, mesh, settings.executables)
    held_out = HeldOut(config, phase, mesh)
    rates = np.asarray(jax.vmap(learning_rate(phase))(np.arange(phase.steps)), np.float32)
    flops = config.flops_per_token(phase.sequence_length)
    checkpoints = PhaseCheckpoints(directory)
    progress = Progress(directory, phase, start, flops, began)
    profile = Profile(directory)
    record = {
        "model": dataclasses.asdict(config),
        "lineage": [*ancestors, lineage_entry(phase, settings.seed)],
        "operative_config": gin.operative_config_str(),  # now that all of it has been used
        "code_version": __version__,
    }
    names = [task.name for task in stream.tasks]
    pending: list[tuple[int, dict, dict]] = []

    def tell_pending() -> None:
        while pending:
            number, *read = pending.pop()
            values = readable(*read, names, rates[number - 1])
            progress.write(number, values, loader.waited, checkpoints.stalled)
            if skipped := guard.check(number, values):
                tell(f"{phase.name}: {skipped}")

    preempted = False
    try:
        for step, batch in enumerate(loader.batches(start, phase.steps), start + 1):
            profile.at(step, state)
            state, metrics = step_fn(state, batch, rates[step - 1])
            tell_pending()
            watchdog.beat(f"step {step} of {phase.name}")
            heldout = held_out.measure(step, state.params)
            pending.append((step, metrics, heldout))
            preempted = preemption.reached(mesh)
            if preempted or step == phase.steps or checkpoints.due(step):
                tell_pending()
                position = {"step": step, "fingerprint": stream.fingerprint(), "changes": changes}
                checkpoints.save(step, state, {**record, "data": position}, heldout)
            if preempted:
                break
        profile.close()
        checkpoints.close()
    except BaseException as error:
        progress.close("failed", loader.waited, checkpoints.stalled)
        if isinstance(error, UserError):  # every process meets it, so what is being saved is whole
            checkpoints.close()
        raise
    progress.close("preempted" if preempted else "done", loader.waited, checkpoints.stalled)
    for line in stream.shortened():
        tell(f"{phase.name}: {line}")
    for place, count in stream.set_aside().items():
        tell(f"{phase.name}: record set aside {count} x: {place}")
    if preempted:
        raise Interrupted(f"{phase.name}: preempted; step {step} is saved")
    return True
