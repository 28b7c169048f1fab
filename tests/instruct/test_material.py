"""Questions made of the functions of a library."""

import pytest

from codellama_jax.evaluation.sandbox import Limits, available
from codellama_jax.instruct.known_problems import problems_of
from codellama_jax.instruct.material import library_drafts

MODULE = '''
import os
import re
from functools import reduce as fold
from . import other

SPACES = re.compile(r" +")
_LOUD = "!" * 2
if os.sep == "/":
    PLACE = "here"


def _words(text):
    """Cuts."""
    return SPACES.split(text.strip())


def longest(text: str, least: "int" = 2) -> str:
    """Return the longest word of a text, or the first of them.

    >>> longest("a bcd ef")
    'bcd'
    """
    found = [word for word in _words(text) if len(word) >= least]
    return fold(lambda one, two: two if len(two) > len(one) else one, found, "")


def shout(text):
    """Return a text in capital letters and exclaimed."""
    loud = text.upper()
    return loud + _LOUD


def placed(text):
    """Return a text behind the place where this was decided."""
    place = PLACE
    return place + text


def listed(path):
    """Return the sorted names of what is in a directory."""
    names = os.listdir(path)
    return sorted(names)


def never_called(text):
    """Return a text twice, with a space between the two."""
    twice = text + " " + text
    return twice


longest("Not a test (", PLACE)
'''
TESTS = """
from pkg import module

class Tests:
    def test_shout(self):
        self.assertEqual(module.shout("ab, (c)"), "AB, (C)!!")
        assert module.shout(some_text) and module.placed("x") and module.listed(".")
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/module.py").write_text(MODULE)
    (tmp_path / "pkg/test_module.py").write_text(TESTS)
    return str(tmp_path)


def test_functions_that_run_alone_come_with_what_they_need_and_calls_of_them(root):
    drafts = {draft.name: draft for draft in library_drafts([root], 100, seed=0)}
    assert set(drafts) == {"longest", "shout"}
    longest, shout = drafts["longest"], drafts["shout"]
    assert longest.calls[0] == "longest('a bcd ef')" and len(set(longest.calls)) == 100
    assert shout.calls[0] == "shout('ab, (c)')"
    assert longest.question == (
        "Write a Python function `longest(text: str, least: 'int'=2) -> str`: Return the longest"
        " word of a text, or the first of them."
    )
    assert "os" not in shout.solution and "Cuts" not in longest.solution
    names = {}
    exec(longest.solution, names)
    assert names["longest"]("a bcd ef") == "bcd"
    assert list(drafts.values()) == list(library_drafts([root], 100, seed=0))


@pytest.mark.skipif(available() is not None, reason=str(available()))
def test_they_become_problems_of_calls_that_work(root):
    limits = Limits(wall_seconds=20.0, cpu_seconds=20)
    drafts = list(library_drafts([root], 100, seed=0))
    found = {problem.name: problem for problem in problems_of(drafts, limits)}
    assert set(found) == {"longest", "shout"}
    for problem in found.values():
        names = {}
        exec(problem.solution, names)
        for call in problem.calls:
            assert isinstance(eval(call, names), str)
        assert len(problem.calls) > 50
        assert problem.origin.endswith(f"pkg/module.py#{problem.name}")
