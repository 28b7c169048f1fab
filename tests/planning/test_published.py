"""Estimates beside what others measured."""

import pytest

from codellama_jax.model import sized_config
from codellama_jax.planning.published import deviation, published_for
from codellama_jax.planning.topologies import topology


@pytest.mark.parametrize(("name", "chips"), [("v4-128", 64), ("v5e-256", 256), ("v5p-128", 64)])
def test_a_measurement_is_found_by_shape_and_slice(name, chips):
    found = published_for(sized_config("llama2_70b"), topology(name))
    assert found is not None and found.chips == chips and 0.5 < found.mfu < 0.7
    assert published_for(sized_config("llama2_7b"), topology(name)) is None
    assert published_for(sized_config("llama2_70b"), topology("v5p-1024")) is None


def test_tokens_are_compared_where_they_were_published_and_mfu_elsewhere():
    config = sized_config("llama2_70b")
    figures = {"mfu": 0.285, "tokens_per_second_per_chip": 346.0}
    for name in ("v5p-128", "v5e-256"):
        beside = deviation(config, topology(name), figures)["published"]
        assert beside["deviation"] == pytest.approx(-0.5)
    assert deviation(config, topology("v5p-256"), figures) == {}
