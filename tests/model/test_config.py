"""Sizes: the published parameter counts, without allocating any."""

import gin
import jax
import numpy as np
import pytest
from helpers import ROOT

from codellama_jax.errors import UserError
from codellama_jax.model import (
    SIZES,
    LlamaConfig,
    closest,
    init_params,
    param_axes,
    param_shapes,
    recognise,
    replace,
    sized_config,
)

from .reference import tiny


@pytest.fixture(autouse=True)
def _clean_gin():
    yield
    gin.clear_config()


initial = jax.jit(init_params, static_argnums=0)

PUBLISHED = {
    "llama2_7b": 6_738_415_616,
    "llama2_13b": 13_015_864_320,
    "llama2_70b": 68_976_648_192,
    "code_llama_7b": 6_738_546_688,
    "code_llama_13b": 13_016_028_160,
    "code_llama_34b": 33_743_970_304,
    "code_llama_70b": 68_976_910_336,
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_published_parameter_counts(size):
    config = sized_config(size)
    assert config.key_size == 128 and size in recognise(config)
    assert config.num_parameters == PUBLISHED[size]
    shapes = jax.tree.leaves(param_shapes(config))
    assert all(isinstance(shape, jax.ShapeDtypeStruct) for shape in shapes)
    assert sum(shape.size for shape in shapes) == PUBLISHED[size]


@pytest.mark.parametrize("size", PUBLISHED)
def test_shipped_configurations_are_the_table(size):
    path = ROOT / f"configs/models/{size}.gin"
    gin.parse_config_file(str(path))
    assert LlamaConfig() == sized_config(size)
    assert f"{PUBLISHED[size]:,} parameters" in path.read_text().splitlines()[0]


def test_variants_differ_in_ids_and_base():
    assert sized_config("code_llama_7b_python").vocab_size == 32_000
    for name in ("code_llama_70b_python", "code_llama_70b_instruct"):
        assert sized_config(name).rope_base == 1e4 and SIZES[name].length == 4096
    assert recognise(sized_config("llama2_7b", vocab_size=7)) == []
    assert closest(sized_config("code_llama_7b", rope_base=1e4)) == (
        "llama2_7b",
        {"vocab_size": 32_000},
    )
    assert closest(sized_config("code_llama_34b", rope_base=5e5)) == (
        "code_llama_34b",
        {"rope_base": 1e6},
    )
    assert closest(tiny()) is None
    with pytest.raises(UserError, match="no size '8b': the published ones are llama2_7b"):
        sized_config("8b")


@pytest.mark.parametrize("changes", [{}, {"tied": True}, {"num_kv_heads": 2, "head_dim": 10}])
def test_count_shapes_and_axes_are_those_of_the_parameters(changes):
    config = tiny(**changes)
    params = initial(config, 0)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == config.num_parameters
    shapes, axes = param_shapes(config), param_axes(config)
    jax.tree.map(
        lambda leaf, shape: np.testing.assert_equal(leaf.shape, shape.shape), params, shapes
    )
    jax.tree.map(lambda leaf, names: np.testing.assert_equal(leaf.ndim, len(names)), params, axes)
    assert axes["layers"]["attention"]["query"] == ("layers", "embed", "heads", "head_dim")
    assert ("head" in params) != config.tied


def test_parameters_follow_from_the_seed():
    config = tiny()
    same, again, other = initial(config, 3), initial(config, 3), initial(config, 4)
    for a, b, c in zip(*map(jax.tree.leaves, (same, again, other))):
        np.testing.assert_array_equal(a, b)
        assert np.all(a == 1) or not np.array_equal(a, c)
    query = same["layers"]["attention"]["query"]
    assert not np.array_equal(query[0], query[1]), "layers must differ from each other"


def test_flops_of_a_token_are_six_per_multiplying_weight_and_attention():
    config = sized_config("code_llama_7b")
    weights = config.num_parameters - 32016 * 4096
    assert config.flops_per_token(0) == 6 * weights
    # Scores and mixing: 2 products x 2 flops x 3 passes x D, over half the sequence on average.
    assert config.flops_per_token(4096) - 6 * weights == 12 * 32 * 4096 * 4096 / 2
    tied = replace(config, tied=True)
    assert tied.flops_per_token(4096) == config.flops_per_token(4096)


def test_replace_keeps_what_gin_does_not_name():
    config = tiny(rope_base=1e5)
    gin.bind_parameter("LlamaConfig.rope_base", 1e6)
    gin.bind_parameter("LlamaConfig.tied", True)
    changed = replace(config, num_layers=5)
    assert (changed.num_layers, changed.rope_base, changed.tied) == (5, 1e5, False)
    assert LlamaConfig().tied


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_kv_heads": 3}, "4 query heads do not divide into groups over 3 key-value heads"),
        ({"dim": 30}, "dim 30 does not divide by num_heads 4; give head_dim"),
        ({"head_dim": 7}, "head size 7 is odd"),
        ({"remat": "some"}, "remat = 'some': choose one of"),
        ({"attention": "fast"}, "attention = 'fast': choose one of"),
        ({"rope_factor": 0.5}, "rope_factor = 0.5: give 1 or more"),
    ],
)
def test_errors_name_the_value(changes, message):
    with pytest.raises(UserError, match=message):
        tiny(**changes)
