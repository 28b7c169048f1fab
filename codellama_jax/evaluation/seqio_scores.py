"""A checkpoint as the model of seqio's Evaluator."""

from collections.abc import Callable
from typing import Any

import numpy as np

from codellama_jax.data.quiet import seqio, tf
from codellama_jax.evaluation.likelihood import token_losses
from codellama_jax.generation import Model


class Unconverted(seqio.PassThroughFeatureConverter):
    """Examples as the tasks make them, neither trimmed nor padded."""

    TASK_FEATURES = {
        name: seqio.FeatureConverter.FeatureSpec(dtype=tf.int32) for name in ("targets", "in_loss")
    }
    pack = False  # the Evaluator asks, and seqio's own pass-through converter does not say


def seqio_scores(model: Model, window: int = 4096) -> Callable[[Any], list[tuple[int, float]]]:
    """The `score_fn` of `seqio.Evaluator.evaluate`, for this package's tasks.

    Give the Evaluator `Unconverted()` as its feature converter.

    Args:
      model: from `load_model`.
      window: tokens of context at most.

    Returns:
      score_fn(enumerated dataset) -> [(index, log-likelihood in nats of the targets in loss)].
    """

    def score(dataset: Any) -> list[tuple[int, float]]:
        examples = list(dataset.as_numpy_iterator())
        bos = model.vocabulary.bos_id
        sequences = [[bos, *example["targets"].tolist()] for _, example in examples]
        losses = token_losses(model.config, model.params, sequences, window)
        return [
            (int(index), -float(np.sum(loss * example["in_loss"])))
            for (index, example), loss in zip(examples, losses)
        ]

    return score
