"""What the guard lets pass, against a simulation, and that what it refuses leaves no trace."""

from collections import deque

import gin
import helpers  # noqa: F401  (virtual devices)
import jax
import numpy as np
import pytest

from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig, param_axes
from codellama_jax.parallel import make_mesh
from codellama_jax.training.guard import Guard
from codellama_jax.training.optimizer import make_optimizer
from codellama_jax.training.state import init_state, state_from_params
from codellama_jax.training.step import make_train_step

CONFIG = LlamaConfig(
    vocab_size=48, dim=8, num_layers=1, num_heads=2, num_kv_heads=1, ffn_dim=12, dtype="float32"
)
LENGTHS = np.ones(CONFIG.vocab_size, np.int32)


def simulated(guard, losses, norms):
    """Why each step is refused, or "": a deque, and NumPy's mean and deviation in float64."""
    window = deque(maxlen=guard.window)
    for loss, norm in zip(losses, norms):
        if not np.isfinite([loss, norm]).all():
            yield "nonfinite"
        elif (
            guard.spike_z is not None
            and len(window) == guard.window
            and loss > np.mean(window) + guard.spike_z * np.std(window)
        ):
            yield "spike"
        else:
            window.append(float(loss))
            yield ""


@pytest.mark.parametrize("spike_z", [None, 1.5, 3.0])
@pytest.mark.parametrize("window", [2, 7, 32])
def test_verdicts_are_those_of_a_simulation(spike_z, window):
    guard = Guard(nonfinite="skip", spike_z=spike_z, window=window)
    generator = np.random.default_rng(window)
    losses = generator.normal(3, 0.2, 300) + generator.choice([0, 2], 300, p=[0.9, 0.1])
    norms = np.ones(300)
    losses[[5, 90]], losses[91], norms[[6, 200]] = np.nan, np.inf, np.inf
    losses, norms = losses.astype(np.float32), norms.astype(np.float32)
    judge, state, in_row = jax.jit(guard.judge), guard.fresh(), 0
    for loss, norm, expected in zip(losses, norms, simulated(guard, losses, norms)):
        accept, state, metrics = judge(state, loss, norm)
        in_row = in_row + 1 if expected else 0
        assert bool(accept) == (not expected)
        assert metrics["skipped"] == bool(expected) and metrics["skipped_in_row"] == in_row
        assert metrics["spike"] == (expected == "spike")


@pytest.fixture(scope="module")
def run():
    """A function that trains on batches of given kinds: states, from the first on, and metrics."""
    mesh = make_mesh(1, 1, 1, 1, devices=jax.devices()[:1])
    optimizer, guard = make_optimizer(param_axes(CONFIG)), Guard(spike_z=6.0, window=4)
    inputs, targets, others = np.random.default_rng(0).integers(0, 48, (3, 2, 8), np.int32)
    usual = {
        "inputs": inputs, "targets": targets, "weights": np.ones((2, 8), np.float32),
        "positions": np.tile(np.arange(8, dtype=np.int32), (2, 1)),
        "segment_ids": np.ones((2, 8), np.int32), "task": np.zeros(2, np.int32),
    }  # fmt: skip
    kinds = {"usual": usual, "other": {**usual, "targets": others}}
    for bad in ("nan", "inf"):
        kinds[bad] = {**usual, "weights": np.full((2, 8), bad, np.float32)}
    with jax.set_mesh(mesh):
        step = make_train_step(CONFIG, optimizer, mesh, guard, LENGTHS)

        def train(names):
            state = init_state(CONFIG, optimizer, mesh, guard, 0)
            states, metrics = [jax.device_get(state)], []
            for name in names:
                state, found = step(state, kinds[name], 3e-2)
                states.append(jax.device_get(state))
                metrics.append(jax.device_get(found))
            return states, metrics

        yield train


