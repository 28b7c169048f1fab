import gin
import helpers  # noqa: F401  (eight virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from codellama_jax.errors import UserError
from codellama_jax.parallel import (
    axis_rules,
    constrain,
    make_mesh,
    named_sharding,
    partition_spec,
    replicated,
    tree_shardings,
)


@pytest.fixture(autouse=True)
def _clean_gin():
    yield
    gin.clear_config()


def test_logical_axes_become_mesh_axes():
    assert partition_spec(("batch", "sequence", "width")) == PartitionSpec(
        ("data", "fsdp"), ("context",), None
    )
    assert partition_spec(("layers", "embed", "heads", "head_dim")) == PartitionSpec(
        None, ("fsdp",), ("tensor",), None
    )


def test_arrays_are_laid_out_by_their_names():
    mesh = make_mesh(data=2, fsdp=2, tensor=2)
    array = jnp.arange(48.0).reshape(4, 12)
    laid = jax.device_put(array, named_sharding(mesh, array.shape, ("embed", "ffn"), "w"))
    assert {shard.data.shape for shard in laid.addressable_shards} == {(2, 6)}
    np.testing.assert_array_equal(laid, array)
    whole = jax.device_put(array, replicated(mesh))
    assert {shard.data.shape for shard in whole.addressable_shards} == {(4, 12)}


def test_a_mesh_axis_used_twice_is_named():
    gin.bind_parameter("axis_rules.overrides", {"head_dim": ("tensor",)})
    mesh = make_mesh()
    with pytest.raises(UserError, match=r"lay query .*'heads', 'head_dim'.* axis 'tensor' twice"):
        named_sharding(mesh, (8, 4, 8), ("embed", "heads", "head_dim"), "query")


def test_a_dimension_that_does_not_divide_is_named_with_its_parameter():
    mesh = make_mesh(fsdp=2, tensor=4)
    shapes = {"layers": {"up": jax.ShapeDtypeStruct((2, 8, 6), jnp.float32)}}
    axes = {"layers": {"up": ("layers", "embed", "ffn")}}
    message = r"layers/up: dimension 'ffn' of size 6 does not divide over 4 shards.*'tensor'"
    with pytest.raises(UserError, match=message):
        tree_shardings(mesh, shapes, axes)
    shapes["layers"]["up"] = jax.ShapeDtypeStruct((2, 8, 12), jnp.float32)
    found = tree_shardings(mesh, shapes, axes)["layers"]["up"]
    assert found.shard_shape((2, 8, 12)) == (2, 4, 3)


def test_one_row_of_the_table_is_replaced():
    gin.bind_parameter("axis_rules.overrides", {"kv_heads": (), "batch": ["data"]})
    rules = axis_rules()
    assert rules["kv_heads"] == () and rules["batch"] == ("data",)
    assert rules["heads"] == ("tensor",)
    assert partition_spec(("batch", "kv_heads")) == PartitionSpec(("data",), None)


def test_a_row_that_is_not_in_the_table():
    with pytest.raises(UserError, match="no logical axis 'hedas'"):
        axis_rules({"hedas": ("tensor",)})


def test_a_mesh_axis_that_is_none():
    with pytest.raises(UserError, match="'tensr'"):
        axis_rules({"heads": ("tensr",)})


def test_a_mesh_axis_by_its_bare_name():
    """gin users write "tensor" for ("tensor",); its letters are no axes."""
    assert axis_rules({"heads": "fsdp"})["heads"] == ("fsdp",)


def test_constrain_without_a_mesh_is_the_identity():
    x = jnp.ones((3, 5, 7))
    assert constrain(x, "batch", "sequence", "width") is x
    np.testing.assert_array_equal(
        jax.jit(lambda x: constrain(x, "batch", "sequence", "width"))(x), x
    )


def test_constrain_lays_out_on_the_mesh():
    x = jnp.arange(64.0).reshape(4, 4, 4)
    with jax.set_mesh(make_mesh(data=2, fsdp=2, context=2)):
        y = jax.jit(lambda x: constrain(x + 0, "batch", "sequence", "width"))(x)
    assert y.sharding.shard_shape(y.shape) == (1, 2, 4)
    np.testing.assert_array_equal(y, x)
