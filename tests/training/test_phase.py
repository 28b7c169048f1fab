import itertools

import gin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama_jax.errors import UserError
from codellama_jax.training import Phase, in_order


@pytest.fixture(autouse=True)
def _clean_gin():
    yield
    gin.clear_config()


def phase(name, parent=None, **settings):
    return Phase(**{"name": name, "mixture": "m", "steps": 5, "parent": parent, **settings})


RECIPE = [
    phase("code"),
    phase("long", "code"),
    phase("instruct", "long"),
    phase("python", "code"),
    phase("python_long", "python"),
]


def test_every_order_of_writing_puts_parents_first():
    for written in itertools.permutations(RECIPE):
        ordered = in_order(written)
        assert sorted(p.name for p in ordered) == sorted(p.name for p in RECIPE)
        names = [p.name for p in ordered]
        assert all(names.index(p.parent) < names.index(p.name) for p in ordered if p.parent)


def test_an_order_that_fits_is_kept():
    written = [phase("a"), phase("b"), phase("c")]
    assert in_order(written) == written
    assert in_order([]) == []


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_forest(data):
    count = data.draw(st.integers(1, 8))
    parents = [data.draw(st.none() | st.integers(0, n - 1)) if n else None for n in range(count)]
    forest = [phase(f"p{n}", None if p is None else f"p{p}") for n, p in enumerate(parents)]
    ordered = in_order(data.draw(st.permutations(forest)))
    names = [p.name for p in ordered]
    assert sorted(names) == sorted(p.name for p in forest)
    assert all(names.index(p.parent) < names.index(p.name) for p in ordered if p.parent)


@pytest.mark.parametrize("written", itertools.permutations([0, 1, 2]))
def test_unknown_parent_is_named_wherever_it_stands(written):
    phases = [phase("code"), phase("long", "coed"), phase("instruct", "long")]
    message = r"phase 'long' starts from 'coed', which is no phase .*\['code', 'instruct', 'long'\]"
    with pytest.raises(UserError, match=message):
        in_order([phases[n] for n in written])


@pytest.mark.parametrize("written", itertools.permutations([0, 1, 2]))
def test_circle_is_named_by_one_of_its_own(written):
    phases = [phase("a", "b"), phase("b", "a"), phase("child", "a")]
    with pytest.raises(UserError, match=r"phase '[ab]' is its own ancestor"):
        in_order([phases[n] for n in written])


def test_own_parent():
    with pytest.raises(UserError, match="phase 'a' is its own ancestor"):
        in_order([phase("a", "a")])


def test_name_used_twice():
    with pytest.raises(UserError, match="two phases of the run are named 'code'"):
        in_order([phase("code"), phase("long", "code"), phase("code")])


@pytest.mark.parametrize("field", ["steps", "batch_size", "sequence_length"])
@pytest.mark.parametrize("value", [0, -3])
def test_sizes_must_be_positive(field, value):
    with pytest.raises(UserError, match=f"phase 'code': {field} = {value} must be at least 1"):
        phase("code", **{field: value})


@pytest.mark.parametrize("name", ["", "a/b", ".", "..", "a-b", "1"])
def test_name_must_be_a_folder(name):
    with pytest.raises(UserError, match="must be usable as a folder name"):
        phase(name)


def test_one_place_to_start_from():
    message = "phase 'a' starts from the phase 'b' and from 'there': give one of parent and initial"
    with pytest.raises(UserError, match=message):
        phase("a", "b", initial_weights="there")
    with pytest.raises(UserError, match="resize_vocabulary = 'sum': choose one of 'mean', 'zeros'"):
        phase("a", resize_vocabulary="sum")


def test_tokens():
    assert phase("code", steps=7, batch_size=3, sequence_length=11).tokens == 231


def test_phase_from_gin():
    gin.parse_config(
        """
        code/Phase.name = "code"
        code/Phase.mixture = "code_llama"
        code/Phase.steps = 9
        Phase.batch_size = 2
        """
    )
    with gin.config_scope("code"):
        found = Phase()
    assert (found.name, found.steps, found.batch_size, found.parent) == ("code", 9, 2, None)
