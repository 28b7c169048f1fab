"""Functions of Python files that run on their own: with what they need of their module."""

import ast
import builtins
from collections.abc import Iterator
from typing import NamedTuple

from codellama_jax.corpus.definitions import Definition, definitions

# Of the standard library, what only computes: a function that needs another module may need files,
# a clock or chance.
_COMPUTING = (
    "__future__ abc array ast base64 binascii bisect calendar cmath codecs collections"
    " collections.abc colorsys copy dataclasses datetime decimal difflib enum fnmatch fractions"
    " functools hashlib heapq html io ipaddress itertools json keyword locale math ntpath numbers"
    " operator posixpath re reprlib shlex statistics string stringprep struct textwrap token"
    " tokenize types typing unicodedata urllib.parse warnings weakref zlib"
)
_NOT_ALONE = (
    "open input print exec eval compile id hash globals locals vars __import__ __file__ __name__"
    " breakpoint exit quit memoryview"
)
_LINES = (3, 120)  # of a function and of all that it needs

Statement = ast.stmt


class Slice(NamedTuple):
    """A function that runs on its own.

    Attributes:
      definition: its name, docstring and own source.
      source: a program: imports, constants and functions that it needs, and itself at the end.
    """

    definition: Definition
    source: str


def slices(text: str, tree: ast.Module) -> Iterator[Slice]:
    """The documented functions at a file's top level that need nothing but what only computes."""
    made: dict[str, list[Statement]] = {}
    for node in tree.body:
        for name in _bound(node):
            made.setdefault(name, []).append(node)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for definition in definitions(text, tree):
        node = functions.get(definition.name)
        if definition.kind != "function" or node is None or not definition.plain:
            continue
        needed = _needed(node, made)
        if needed is None:
            continue
        ordered = [of for of in tree.body if of in needed and of is not node]
        source = "\n\n".join(map(ast.unparse, [*map(_bare, ordered), _bare(node)]))
        least, most = _LINES
        if len(ast.unparse(_bare(node)).split("\n")) >= least and source.count("\n") < most:
            yield Slice(definition, source)


def _bound(node: Statement) -> list[str]:
    """Names that a statement of a module makes."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(of.asname or of.name).partition(".")[0] for of in node.names]
    return [
        of.id
        for of in ast.walk(node)
        if isinstance(of, ast.Name) and isinstance(of.ctx, ast.Store | ast.Del)
    ]


def _needed(node: Statement, made: dict[str, list[Statement]]) -> set[Statement] | None:
    """The statements that a function needs, itself among them; None if it does not run alone."""
    needed, waiting = {node}, [node]
    while waiting:
        one = waiting.pop()
        if not _computes(one):
            return None
        if isinstance(one, ast.Import | ast.ImportFrom):
            continue
        for name in _free(one):
            if name in _NOT_ALONE.split():
                return None
            if name not in made:
                if not hasattr(builtins, name):
                    return None
                continue
            # Made twice, or where something is decided, it is what only the module's run can tell.
            if len(made[name]) != 1 or not isinstance(made[name][0], _PLAIN):
                return None
            if made[name][0] not in needed:
                needed.add(made[name][0])
                waiting.append(made[name][0])
    return needed


_PLAIN = (
    ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign
)  # fmt: skip


def _computes(node: Statement) -> bool:
    """Whether whatever it imports only computes."""
    modules = _COMPUTING.split()
    for of in ast.walk(node):
        if isinstance(of, ast.Import) and not all(name.name in modules for name in of.names):
            return False
        if isinstance(of, ast.ImportFrom) and (of.level or of.module not in modules):
            return False
    return True


def _free(node: Statement) -> set[str]:
    """Names that a statement uses and does not make itself."""
    nodes = list(ast.walk(node))
    used = {of.id for of in nodes if isinstance(of, ast.Name) and isinstance(of.ctx, ast.Load)}
    used |= {name for of in nodes if isinstance(of, ast.Global) for name in of.names}
    own = {of.arg for of in nodes if isinstance(of, ast.arg)}
    own |= {of.id for of in nodes if isinstance(of, ast.Name) and not isinstance(of.ctx, ast.Load)}
    own |= {of.name for of in nodes if isinstance(of, ast.FunctionDef | ast.ClassDef)}
    own |= {of.name for of in nodes if isinstance(of, ast.ExceptHandler) and of.name}
    for of in nodes:
        if isinstance(of, ast.Import | ast.ImportFrom):
            own |= {(name.asname or name.name).partition(".")[0] for name in of.names}
    return used - own


def _bare(node: Statement) -> Statement:
    """A function without its docstring and annotations, which may need what is not there."""
    if not isinstance(node, ast.FunctionDef):
        return node
    copied = ast.parse(ast.unparse(node)).body[0]
    for of in ast.walk(copied):
        if isinstance(of, ast.FunctionDef):
            of.returns = None
            if len(of.body) > 1 and ast.get_docstring(of) is not None:
                of.body = of.body[1:]
        if isinstance(of, ast.arg):
            of.annotation = None
    return copied
