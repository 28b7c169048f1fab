"""pass@k against the definition: enumerate every draw of k from n."""

from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codellama_jax.errors import UserError
from codellama_jax.evaluation.passk import bootstrap_interval, pass_at_k


@pytest.mark.parametrize("n", range(1, 8))
def test_equals_the_share_of_draws_with_a_pass(n):
    for c in range(n + 1):
        for k in range(1, n + 1):
            draws = list(combinations([True] * c + [False] * (n - c), k))
            expected = sum(any(draw) for draw in draws) / len(draws)
            assert pass_at_k(n, c, k) == pytest.approx(expected)


@given(st.integers(1, 500), st.data())
def test_equals_the_exact_binomials(n, data):
    c = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    assert pass_at_k(n, c, k) == pytest.approx(1 - comb(n - c, k) / comb(n, k), abs=1e-9)


def test_pass_at_1_is_the_share_that_passes():
    assert pass_at_k(200, 50, 1) == pytest.approx(0.25)


@pytest.mark.parametrize("n, c, k", [(5, 1, 10), (0, 0, 1), (5, 6, 1), (5, -1, 1), (5, 1, 0)])
def test_undefined_values_are_refused(n, c, k):
    with pytest.raises(UserError, match="pass@"):
        pass_at_k(n, c, k)


def test_interval_holds_the_mean_narrows_with_more_problems_and_is_reproducible():
    few, many = [0.0, 1.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0, 1.0] * 40
    low, high = bootstrap_interval(few)
    narrow_low, narrow_high = bootstrap_interval(many)
    assert 0 <= low < narrow_low < 0.6 < narrow_high < high <= 1
    assert bootstrap_interval(few) == (low, high)
    assert bootstrap_interval([0.5] * 9) == (0.5, 0.5)
    # 200 problems at 0.6: normal approximation gives ± 1.96 · sqrt(0.24 / 200) = ± 0.068
    assert (narrow_high - narrow_low) / 2 == pytest.approx(0.068, abs=0.01)


def test_interval_of_nothing_is_refused():
    with pytest.raises(UserError, match="empty"):
        bootstrap_interval([])
