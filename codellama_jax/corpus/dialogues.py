"""Instruct dialogues made from the corpus: docstring to function, function to explanation."""

import ast
import builtins
import doctest
import hashlib
import re
from dataclasses import dataclass

import gin

from codellama_jax.corpus.definitions import Definition
from codellama_jax.corpus.document import Document
from codellama_jax.corpus.languages import DIALOGUES

_WRITE = (
    "Write a Python function `{signature}`: {task}",
    "Implement the Python function `{signature}`. It does the following: {task}",
    "I need a Python function with the signature `{signature}`. {task}",
    "Please write `{signature}` in Python. {task}",
)
_EXPLAIN = (
    "What does this function do?\n```python\n{code}\n```",
    "Explain this Python function.\n```python\n{code}\n```",
    "```python\n{code}\n```\nDescribe what the function `{name}` does.",
    "Write a docstring for this function.\n```python\n{code}\n```",
)
_LOOSE = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.IfExp, ast.Lambda)
_EXAMPLE = "\nYour code should pass this test:\n{test}"
_FIELDS = re.compile(
    r"^\s*([:@](param|type|rtype|returns?|raises?|arg)\b|\.\. |(Args|Arguments|Parameters|Returns?"
    r"|Yields|Raises|Examples?|Example usage|Usage|Notes?|References|See Also|Attributes|Inputs?"
    r"|Outputs?|Keyword arguments)\b[^\n:]{0,12}(:|\n\s*[-=~]{3,}))",
    re.MULTILINE | re.IGNORECASE,
)


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class DialogueSettings:
    """Which functions become dialogues.

    Attributes:
      max_lines, min_lines: of the function without its docstring.
      min_task_characters, max_task_characters: of the docstring's first paragraph.
      max_explanation_characters: of the paragraphs given as an explanation.
      explain_fraction: of the functions without doctests that are explained rather than asked for.
    """

    max_lines: int = 30
    min_lines: int = 2
    min_task_characters: int = 25
    max_task_characters: int = 500
    max_explanation_characters: int = 800
    explain_fraction: float = 0.4


def dialogue(
    definition: Definition, document: Document, settings: DialogueSettings
) -> Document | None:
    """A question about a top-level function and its answer; None when it is unsuitable.

    Each function gives one dialogue: two about the same code would be near duplicates.
    """
    code = definition.code
    if definition.kind != "function" or code is None or not definition.plain:
        return None
    code = code.rstrip()
    first = definition.docstring.split("\n\n")[0]
    task = " ".join(first.split())
    if not settings.min_lines <= code.count("\n") + 1 <= settings.max_lines:
        return None
    if not settings.min_task_characters <= len(task) <= settings.max_task_characters:
        return None
    if ">>>" in task or _FIELDS.search(first):
        return None
    if not _compiles(code):
        return None
    path = f"{document.path}#{definition.name}"
    digest = hashlib.sha256(path.encode()).digest()
    choice = int.from_bytes(digest[:4], "big")
    tests = doctest_assertions(definition)
    if not tests and digest[4] < 256 * settings.explain_fraction:
        question = _EXPLAIN[choice % len(_EXPLAIN)].format(code=code, name=definition.name)
        answer = _explanation(definition.docstring, settings.max_explanation_characters)
    else:
        question = _WRITE[choice % len(_WRITE)].format(signature=definition.signature, task=task)
        if tests:
            question += _EXAMPLE.format(test=tests[0])
        answer = code
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return Document(
        text=f"{question}\n\n{answer}",
        path=path,
        language="python",
        source=DIALOGUES,
        license=document.license,
        parent=document.path,
        messages=messages,
        tests=tests,
    )


def doctest_assertions(definition: Definition) -> list[str]:
    """The docstring's examples as assertions, those that need nothing but the function itself.

    An example counts when it is one expression over the function and builtins and its expected
    output is a Python literal. They are not run here: the code is other people's.
    """
    try:
        examples = doctest.DocTestParser().get_examples(definition.docstring)
    except ValueError:
        return []
    assertions = []
    for example in examples:
        expression, want = example.source.strip(), example.want.strip()
        if not want or example.exc_msg or "\n" in expression or example.options:
            continue
        try:
            tree = ast.parse(expression, mode="eval")
            ast.literal_eval(want)
            value = ast.unparse(ast.parse(want, mode="eval"))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        stored = {
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        if definition.name in names and all(
            name == definition.name or hasattr(builtins, name) or name in bound | stored
            for name in names
        ):
            # `a > b == True` would be a chain of comparisons.
            left = f"({expression})" if isinstance(tree.body, _LOOSE) else expression
            assertions.append(f"assert {left} == {value}")
    return list(dict.fromkeys(assertions))


def _explanation(docstring: str, limit: int) -> str:
    """Whole paragraphs from the top, until a list of fields, an example or the limit."""
    kept: list[str] = []
    for paragraph in docstring.split("\n\n"):
        if ">>>" in paragraph or _FIELDS.match(paragraph):
            break
        if kept and sum(map(len, kept)) + len(paragraph) > limit:
            break
        kept.append(paragraph.rstrip())
    if len(kept) > 1 and kept[-1].endswith(":"):
        kept.pop()  # It announces what was left out.
    return "\n\n".join(kept)


def _compiles(code: str) -> bool:
    try:
        compile(code, "<dialogue>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
