"""Docstrings turned into questions and answers with snippets of the code they describe.

The paper's natural language about code is questions, answers and discussions with snippets.
"""

import hashlib
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import gin

from codellama_jax.corpus.definitions import Definition
from codellama_jax.corpus.document import Document
from codellama_jax.corpus.languages import NL, NL_CODE

_ASK = {
    "class": (
        "What is the class `{name}` of `{module}` for?",
        "When would I use `{name}` from `{module}`, and how is it constructed?",
        "Can someone explain `{module}.{name}`?",
    ),
    "function": (
        "What does `{name}` in `{module}` do?",
        "How do I use `{module}.{name}`, and what does `{signature}` expect?",
        "I came across `{signature}` in `{module}`. What is it for and how does it work?",
    ),
    "method": (
        "What does the method `{name}` of `{module}` do?",
        "How does `{name}` work in `{module}`?",
        "I am reading `{module}` and found `{name}`. What does it do?",
    ),
}
_NOT_PROSE = re.compile(
    r">>>|```|::\n|^ *(:\w+[^:\n]*:|Args:|Arguments:|Returns:|-{4,}|={4,})"
    r"|Licensed under|Copyright",
    re.MULTILINE,
)
_SHOW = ("Its code:", "This is how it is written:", "The implementation:")
_SHOW_START = ("Its code begins:", "The implementation starts like this:", "The first lines:")


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class QuestionSettings:
    """Which docstrings become questions and answers.

    Attributes:
      min_docstring_characters: shorter docstrings say too little.
      max_per_document: questions about one file, whose classes may have a hundred methods.
      snippet_lines: at most so many lines of code are shown.
      min_prose_characters: docstrings of modules and classes of at least so many characters that
        read as prose become natural language.
    """

    min_docstring_characters: int = 60
    max_per_document: int = 6
    snippet_lines: int = 14
    min_prose_characters: int = 300


def module_name(path: str) -> str:
    """Dotted name of the module at a path: "stdlib/json/decoder.py" is "json.decoder"."""
    inside = path.partition("/")[2].removesuffix(".py").removesuffix("/__init__")
    return inside.replace("/", ".")


def question(
    definition: Definition, document: Document, settings: QuestionSettings
) -> Document | None:
    """A question about a definition and its answer; None when its docstring says too little."""
    if len(definition.docstring) < settings.min_docstring_characters:
        return None
    path = f"{document.path}#{definition.name}"
    choice = _choice(path)
    asks = _ASK[definition.kind]
    ask = asks[choice % len(asks)].format(
        name=definition.name, module=module_name(document.path), signature=definition.signature
    )
    answer = [f"Question: {ask}", f"Answer: {definition.docstring}"]
    if definition.code is not None:
        lines = definition.code.rstrip().split("\n")
        shows = _SHOW if len(lines) <= settings.snippet_lines else _SHOW_START
        snippet = "\n".join(lines[: settings.snippet_lines]).rstrip()
        answer.append(f"{shows[choice // 7 % len(shows)]}\n\n{textwrap.indent(snippet, '    ')}")
    text = "\n\n".join(answer) + "\n"
    return Document(text, path, "english", NL_CODE, document.license, parent=document.path)


def choose(definitions: Sequence[Definition], path: str, limit: int) -> list[Definition]:
    """At most `limit` of a file's definitions, drawn by their names, in file order."""
    drawn = sorted(definitions, key=lambda d: _choice(f"{path}#{d.name}"))[:limit]
    return [definition for definition in definitions if definition in drawn]


def _choice(path: str) -> int:
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:4], "big")


def prose(
    docstring: str, name: str, document: Document, settings: QuestionSettings
) -> Document | None:
    """A docstring as natural language; None when it is short, a form or mostly about code."""
    if len(docstring) < settings.min_prose_characters or _NOT_PROSE.search(docstring):
        return None
    path = f"{document.path}#{name}"
    text = docstring.strip() + "\n"
    return Document(text, path, "english", NL, document.license, parent=document.path)