def test_a_phase_begins_with_an_empty_memory():
    """A state over given parameters is a fresh one, whose arrays the step can all take over."""
    mesh = make_mesh(1, 2, 1, 1, devices=jax.devices()[:2])
    optimizer, guard = make_optimizer(param_axes(CONFIG)), Guard(window=4)
    with jax.set_mesh(mesh):
        fresh = init_state(CONFIG, optimizer, mesh, guard, 0)
        entered = state_from_params(CONFIG, optimizer, mesh, guard, fresh.params)
    equal(jax.device_get(entered), jax.device_get(fresh))
    buffers = [
        shard.data.unsafe_buffer_pointer()
        for leaf in jax.tree.leaves(entered)
        for shard in leaf.addressable_shards
    ]
    assert len(set(buffers)) == len(buffers)


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("bad", ["nan", "inf"])
def test_a_step_that_is_not_finite_leaves_nothing_but_its_count(run, bad):
    states, metrics = run(["usual", bad, bad, "usual"])
    undisturbed, _ = run(["usual", "usual"])
    assert [m["skipped"] for m in metrics] == [0, 1, 1, 0]
    assert [m["skipped_in_row"] for m in metrics] == [0, 1, 2, 0]
    for n, state in enumerate(states[2:4], start=1):
        assert (state.step, state.guard.refused) == (n + 1, n)
        memory = state.guard._replace(refused=np.int32(0))
        equal(state._replace(step=np.int32(1), guard=memory), undisturbed[1])
    equal(states[4]._replace(step=np.int32(2)), undisturbed[2])


def test_a_spike_leaves_nothing_but_its_count(run):
    """Batches that were never seen, once the others are known by heart."""
    states, metrics = run(["usual"] * 40 + ["other", "usual"])
    undisturbed, _ = run(["usual"] * 41)
    assert [m["skipped"] for m in metrics] == [m["spike"] for m in metrics] == [0] * 40 + [1, 0]
    assert metrics[40]["loss"] > metrics[39]["loss"] + 1
    equal(states[42]._replace(step=np.int32(41)), undisturbed[41])


def told(**changes):
    return {
        "loss": 2.0, "gradient_norm": 1.0, "skipped": 0, "spike": 0, "skipped_in_row": 0, **changes
    }  # fmt: skip


def test_the_host_hears_of_skips_and_stops():
    nan = told(loss=np.nan, skipped=1, skipped_in_row=1)
    assert Guard().check(3, told()) is None
    with pytest.raises(UserError, match="between steps 411 and 412 .*loss nan.*Guard.nonfinite"):
        Guard().check(412, nan)
    skipping = Guard(nonfinite="skip", spike_z=3.0, patience=4)
    assert skipping.check(412, nan) == "step 412 skipped: not finite (loss nan, gradient norm 1)"
    spike = told(skipped=1, spike=1, skipped_in_row=3)
    assert Guard(spike_z=3.0).check(9, spike) == "step 9 skipped: a spike (loss 2, gradient norm 1)"
    with pytest.raises(UserError, match="no update was applied between steps 6 and 10, 4 in a row"):
        skipping.check(10, {**spike, "skipped_in_row": 4})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"nonfinite": "ignore"}, "Guard.nonfinite = 'ignore': choose one of 'stop', 'skip'"),
        ({"spike_z": 0}, "Guard.spike_z = 0: give more than 0, or None"),
        ({"spike_z": "3"}, "Guard.spike_z = '3' must be of type"),
        ({"window": 1}, "Guard.window = 1: give 2 or more"),
        ({"patience": 0}, "Guard.patience = 0: give 1 or more"),
    ],
)
def test_settings_that_cannot_be(settings, words):
    with pytest.raises(UserError, match=words):
        Guard(**settings)


def test_settings_come_from_gin():
    gin.bind_parameter("Guard.spike_z", 4.5)
    try:
        assert Guard().spike_z == 4.5
    finally:
        gin.clear_config()
