"""Where a checkpoint comes from, and whether its data is still the same."""

import dataclasses
from pathlib import Path
from typing import Any

from codellama_jax import __version__
from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig
from codellama_jax.runs import differences
from codellama_jax.training.phase import Phase


def lineage_entry(phase: Phase, seed: int) -> dict[str, Any]:
    """One generation of a checkpoint's lineage; the list of them goes from the first to its own."""
    return {
        "phase": phase.name,
        "settings": dataclasses.asdict(phase),
        "seed": seed,
        "code_version": __version__,
    }


def check_settings(
    record: dict[str, Any], phase: Phase, config: LlamaConfig, seed: int, place: Path
) -> None:
    """Raises UserError when phase, model or seed in `place` were others when it was begun."""
    own = record["lineage"][-1]
    saved = {**own["settings"], **record["model"], "train.seed": own["seed"]}
    now = {**dataclasses.asdict(phase), **dataclasses.asdict(config), "train.seed": seed}
    # These change neither the result nor what a person takes the phase for.
    free = ("purpose", "scan_unroll", "attention", "attention_block", "remat")
    changed = _changed(
        {k: v for k, v in saved.items() if k not in free},
        {k: v for k, v in now.items() if k not in free},
    )
    if changed:
        raise UserError(
            f"{place}: the phase was begun with other settings: {told(changed)}; put it back or"
            " choose another run directory"
        )


def check_fingerprint(
    saved: dict[str, Any], now: dict[str, Any], place: Path, accept: bool = False
) -> dict[str, Any]:
    """What changed in the data since the checkpoint in `place`: {name: {"was": …, "is": …}}.

    Raises:
      UserError: something changed and is not to be accepted.
    """
    changed = _changed(saved, now)
    if changed and not accept:
        raise UserError(
            f"{place}: the data is not what the checkpoint was trained on: {told(changed)}; put it"
            " back, choose another run directory, or continue with it by"
            " train.accept_changed_data = True"
        )
    return changed


def told(changed: dict[str, Any]) -> str:
    """One line about changes, the long values cut short."""
    first = next(iter(changed))
    was, now = (_short(changed[first][when]) for when in ("was", "is"))
    return f"{', '.join(changed)} changed ({first} was {was}, is {now})"


def _changed(saved: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    changed = differences(saved, now)
    return {key: {"was": was, "is": is_} for key, (was, is_) in changed.items()}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"
