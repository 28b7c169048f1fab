"""Functions of Python libraries, and calls of them in doctests, tests and other code."""

import ast
import random
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from codellama_jax.corpus.collect import CollectSettings, collect, label_roots
from codellama_jax.corpus.definitions import parse
from codellama_jax.corpus.document import Candidate
from codellama_jax.corpus.drops import Drops
from codellama_jax.instruct.known_problems import Draft
from codellama_jax.instruct.neighbours import literal_call, neighbours
from codellama_jax.instruct.slices import Slice, slices
from codellama_jax.instruct.teacher import seed_of

_DEFINED = re.compile(r"^def ([a-z]\w*)\(", re.MULTILINE)
_CALLED = re.compile(r"(?<!def )\b([a-z]\w*)\(\s*(?=[\d\[({\"'.-]|[bru][\"']|True|False|None)")
_CALL_CHARACTERS = 200  # of a call that is looked at
_GIVEN, _TRIED = 30, 300  # calls of a function that are taken, and that are looked at
_TASK_CHARACTERS = (25, 500)


class _Found(NamedTuple):
    """A function that runs alone, where it is from, and its calls that are written somewhere."""

    of: Slice
    origin: str
    task: str
    given: list[str]


def library_drafts(roots: Sequence[str] | None, calls: int, seed: int) -> Iterator[Draft]:
    """A question a function that runs on its own and that something calls with literals.

    A question's calls are those that the function's library has (in doctests, in asserts of its
    tests, anywhere), and neighbours of these.

    Args:
      roots: directories of Python; None for what the quickstart's corpus is drawn from, by gin's
        `CollectSettings`.
      calls: of a function.
      seed: of the neighbours, and of the order, which mixes the libraries.
    """
    packages: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in collect(label_roots(roots), CollectSettings(), Drops()):
        if candidate.language == "python" and candidate.file.endswith(".py"):
            label = candidate.package.partition("/")[0]
            # The tests of all of the standard library are one package of it.
            whole = roots is not None or label == "stdlib"
            packages[label if whole else candidate.package].append(candidate)
    sources: dict[str, _Found] = {}
    for name in sorted(packages):
        for found in _of_package(packages[name]):
            sources.setdefault(found.of.source, found)
    shuffled = list(sources.values())
    random.Random(seed).shuffle(shuffled)
    for of, origin, task, given in shuffled:
        more = neighbours(given, calls - len(given), seed_of(seed, origin))
        question = f"Write a Python function `{of.definition.signature}`: {task}"
        yield Draft(question, of.definition.name, of.source, [*given, *more], origin)


def _of_package(files: Sequence[Candidate]) -> Iterator[_Found]:
    texts = {of.path: text for of in files if (text := _read(of.file))}
    defined = {path: set(_DEFINED.findall(text)) for path, text in texts.items()}
    given = _calls(texts, set().union(*defined.values()) if defined else set())
    for path, names in defined.items():
        if names.isdisjoint(given) or (tree := parse(texts[path])) is None:
            continue
        for of in slices(texts[path], tree):
            name = of.definition.name
            task = " ".join(of.definition.docstring.split("\n\n")[0].split())
            least, most = _TASK_CHARACTERS
            if name in given and ">>>" not in task and least <= len(task) <= most:
                yield _Found(of, f"{path}#{name}", task, given[name])


def _read(file: str) -> str | None:
    try:
        with open(file, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError):
        return None


def _calls(texts: Mapping[str, str], names: set[str]) -> dict[str, list[str]]:
    """Of each function the calls with literals that are written somewhere, as they are parsed."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    tried: Counter[str] = Counter()
    for text in texts.values():
        for match in _CALLED.finditer(text):
            name = match[1]
            if name in names and len(found[name]) < _GIVEN and tried[name] < _TRIED:
                tried[name] += 1
                written = text[match.start(1) : match.start(1) + _CALL_CHARACTERS]
                if (call := _whole_call(written, name)) is not None:
                    found[name][call] = None
    return {name: list(calls) for name, calls in found.items() if calls}


def _whole_call(text: str, name: str) -> str | None:
    """The call that a text begins with, if its arguments are literals."""
    end = text.find(")")
    while end >= 0:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call = ast.parse(text[: end + 1], mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            end = text.find(")", end + 1)
            continue
        found = literal_call(call, name)
        return ast.unparse(found) if found and (found.args or found.keywords) else None
    return None
