"""A step's metrics as a person and a file want them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np


def readable(
    metrics: Mapping[str, jax.Array],
    heldout: Mapping[str, Any],
    names: Sequence[str],
    learning_rate: float,
) -> dict[str, Any]:
    """Plain numbers by name, and by name and task; waits for the step.

    Args:
      metrics: of the train step (step.py).
      heldout: what was measured after it (heldout.py).
      names: of the tasks, in the order that a row's `row_task` counts.
      learning_rate: of the step.
    """
    values = jax.device_get(dict(metrics))
    losses, tokens, spelt = (
        np.bincount(values["row_task"], values[what], len(names)).tolist()
        for what in ("row_loss", "row_tokens", "row_bytes")
    )
    bits = [loss / math.log(2) for loss in losses]
    return {
        "loss": float(values["loss"]),
        "bits_per_byte": sum(bits) / max(sum(spelt), 1),
        "gradient_norm": float(values["gradient_norm"]),
        "parameter_norm": float(values["parameter_norm"]),
        **{name: int(values[name]) for name in ("skipped", "spike", "skipped_in_row")},
        "tokens": int(sum(tokens)),
        "learning_rate": float(learning_rate),
        "task_loss": {name: loss / n for name, loss, n in zip(names, losses, tokens) if n},
        "task_bits_per_byte": {name: b / n for name, b, n in zip(names, bits, spelt) if n},
        "task_tokens": {name: int(n) for name, n in zip(names, tokens)},
        **heldout,
    }
