"""Short definitions cut out of large Python files, for models whose rows hold no whole file.

Only a document that stands whole in its row can be infilled (paper section 2.3). In rows of 4,096
tokens most files do; in a quickstart's 256 hardly any does that is worth infilling.
"""

import ast
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

import gin

from codellama_jax.corpus import filters
from codellama_jax.corpus.deduplicate import DeduplicateSettings, sign
from codellama_jax.corpus.definitions import parse
from codellama_jax.corpus.document import Document
from codellama_jax.corpus.filters import FilterSettings


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class ExcerptSettings:
    """Which definitions are taken.

    Attributes:
      total_bytes: so much of them at most is added to the code; 0 adds none.
      min_bytes, max_bytes: of a definition.
    """

    total_bytes: int = 0
    min_bytes: int = 80
    max_bytes: int = 300


def excerpt_batch(
    documents: Sequence[Document],
    settings: ExcerptSettings,
    limits: FilterSettings,
    signing: DeduplicateSettings,
) -> list[Document]:
    """Signed documents, one a definition, each naming the document it was cut out of."""
    found = []
    for document in documents:
        for line, text in excerpts(document.text, settings):
            if filters.reason_to_drop_code(text, document.path, document.language, limits) is None:
                path = f"{document.path}#L{line}"  # names repeat: a property and its setter
                cut = replace(document, text=text, path=path, parent=document.path)
                found.append(sign(cut, signing))
    return found


def excerpts(source: str, settings: ExcerptSettings) -> list[tuple[int, str]]:
    """First line and dedented text, decorators included, of every definition of fitting size.

    A class that fits is taken whole; of a larger one its methods are.
    """
    tree = parse(source)
    lines = source.splitlines(keepends=True)
    # A form feed or a lone carriage return makes the tree count other lines than splitlines does.
    if tree is None or len(lines) != source.count("\n") + (not source.endswith("\n")):
        return []
    return _fitting(tree.body, lines, settings)


def _fitting(
    body: Sequence[ast.stmt], lines: Sequence[str], settings: ExcerptSettings
) -> list[tuple[int, str]]:
    found = []
    for node in body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        text = textwrap.dedent("".join(lines[first - 1 : node.end_lineno])).rstrip() + "\n"
        if settings.min_bytes <= len(text.encode()) <= settings.max_bytes:
            found.append((first, text))
        elif isinstance(node, ast.ClassDef):
            found += _fitting(node.body, lines, settings)
    return found
