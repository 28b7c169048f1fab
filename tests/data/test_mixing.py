import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama_jax.data.mixing import CYCLE, MixingCycle
from codellama_jax.data.tasks import MIXTURES

rates = st.lists(st.integers(1, 1000), min_size=1, max_size=8).map(
    lambda shares: {f"task{n}": float(share) for n, share in enumerate(shares)}
)


def located(cycle, rows):
    return [cycle.locate(row) for row in rows]


@pytest.mark.parametrize("mixture", MIXTURES)
def test_papers_rates_are_exact_in_every_thousand_rows(mixture):
    asked = MIXTURES[mixture]
    cycle = MixingCycle(asked)
    for begin in (0, 5_000, 10_000_000):
        tasks = [task for task, _ in located(cycle, range(begin, begin + 1000))]
        for n, task in enumerate(cycle.tasks):
            assert tasks.count(n) == round(1000 * asked[task])


@pytest.mark.parametrize("mixture", MIXTURES)
def test_every_prefix_is_within_two_rows_of_the_rates(mixture):
    asked = MIXTURES[mixture]
    cycle = MixingCycle(asked)
    seen = [0] * len(asked)
    for row in range(2 * CYCLE):
        seen[cycle.locate(row)[0]] += 1
        for n, task in enumerate(cycle.tasks):
            assert abs(seen[n] - (row + 1) * asked[task]) <= 2


@settings(max_examples=50, deadline=None)
@given(rates)
def test_any_rates_are_kept_to_a_row_a_cycle(asked):
    cycle = MixingCycle(asked)
    total = sum(asked.values())
    tasks = [task for task, _ in located(cycle, range(CYCLE))]
    for n, task in enumerate(cycle.tasks):
        share = CYCLE * asked[task] / total
        assert abs(tasks.count(n) - share) < len(asked) if share < 1 else 1 + len(asked) / 2
        assert tasks.count(n) >= 1


@settings(max_examples=50, deadline=None)
@given(rates)
def test_rows_of_a_task_are_numbered_in_order(asked):
    cycle = MixingCycle(asked)
    following = [itertools.count() for _ in asked]
    for task, number in located(cycle, range(2 * CYCLE + 17)):
        assert number == next(following[task])


def test_scale_of_the_rates_does_not_matter():
    one, two = MixingCycle({"a": 1, "b": 3}), MixingCycle({"a": 0.25, "b": 0.75})
    assert located(one, range(CYCLE)) == located(two, range(CYCLE))


@pytest.mark.parametrize("bad", [{}, {"a": 0.0}, {"a": 1, "b": -1}, {"a": float("nan")}])
def test_rates_must_be_positive(bad):
    with pytest.raises(ValueError, match="mixing rates must be positive"):
        MixingCycle(bad)
