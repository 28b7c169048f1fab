"""Cuts large Python files at their definitions, for models whose rows hold no whole file.

Only a document that stands whole in its row can be infilled (paper section 2.3). In rows of 4,096
tokens most files do; in the 512 of a quickstart hardly any that is worth infilling does. Cut at its
definitions, a file of any size gives documents that fit: functions, methods, small classes.
"""

import ast
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import gin

from codellama_jax.corpus import filters
from codellama_jax.corpus.deduplicate import DeduplicateSettings, sign
from codellama_jax.corpus.definitions import parse
from codellama_jax.corpus.document import Document
from codellama_jax.corpus.filters import FilterSettings
from codellama_jax.corpus.load import Outcome


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class DivideSettings:
    """Which Python files are cut, and into what.

    Attributes:
      fraction: of the Python files larger than `max_bytes`; 0 leaves every file whole.
      max_bytes: a class larger than this is cut at its methods.
      min_bytes: a smaller piece is joined to the one behind it.
    """

    fraction: float = 0.0
    max_bytes: int = 700
    min_bytes: int = 120


def chosen(documents: Sequence[Document], settings: DivideSettings, seed: int) -> set[str]:
    """Paths of the documents to cut, drawn by path, whatever else is among them."""
    return {
        d.path
        for d in documents
        if d.size > settings.max_bytes
        and random.Random(f"{seed}/divide/{d.path}").random() < settings.fraction
    }


def divide_batch(
    documents: Sequence[Document],
    settings: DivideSettings,
    limits: FilterSettings,
    signing: DeduplicateSettings,
) -> list[Outcome]:
    """What became of each piece; one outcome for a document that cannot be cut."""
    outcomes = []
    for document in documents:
        pieces = divide(document.text, settings)
        if not pieces:
            reason = "cannot be cut: not this Python's syntax"
            outcomes.append(Outcome(document.path, document.size, reason=reason))
        for number, text in enumerate(pieces):
            path = f"{document.path}#{number}"
            piece = replace(document, text=text, path=path, parent=document.path)
            reason = filters.reason_to_drop_code(text, path, document.language, limits)
            made = None if reason else sign(piece, signing)
            outcomes.append(Outcome(path, piece.size, document=made, reason=reason))
    return outcomes


def divide(text: str, settings: DivideSettings) -> list[str]:
    """Consecutive pieces of a file that together are the file; none when it does not parse.

    A cut stands before a definition, its decorators and the comments right above it.
    """
    tree = parse(text)
    lines = text.splitlines(keepends=True)
    # A form feed or a lone carriage return makes the tree count other lines than splitlines does.
    if tree is None or len(lines) != text.count("\n") + (not text.endswith("\n")):
        return []
    cuts = _cuts(tree.body, lines, settings.max_bytes)
    bounds = [0, *sorted(set(cuts) - {0}), len(lines)]
    pieces: list[str] = []
    waiting = ""
    for start, stop in zip(bounds, bounds[1:]):
        waiting += "".join(lines[start:stop])
        if len(waiting.encode()) >= settings.min_bytes:
            pieces.append(waiting)
            waiting = ""
    if waiting and pieces:
        pieces[-1] += waiting
    return pieces


def _cuts(body: Sequence[ast.stmt], lines: Sequence[str], max_bytes: int) -> list[int]:
    """Numbers of the lines before which definitions begin."""
    cuts = []
    for node in body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
        while first and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        cuts.append(first)
        size = sum(len(line.encode()) for line in lines[first : node.end_lineno])
        if isinstance(node, ast.ClassDef) and size > max_bytes:
            cuts += _cuts(node.body, lines, max_bytes)
    return cuts
