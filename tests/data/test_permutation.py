import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from codellama_jax.data.permutation import permuted


@settings(max_examples=100, deadline=None)
@given(size=st.integers(1, 300), key=st.text(max_size=8))
def test_permutes(size, key):
    assert sorted(permuted(index, size, key) for index in range(size)) == list(range(size))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 64, 65, 256, 257, 1024])
def test_permutes_about_powers_of_two(size):
    assert {permuted(index, size, "0/code/0") for index in range(size)} == set(range(size))


def test_no_index_of_a_large_size_needs_the_others():
    size = 10**15
    places = [permuted(index, size, "key") for index in range(1000)]
    assert len(set(places)) == 1000 and all(0 <= place < size for place in places)
    assert stats.kstest(np.array(places) / size, "uniform").pvalue > 0.01


def test_each_key_has_its_order():
    orders = {tuple(permuted(i, 50, f"0/code/{epoch}") for i in range(50)) for epoch in range(20)}
    assert len(orders) == 20
    assert permuted(7, 50, "0/code/3") == permuted(7, 50, "0/code/3")


def test_every_place_is_as_likely():
    size, keys = 40, 1500
    for index in (0, 13, 39):
        places = [permuted(index, size, f"k{key}") for key in range(keys)]
        assert stats.chisquare(np.bincount(places, minlength=size)).pvalue > 1e-3


@pytest.mark.parametrize("index", [-1, 5, 6])
def test_index_outside(index):
    with pytest.raises(IndexError, match=rf"index {index} is outside range\(5\)"):
        permuted(index, 5, "key")
