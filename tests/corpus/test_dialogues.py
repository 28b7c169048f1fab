import ast

import pytest

from codellama_jax.corpus.definitions import definitions, parse
from codellama_jax.corpus.derive import DeriveSettings, derive
from codellama_jax.corpus.dialogues import DialogueSettings, dialogue, doctest_assertions
from codellama_jax.corpus.document import Document
from codellama_jax.corpus.questions import module_name

SOURCE = '''"""Helpers."""
import os


def clamp(value: int, low: int = 0,
          high: int = 9) -> int:
    """Limit a value to the closed interval from low to high.

    The bounds are inclusive:

    >>> clamp(12)
    9
    >>> clamp(-3, low=-1)
    -1
    >>> clamp(os.getpid())
    9
    >>> x = clamp(3)
    >>> sorted([clamp(i) for i in (3, 1)])
    [1, 3]
    >>> clamp(4) > 3
    True

    Args:
      value: any integer.
    """

    # keep the order
    return max(low, min(value, high))


@staticmethod
def decorated():
    """This one has a decorator and must not become a dialogue at all."""
    return 1


def only_a_docstring():
    """This one has nothing but a docstring, so there is nothing to write."""


def one_line(): """All of this stands on a single line of the file."""; return 2


class Box:
    """A box that holds one thing and gives it back on demand, whatever it is."""

    def open(self, key="é"):
        """Open the box with a key and return what has been inside all the time."""
        return self.thing


async def fetch(url):
    """Fetch the resource at a URL and return what the server has sent back."""
    return await get(url)
'''
DOCUMENT = Document(SOURCE, "lib/tools/box.py", "python", "code", "MIT")


def found():
    return {d.name: d for d in definitions(SOURCE, parse(SOURCE))}


def test_definitions_of_a_file():
    assert list(found()) == [
        "clamp",
        "decorated",
        "only_a_docstring",
        "one_line",
        "Box",
        "Box.open",
        "fetch",
    ]
    clamp = found()["clamp"]
    assert clamp.signature == "clamp(value: int, low: int=0, high: int=9) -> int"
    assert clamp.code.split("\n")[2] == "    # keep the order"
    assert '"""' not in clamp.code and ast.parse(clamp.code)
    assert found()["one_line"].code is None and found()["only_a_docstring"].code is None
    assert found()["Box.open"].source.startswith("def open(self")


def test_doctests_become_assertions_that_need_only_the_function():
    tests = doctest_assertions(found()["clamp"])
    assert tests == [
        "assert clamp(12) == 9",
        "assert clamp(-3, low=-1) == -1",
        "assert sorted([clamp(i) for i in (3, 1)]) == [1, 3]",
        "assert (clamp(4) > 3) == True",
    ]
    scope = {}
    exec(found()["clamp"].code, scope)
    for test in tests:
        exec(test, scope)


def test_dialogue_with_tests_asks_for_the_function():
    made = dialogue(found()["clamp"], DOCUMENT, DialogueSettings())
    user, assistant = made.messages
    assert (user["role"], assistant["role"]) == ("user", "assistant")
    assert "clamp(value: int" in user["content"] and "Limit a value" in user["content"]
    assert user["content"].endswith("assert clamp(12) == 9")
    assert assistant["content"] == found()["clamp"].code.rstrip()
    assert made.parent == DOCUMENT.path and made.license == "MIT"
    assert set(made.record()) == {"messages", "tests", "path", "language", "source", "license"}


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_both_kinds(fraction):
    made = dialogue(found()["fetch"], DOCUMENT, DialogueSettings(explain_fraction=fraction))
    user, assistant = (message["content"] for message in made.messages)
    explanation = "Fetch the resource at a URL and return what the server has sent back."
    if fraction:
        assert found()["fetch"].code.rstrip() in user and assistant == explanation
    else:
        assert explanation in user and assistant == found()["fetch"].code.rstrip()


def test_unsuitable_functions_give_none():
    for name in ("decorated", "only_a_docstring", "one_line", "Box", "Box.open"):
        assert dialogue(found()[name], DOCUMENT, DialogueSettings()) is None
    assert dialogue(found()["clamp"], DOCUMENT, DialogueSettings(max_lines=2)) is None
    assert dialogue(found()["fetch"], DOCUMENT, DialogueSettings(min_task_characters=99)) is None


def test_questions_show_the_code_and_keep_their_parent():
    made = [d for d in derive(DOCUMENT, DeriveSettings()) if d.source == "nl_code"]
    assert made and all(d.parent == DOCUMENT.path and d.signature is not None for d in made)
    by_path = {d.path: d.text for d in made}
    text = by_path["lib/tools/box.py#clamp"]
    assert text.startswith("Question: ") and "\n\nAnswer: Limit a value" in text
    assert "    def clamp(value: int" in text
    assert module_name("lib/tools/__init__.py") == "tools"


@pytest.mark.parametrize("broken", ["def f(:\n", "x = '\ud800'\n", "(" * 300 + ")" * 300])
def test_files_that_do_not_parse_give_nothing(broken):
    assert derive(Document(broken, "a/b.py", "python", "code"), DeriveSettings()) == []
