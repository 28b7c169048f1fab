"""seqio's Evaluator with a checkpoint of ours as its model."""

import math

import numpy as np
import pytest
import seqio

from codellama_jax.data import Records, register
from codellama_jax.evaluation.likelihood import token_losses
from codellama_jax.evaluation.seqio_scores import Unconverted, seqio_scores

WINDOW = 256


def evaluated(corpus, model, task, examples=5):
    register(corpus)
    evaluator = seqio.Evaluator(
        task,
        Unconverted(),
        eval_split="heldout",
        num_examples=examples,
        async_compute_metrics=False,
    )
    metrics, _ = evaluator.evaluate(compute_metrics=True, score_fn=seqio_scores(model, WINDOW))
    return {name: value.value for name, value in metrics.result()[task].items()}


def test_the_metrics_are_those_of_the_documents(corpus, model):
    records, v = Records(corpus, "code", "heldout"), model.vocabulary
    texts = [records[n]["text"] for n in range(5)]
    ids = [[v.bos_id, *v.encode(text), v.eos_id] for text in texts]
    nats = sum(float(np.sum(x)) for x in token_losses(model.config, model.params, ids, WINDOW))
    found = evaluated(corpus, model, "code")
    assert found["nats_per_token"] == pytest.approx(nats / sum(len(x) - 1 for x in ids), rel=1e-5)
    size = sum(len(text.encode()) for text in texts)
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-2)


def test_only_answers_count_in_dialogues(corpus, model):
    found = evaluated(corpus, model, "dialogues")
    assert 0 < found["nats_per_token"] < 2 * math.log(model.config.vocab_size)
    assert math.isfinite(found["bits_per_byte"])
