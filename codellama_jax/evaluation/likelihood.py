"""Losses of given token sequences under a model."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from codellama_jax.model import LlamaConfig, Params, apply


@functools.partial(jax.jit, static_argnums=0)
def _window_losses(config: LlamaConfig, params: Params, rows: jax.Array) -> jax.Array:
    """Losses in nats (B, S) of predicting rows[:, 1:] from rows (B, S + 1)."""
    inputs, targets = rows[:, :-1], rows[:, 1:]
    positions = jnp.broadcast_to(jnp.arange(inputs.shape[1]), inputs.shape)
    hidden = apply(config, params, "hidden", inputs, positions, jnp.ones_like(inputs))

    def losses(part: tuple[jax.Array, jax.Array]) -> jax.Array:
        hidden_row, target_row = part
        logits = apply(config, params, "logits", hidden_row)
        chosen = jnp.take_along_axis(logits, target_row[:, None], axis=-1)[:, 0]
        return jax.nn.logsumexp(logits, axis=-1) - chosen

    return jax.lax.map(losses, (hidden, targets))  # a row's logits at a time


def token_losses(
    config: LlamaConfig,
    params: Params,
    sequences: Sequence[Sequence[int]],
    window: int,
    batch_size: int = 8,
) -> list[np.ndarray]:
    """Loss in nats of every id but the first of each sequence.

    A sequence longer than the window is read in windows that overlap by half, so that every token
    but those of the first window has at least window / 2 tokens of context.

    Args:
      sequences: of ids, each beginning with bos.
      window: S, tokens of context at most.
      batch_size: windows scored at once.
    """
    half = window // 2
    places: list[tuple[int, int, int]] = []  # sequence, first id of the window, first id scored
    for number, ids in enumerate(sequences):
        places.append((number, 0, 1))
        places += [(number, at, at + half + 1) for at in range(half, len(ids) - 1 - half, half)]
    results = [np.zeros(max(0, len(ids) - 1), np.float32) for ids in sequences]
    for begin in range(0, len(places), batch_size):
        chosen = places[begin : begin + batch_size]
        rows = np.zeros((batch_size, window + 1), np.int32)
        for row, (number, at, _) in zip(rows, chosen):
            part = sequences[number][at : at + window + 1]
            row[: len(part)] = part
        losses = np.asarray(_window_losses(config, params, rows))
        for row, (number, at, scored) in zip(losses, chosen):
            result = results[number]
            stop = min(len(result), at + window)
            result[scored - 1 : stop] = row[scored - 1 - at : stop - at]
    return results
