"""Where a checkpoint comes from, and whether its data is still the same."""

import dataclasses
from pathlib import Path
from typing import Any

from codellama_jax import __version__
from codellama_jax.errors import UserError
from codellama_jax.training.phase import Phase


def lineage_entry(phase: Phase, seed: int) -> dict[str, Any]:
    """One generation of a checkpoint's lineage; the list of them goes from the first to its own."""
    return {
        "phase": phase.name,
        "settings": dataclasses.asdict(phase),
        "seed": seed,
        "code_version": __version__,
    }


def check_fingerprint(saved: dict[str, Any], now: dict[str, Any], place: Path) -> None:
    """Raises UserError naming what changed in the data since the checkpoint in `place`."""
    changed = [key for key in sorted({*saved, *now}) if saved.get(key) != now.get(key)]
    if changed:
        key = changed[0]
        raise UserError(
            f"{place}: the data is not what the checkpoint was trained on: {', '.join(changed)}"
            f" changed ({key} was {_short(saved.get(key))}, is {_short(now.get(key))}); restore"
            " them or choose another run directory"
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"
