"""Functions compared by what they do, and calls like given ones to compare them on."""

import ast

import pytest

from codellama_jax.evaluation.sandbox import Limits, available
from codellama_jax.instruct.behaviour import compared, usable, values
from codellama_jax.instruct.behaviour_programs import Comparison
from codellama_jax.instruct.neighbours import literal_call, neighbours

LIMITS = Limits(wall_seconds=20.0, cpu_seconds=20)
SOURCE = "def f(x, times=2):\n    if x > 10:\n        return [x] * times\n    return str(x)"
sandboxed = pytest.mark.skipif(available() is not None, reason=str(available()))


def test_neighbours_are_other_calls_of_the_same_kinds():
    given = ["f([1, 20], 'ab', key=(True, -3.0))", "f([], 'x')"]
    found = neighbours(given, 60, seed=1)
    assert len(found) == len(set(found)) == 60 and not set(found) & set(given)
    assert found == neighbours(given, 60, seed=1) != neighbours(given, 60, seed=2)
    for text in found:
        call = literal_call(ast.parse(text, mode="eval").body, "f")
        numbers, word = map(ast.literal_eval, call.args)
        assert isinstance(word, str)
        assert all(type(number) is int and 0 <= number <= 88 for number in numbers)


@pytest.mark.parametrize("call", ["f()", "f('')", "f([])", "f(None)"])
def test_calls_without_anything_to_change_have_no_neighbours(call):
    assert neighbours([call], 5, seed=0) == []


@sandboxed
def test_usable_calls_give_the_same_literal_each_time():
    calls = ["f(1)", "f(12)", "f('a')", "f(11, times=3)"]
    ordered = "def f(x):\n    return list({'a', 'b', 'c', 'd', x})"
    counting = "seen = []\ndef f(x):\n    seen.append(x)\n    return id(seen)"
    found = usable(
        [
            (SOURCE, calls),
            ("def f(x):\n    while x: pass\n    return x", ["f(0)", "f(1)", "f(0)"]),
            ("def f(x): return object()", ["f(1)"]),
            ("def f(x): return 'long' * x", ["f(1)", "f(1000)"]),
            (counting, ["f(1)"]),
            ("syntax error", ["f(1)"]),
            (ordered, ["sorted(f('e'))"]),
        ],
        LIMITS,
    )
    alone = ["sorted(f('e'))"]
    assert found == [["f(1)", "f(12)", "f(11, times=3)"], ["f(0)"], [], ["f(1)"], [], [], alone]


@sandboxed
def test_values_are_literals_however_many():
    calls = [f"f({n}, times={n % 7})" for n in range(60)]
    names = {}
    exec(SOURCE, names)
    asked = {"many": (SOURCE, calls), "raises": (SOURCE, ["f('a')", "f(2)"])}
    found = values(asked, LIMITS)
    assert found["many"] == [repr(eval(call, names)) for call in calls]
    assert found["raises"] == ["", "'2'"]


@sandboxed
def test_differences_are_told_call_by_call():
    others = {
        "the same otherwise": SOURCE.replace("str(x)", "'%s' % x"),
        "only where nobody looks": SOURCE.replace(">", ">="),
        "in one place": SOURCE.replace("return str(x)", "return str(x) if x != 3 else 3"),
        "never ends": "def f(x, times=2):\n    while True: pass",
        "raises": "def f(x): return 1 / 0",
        "no program": "def",
    }
    calls = ["f(1)", "f(3)", "f(12)", "f('a')", "f(10)", "f(11)"]
    (found,) = compared([Comparison(SOURCE, list(others.values()), calls, 4)], LIMITS)
    everywhere = (frozenset({0, 1, 2}), True)
    assert dict(zip(others, map(tuple, found))) == {
        "the same otherwise": (frozenset(), False),
        "only where nobody looks": (frozenset(), True),
        "in one place": (frozenset({1}), False),
        "never ends": everywhere,
        "raises": everywhere,
        "no program": everywhere,
    }
    assert [one.any for one in found] == [False, True, True, True, True, True]


@sandboxed
def test_a_program_that_ends_the_comparison_tells_nothing():
    hostile = "import os\ndef f(x): os._exit(0)"
    told = compared([Comparison("def f(x): return x", [hostile], ["f(1)"], 1)], LIMITS)
    assert told == [None]
