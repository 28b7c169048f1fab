"""Documented functions and classes of a Python file, as its syntax tree shows them."""

import ast
import inspect
import textwrap
import warnings
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """A function, method or class with a docstring.

    Attributes:
      name: qualified within its module: "Decoder.decode".
      kind: "function", "method" or "class".
      signature: "decode(self, text: str) -> list", or the class's name and bases.
      docstring: cleaned of its indentation.
      source: its lines without decorators, dedented, docstring included.
      code: the same without the docstring; None when nothing but the docstring is in it.
      plain: whether it has no decorators.
    """

    name: str
    kind: str
    signature: str
    docstring: str
    source: str
    code: str | None
    plain: bool


def parse(source: str) -> ast.Module | None:
    """The file's tree; None when this Python cannot parse it (an example of an error, say)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def definitions(source: str, tree: ast.Module) -> list[Definition]:
    """Documented definitions at the top level and directly inside its classes, in file order."""
    lines = source.split("\n")
    found = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found += _described(node, lines, "", "class")
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    found += _described(inner, lines, f"{node.name}.", "method")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found += _described(node, lines, "", "function")
    return found


def _described(
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
    lines: list[str],
    prefix: str,
    kind: str,
) -> list[Definition]:
    first = node.body[0]
    if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)):
        return []
    docstring = first.value.value
    # A form feed or a lone carriage return makes the tree count other lines than split does.
    if not isinstance(docstring, str) or (node.end_lineno or 0) > len(lines):
        return []
    head = lines[node.lineno - 1 : first.lineno - 1]
    body = lines[first.end_lineno : node.end_lineno]
    while body and not body[0].strip():
        body = body[1:]
    # A docstring that shares its line with other code cannot be cut out by lines.
    shared = first.lineno == node.lineno or (
        len(node.body) > 1 and node.body[1].lineno == first.end_lineno
    )
    code = None
    if head and len(node.body) > 1 and not shared:
        code = textwrap.dedent("\n".join(head + body))
    return [
        Definition(
            name=prefix + node.name,
            kind=kind,
            signature=_signature(node),
            docstring=inspect.cleandoc(docstring).strip(),
            source=textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno])),
            code=code,
            plain=not node.decorator_list,
        )
    ]


def _signature(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(map(ast.unparse, node.bases))
        return f"{node.name}({bases})" if bases else node.name
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(node.args)}){returns}"
