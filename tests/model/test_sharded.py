"""Over eight devices the model gives what it gives on one, however they are arranged."""

import helpers  # noqa: F401  (virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codellama_jax.errors import UserError
from codellama_jax.model import apply, param_axes, param_shapes, replace
from codellama_jax.parallel import AXES, make_mesh, named_sharding, tree_shardings

from .reference import random_params, random_tokens, tiny

CONFIG = tiny(num_kv_heads=2, num_heads=4)
MESHES = [(1, 8, 1, 1), (4, 1, 1, 2), (1, 2, 2, 2)]  # all of them: tests/training/test_step.py


def forward(params, *batch):
    return apply(CONFIG, params, "__call__", *batch)


def gradients(params, *batch):
    def loss(params):
        return jnp.mean(jax.nn.logsumexp(forward(params, *batch), axis=-1))

    return jax.grad(loss)(params)


@pytest.fixture(scope="module")
def params():
    return random_params(CONFIG)


@pytest.fixture(scope="module")
def batch():
    """Tokens, positions and segments (8, 16): two texts a row."""
    positions = np.tile(np.concatenate([np.arange(10), np.arange(6)]), (8, 1))
    segments = np.tile(np.array([1] * 10 + [2] * 6), (8, 1))
    arrays = (random_tokens(CONFIG, (8, 16)), positions, segments)
    return [array.astype(np.int32) for array in arrays]


def on_mesh(sizes, function, params, batch):
    """`function` of arrays laid out over the mesh, as training lays them out."""
    mesh = make_mesh(**dict(zip(AXES, sizes)))
    params = jax.device_put(params, tree_shardings(mesh, params, param_axes(CONFIG)))
    query = params["layers"]["attention"]["query"]
    _, fsdp, _, tensor = sizes
    assert query.sharding.shard_shape(query.shape) == (2, 32 // fsdp, 4 // tensor, 8)
    layout = named_sharding(mesh, (8, 16), ("batch", "sequence"), "batch")
    with jax.set_mesh(mesh):
        return jax.jit(function)(params, *(jax.device_put(array, layout) for array in batch))


def shown(sizes):
    return "x".join(map(str, sizes))


@pytest.fixture(scope="module")
def alone(params, batch):
    return jax.jit(forward)(params, *batch)


@pytest.mark.parametrize("sizes", MESHES, ids=shown)
def test_logits_are_those_of_one_device(params, batch, alone, sizes):
    found = on_mesh(sizes, forward, params, batch)
    np.testing.assert_allclose(found, alone, rtol=0, atol=1e-5)


def test_gradients_are_those_of_one_device(params, batch):
    alone = jax.jit(gradients)(params, *batch)
    found = on_mesh((1, 2, 2, 2), gradients, params, batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), found, alone)


def test_a_mesh_that_does_not_divide_the_model_is_named():
    mesh = make_mesh(fsdp=2, tensor=4)
    shapes, axes = param_shapes(CONFIG), param_axes(CONFIG)
    message = r"layers/attention/key: dimension 'kv_heads' of size 2 does not divide over 4 shards"
    with pytest.raises(UserError, match=message):
        tree_shardings(mesh, shapes, axes)
    wide = replace(CONFIG, num_kv_heads=4)
    tree_shardings(mesh, param_shapes(wide), param_axes(wide))
