"""Losses of given token sequences under a model."""

import functools
from collections.abc import Sequence

import jax
import numpy as np

from codellama_jax.data import pack
from codellama_jax.model import LlamaConfig, Params, Rope, apply, split_rope

_AT_ONCE = 1024  # tokens; the logits of 100,000 over 32,000 ids would be 13 GB


@functools.partial(jax.jit, static_argnums=0)
def _row_losses(
    config: LlamaConfig,
    params: Params,
    rope: Rope,
    inputs: jax.Array,
    targets: jax.Array,
    positions: jax.Array,
    segment_ids: jax.Array,
) -> jax.Array:
    """Losses in nats (B, S) of predicting the targets; everything is int32 (B, S)."""
    hidden = apply(config, params, "hidden", inputs, positions, segment_ids, rope)

    def loss(token: tuple[jax.Array, jax.Array]) -> jax.Array:
        logits = apply(config, params, "logits", token[0])
        return jax.nn.logsumexp(logits) - logits[token[1]]

    tokens = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1)
    return jax.lax.map(loss, tokens, batch_size=_AT_ONCE).reshape(targets.shape)


def token_losses(
    config: LlamaConfig,
    params: Params,
    sequences: Sequence[Sequence[int]],
    window: int,
    batch_size: int = 8,
) -> list[np.ndarray]:
    """Loss in nats of every id but the first of each sequence.

    A sequence longer than the window is read in windows that overlap by half, so that every token
    but those of the first window has at least window / 2 tokens of context. Short windows share
    rows, none seeing another.

    Args:
      sequences: of ids, each beginning with bos.
      window: S, tokens of context at most.
      batch_size: rows scored at once.
    """
    half = window // 2
    places: list[tuple[int, int, int]] = []  # sequence, first id of the window, first id scored
    for number, ids in enumerate(sequences):
        places.append((number, 0, 1))
        places += [(number, at, at + half + 1) for at in range(half, len(ids) - 1 - half, half)]
    results = [np.zeros(max(0, len(ids) - 1), np.float32) for ids in sequences]
    lengths = [min(len(sequences[number]) - 1 - at, window) for number, at, _ in places]
    shape, rope = split_rope(config)
    rows = pack(np.maximum(lengths, 0), window)
    for begin in range(0, len(rows), batch_size):
        chosen = rows[begin : begin + batch_size]
        inputs, targets, positions, segments = np.zeros((4, batch_size, window), np.int32)
        for row, pieces in enumerate(chosen):
            column = 0
            for segment, piece in enumerate(pieces, start=1):
                number, at, _ = places[piece.document]
                ids = sequences[number][at : at + piece.length + 1]
                span = slice(column, column := column + piece.length)
                inputs[row, span], targets[row, span] = ids[:-1], ids[1:]
                positions[row, span], segments[row, span] = range(piece.length), segment
        losses = _row_losses(shape, params, rope, inputs, targets, positions, segments)
        for row, pieces in zip(np.asarray(losses), chosen):
            column = 0
            for piece in pieces:
                number, at, scored = places[piece.document]
                found = row[column : (column := column + piece.length)]
                results[number][scored - 1 : at + piece.length] = found[scored - 1 - at :]
    return results
