"""Metrics of held-out text for seqio's Evaluator."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from codellama_jax.data.quiet import seqio
from codellama_jax.text import Vocabulary


class Scored(NamedTuple):
    """What the loss of one example is shared out over: tokens, and bytes of the text they spell."""

    tokens: int
    bytes: int


class CountScored:
    """Postprocessor of every task: an example's targets -> Scored."""

    def __init__(self, vocabulary: Vocabulary):
        self.vocabulary = vocabulary

    def __call__(self, text: str, example: Mapping[str, Any], is_target: bool) -> Scored:
        ids = np.asarray(example["targets"])[np.asarray(example["in_loss"]) > 0]
        return Scored(len(ids), len(self.vocabulary.decode_infix(ids).encode()))


def heldout_loss(targets: Sequence[Scored], scores: Sequence[float]) -> dict[str, Any]:
    """Nats a token and bits a byte.

    Args:
      targets: of each example, from `CountScored`.
      scores: log-likelihood of each example's targets in loss, in nats, from
        `evaluation.seqio_scores` or any other model.
    """
    nats = -float(np.sum(scores))
    return {
        "nats_per_token": seqio.metrics.Scalar(nats / max(1, sum(t.tokens for t in targets))),
        "bits_per_byte": seqio.metrics.Scalar(
            nats / math.log(2) / max(1, sum(t.bytes for t in targets))
        ),
    }
