"""The newest whole checkpoint of a phase, and what is done with the damaged ones after it."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from codellama_jax.parallel import gathered, is_first, wait_for_all
from codellama_jax.runs import FOLDER, damage, read_beside, read_record, saved_steps
from codellama_jax.training.checkpoints import optimizer_item
from codellama_jax.training.state import TrainState
from codellama_jax.weights import restore_arrays


class Saved(NamedTuple):
    """A checkpoint that is whole.

    Attributes:
      step: of it.
      record: what was saved beside the state (checkpoints.py).
      state: parameters, moments and step; None at the phase's end, from which nothing continues.
    """

    step: int
    record: dict[str, Any]
    state: TrainState | None


def newest_whole(
    directory: Path,
    like: TrainState,
    fits: Callable[[dict[str, Any]], None],
    last: int,
    trust_last: bool = False,
) -> Saved | None:
    """Reads a phase's newest checkpoint, or the one before it where it is damaged, and so on.

    Damaged ones are told and put aside. Every process checks its part of the files, while it
    restores from them; what one of them finds, all go by.

    Args:
      directory: the phase's folder.
      like: the abstract state, in the layout wanted.
      fits: is given a record before the state is read, and raises where it does not fit the run.
      last: the phase's last step, whose state is not read.
      trust_last: whether the large files of that need not be checked, as whoever starts from them
        checks them.

    Returns:
      None when no checkpoint is whole.

    Raises:
      UserError: from `fits`.
    """
    for step in reversed(saved_steps(directory)):
        folder = (directory / FOLDER / str(step)).absolute()
        place = (jax.process_index(), jax.process_count())
        check = functools.partial(damage, folder, process=place)
        if not _agreed_whole(folder, check(contents=False)):
            continue
        record = read_record(directory, step)
        fits(record)
        state, found = None, ""
        if step != last:
            state, found = read_beside(check, functools.partial(_restore, folder, like))
        elif not trust_last:
            found = check()
        if _agreed_whole(folder, found):
            return Saved(step, record, state)
    return None


def _restore(folder: Path, like: TrainState) -> TrainState:
    # The larger one first, as the check reads it first.
    optimizer = restore_arrays(folder / "optimizer", optimizer_item(like), strict=True)
    params = restore_arrays(folder / "params", like.params, strict=True)
    return jax.block_until_ready(
        TrainState(params, optimizer["moments"], optimizer["step"], optimizer["guard"])
    )


def _agreed_whole(folder: Path, found: str) -> bool:
    """Whether no process has found anything; otherwise the checkpoint is put aside."""
    finders = [number for number, bad in enumerate(gathered(bool(found))) if bad]
    if not finders:
        return True
    if finders[0] == jax.process_index():
        print(f"{found}: the checkpoint is put aside, the one before counts", flush=True)
    if is_first():
        _put_aside(folder)
    wait_for_all(f"put aside {folder}")
    return False


def _put_aside(folder: Path) -> None:
    aside = folder.parent.parent / "damaged"
    aside.mkdir(exist_ok=True)
    number = 1
    while (target := aside / f"{folder.name}.{number}").exists():
        number += 1
    folder.rename(target)
