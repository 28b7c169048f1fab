"""Losses of held-out text, against the model's own logits and against arithmetic."""

import gzip

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codellama_jax.data import Records
from codellama_jax.evaluation.dialogues import dialogue_loss
from codellama_jax.evaluation.heldout import (
    HeldoutText,
    bits_per_byte,
    compressed_bits_per_byte,
    heldout_texts,
)
from codellama_jax.evaluation.likelihood import token_losses
from codellama_jax.evaluation.positions import long_documents, loss_by_position
from codellama_jax.generation import Model
from codellama_jax.model import apply, replace
from codellama_jax.text import render_dialogue


def plain_losses(model, ids):
    rows = jnp.array([ids[:-1]])
    positions = jnp.arange(rows.shape[1])[None]
    logits = apply(model.config, model.params, "__call__", rows, positions, jnp.ones_like(rows))
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits[0]), jnp.array(ids[1:])[:, None], 1)
    return -np.asarray(chosen[:, 0])


def test_short_sequences_have_the_losses_of_the_model(model):
    sequences = [[1, *range(5, 5 + n)] for n in (1, 7, 32, 20)]
    for losses, ids in zip(token_losses(model.config, model.params, sequences, 32, 3), sequences):
        np.testing.assert_allclose(losses, plain_losses(model, ids), atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_base": 1e6},
        {"rope_scaling": "linear", "rope_factor": 4.0},
        {"rope_scaling": "yarn", "rope_factor": 4.0, "rope_original_length": 32},
    ],
)
def test_bases_and_scalings_share_a_program_and_have_their_own_losses(model, changes):
    ids = [1, *range(5, 69)]
    base = token_losses(model.config, model.params, [ids], 64, 3)[0]
    other = Model(replace(model.config, **changes), model.params, model.vocabulary)
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name)
    )
    try:
        losses = token_losses(other.config, other.params, [ids], 64, 3)[0]
    finally:
        jax.monitoring.clear_event_listeners()
    assert not [name for name in compiled if "backend_compile" in name]
    np.testing.assert_allclose(losses, plain_losses(other, ids), atol=1e-4)
    assert np.abs(losses - base).max() > 1e-3


@pytest.mark.parametrize("length", [33, 34, 47, 48, 49, 64, 65, 100, 129])
def test_every_token_of_a_long_sequence_sees_half_a_window(model, length):
    ids = [1, *np.random.default_rng(length).integers(5, 500, length).tolist()]
    (losses,) = token_losses(model.config, model.params, [ids], 32)
    assert len(losses) == length
    for n in (*range(0, length, 7), length - 1):
        if n < 32:
            expected = plain_losses(model, ids[: n + 2])[-1]
        else:  # scored by the first window that reaches it, which began half a window earlier
            start = 16 * ((n - 32) // 16 + 1)
            expected = plain_losses(model, ids[start : n + 2])[-1]
        assert losses[n] == pytest.approx(expected, abs=1e-4)


def test_a_model_that_knows_nothing_needs_log2_v_bits_a_token(model):
    blank = jax.tree.map(jnp.zeros_like, model.params)
    text = HeldoutText("code", ["def f(x):\n    return x\n", "naïve ☃\n"])
    tokens = sum(len(model.vocabulary.encode(t)) + 1 for t in text.texts)
    size = sum(len(t.encode()) for t in text.texts)
    measured = bits_per_byte(model.config, blank, model.vocabulary, text, 64)
    assert measured == pytest.approx(tokens * 9 / size, rel=1e-5)


def test_compressors_are_asked_about_the_same_bytes():
    heldout = HeldoutText("code", ["a = 1\n" * 50, "b = 2\n" * 50])
    joined = "".join(heldout.texts).encode()
    bits = compressed_bits_per_byte(heldout)
    assert bits["gzip -9, one file"] == 8 * len(gzip.compress(joined, 9)) / len(joined)
    assert bits["gzip -9, one file"] < bits["gzip -9"]
    assert heldout.size == len(joined)


def test_heldout_texts_keep_to_their_budget_and_their_split(corpus):
    chosen = heldout_texts(corpus=corpus, sources=("code", "python"), max_bytes=20_000)
    for text in chosen:
        assert 0 < text.size <= 20_000
        records = Records(corpus, text.source, "heldout")
        whole = [records[n]["text"] for n in range(len(records))]
        assert all(any(w.startswith(t) for w in whole) for t in text.texts)


def test_positions_and_bases(model, corpus):
    sequences = long_documents(model.vocabulary, corpus=corpus, length=256, documents=4)
    assert sequences and all(len(ids) == 257 and ids[0] == 1 for ids in sequences)
    plain = loss_by_position(model.config, model.params, sequences, buckets=4)
    raised = loss_by_position(model.config, model.params, sequences, 1e6, buckets=4)
    assert plain["positions"] == [64, 128, 192, 256] and raised["rope_base"] == 1e6
    expected = np.mean([plain_losses(model, ids)[:64].mean() for ids in sequences])
    assert plain["loss"][0] == pytest.approx(expected, abs=1e-4)
    np.testing.assert_allclose(np.mean(plain["document_loss"], axis=0), plain["loss"], rtol=1e-5)
    assert plain["loss"] != raised["loss"]


def test_dialogue_loss_counts_answers_only(model, corpus):
    result = dialogue_loss(model, corpus=corpus, dialogues=5, window=512)
    records = Records(corpus, "dialogues", "heldout")
    rendered = [
        render_dialogue(model.vocabulary, records[n]["messages"]) for n in range(len(records))
    ]
    fitting = [dialogue for dialogue in rendered if len(dialogue.ids) <= 513][:5]
    assert result["dialogues"] == len(fitting) > 0
    assert result["tokens"] == sum(sum(dialogue.in_loss) for dialogue in fitting)
    assert 4 < result["loss"] < 9  # log(512) = 6.2, give or take an untrained model
