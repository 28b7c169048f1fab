"""The training step on every arrangement of eight devices is the step of one."""

import itertools
import math

import helpers  # noqa: F401  (virtual devices)
import jax
import numpy as np
import pytest

from codellama_jax.model import LlamaConfig, apply, init_params, param_axes
from codellama_jax.parallel import AXES, make_mesh, named_sharding
from codellama_jax.training.optimizer import make_optimizer
from codellama_jax.training.state import init_state
from codellama_jax.training.step import make_train_step

# Every axis may take all eight devices: eight rows, heads and kv heads, and sequences of 2 x 8.
CONFIG = LlamaConfig(
    vocab_size=96, dim=32, num_layers=2, num_heads=8, num_kv_heads=8, head_dim=4, ffn_dim=48,
    dtype="float32",
)  # fmt: skip
MESHES = [
    sizes for sizes in itertools.product((1, 2, 4, 8), repeat=len(AXES)) if math.prod(sizes) == 8
]
RATE = 1e-2


@pytest.fixture(scope="module")
def batch():
    """Rows (8, 16) of two texts, the second without loss on its first half."""
    generator = np.random.default_rng(0)
    positions = np.tile(np.concatenate([np.arange(10), np.arange(6)]), (8, 1))
    segments = np.tile(np.array([1] * 10 + [2] * 6), (8, 1))
    tokens = generator.integers(0, CONFIG.vocab_size, (8, 17))
    arrays = {
        "inputs": tokens[:, :-1], "targets": tokens[:, 1:],
        "positions": positions, "segment_ids": segments, "task": np.arange(8),
    }  # fmt: skip
    batch = {name: array.astype(np.int32) for name, array in arrays.items()}
    return {**batch, "weights": ((segments == 1) | (positions >= 3)).astype(np.float32)}


def one_step(mesh, batch):
    """Logits before a step, and parameters, moments and metrics after it."""
    axes = {name: ("batch", "sequence")[: array.ndim] for name, array in batch.items()}
    batch = {
        name: jax.device_put(array, named_sharding(mesh, array.shape, axes[name], name))
        for name, array in batch.items()
    }
    optimizer = make_optimizer(param_axes(CONFIG))
    with jax.set_mesh(mesh):
        state = init_state(CONFIG, optimizer, mesh, 0)
        inputs = [batch[name] for name in ("inputs", "positions", "segment_ids")]
        logits = jax.jit(lambda params: apply(CONFIG, params, "__call__", *inputs))(state.params)
        logits = np.asarray(logits)
        state, metrics = make_train_step(CONFIG, optimizer, mesh, loss_chunk=8)(state, batch, RATE)
    return logits, jax.device_get((state.params, state.optimizer, metrics))


@pytest.fixture(scope="module")
def alone(batch):
    return one_step(make_mesh(1, 1, 1, 1, devices=jax.devices()[:1]), batch)


@pytest.mark.parametrize("sizes", MESHES, ids=lambda sizes: "x".join(map(str, sizes)))
def test_logits_and_a_step_are_those_of_one_device(batch, alone, sizes):
    found = one_step(make_mesh(**dict(zip(AXES, sizes))), batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, alone)


def test_the_step_moves_every_parameter(alone):
    before = init_params(CONFIG, 0)
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), alone[1][0], before)
    assert all(RATE / 2 < change < RATE * 2 for change in jax.tree.leaves(moved)), moved
