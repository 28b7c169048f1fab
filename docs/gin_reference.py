"""Writes gin_reference.md: every configurable, its parameters, defaults and meanings.

All of it is read from the source without importing it: decorators, signatures, and the Args or
Attributes of the docstrings. `make reference` runs this; tests/test_gin_reference.py keeps it true.
"""

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "codellama_jax"
PAGE = ROOT / "docs/gin_reference.md"
_ENTRY = re.compile(r"( *)(\w+(?:, \w+)*): ?(.*)")
_HEAD = """# Gin reference

Every parameter that a configuration may set, by room. `NAME.PARAMETER = VALUE` stands in a gin
file or behind `--gin_bindings`; a scope before it, `code/NAME.PARAMETER`, sets it in that phase
alone. "Required" has no default. `make reference` writes this page from the docstrings.
"""


class File(NamedTuple):
    """A module of the package, as text and parsed."""

    text: str
    tree: ast.Module


Classes = dict[str, tuple[ast.ClassDef, File]]


@dataclasses.dataclass(frozen=True)
class Parameter:
    """What gin may set: its name, its default as the source has it, its meaning or ""."""

    name: str
    default: str
    meaning: str


@dataclasses.dataclass(frozen=True)
class Configurable:
    """Something that gin knows, by the name that it has in a gin file.

    Attributes:
      name: with gin's module before it, where it has one.
      path: of its file, relative to the package.
      summary: first paragraph of the docstring.
      parameters: those that gin may set: all fields of a dataclass, else the arguments with a
        default, but for those that its decorator denies; the others are the caller's.
    """

    name: str
    path: str
    summary: str
    parameters: list[Parameter]


def configurables() -> list[Configurable]:
    """All of the package, by room, file and place in it."""
    files = {path: _parsed(path) for path in sorted(PACKAGE.rglob("*.py"))}
    classes = {
        node.name: (node, file)
        for file in files.values()
        for node in file.tree.body
        if isinstance(node, ast.ClassDef)
    }
    found = []
    for path, file in files.items():
        for node in file.tree.body:
            for decorator in getattr(node, "decorator_list", ()):
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                if ast.unparse(called) != "gin.configurable":
                    continue
                given = {
                    word.arg: ast.literal_eval(word.value)
                    for word in getattr(decorator, "keywords", ())
                }
                name = f"{given['module']}.{node.name}" if "module" in given else node.name
                summary = _docstring(node).split("\n\n")[0]
                summary = "" if summary.startswith(("Attributes:", "Args:")) else summary
                parameters = [
                    parameter
                    for parameter in _parameters(node, file, classes)
                    if parameter.name not in given.get("denylist", ())
                ]
                place = path.relative_to(PACKAGE).as_posix()
                found.append(Configurable(name, place, " ".join(summary.split()), parameters))
    return found


def reference() -> str:
    """The page."""
    parts = [_HEAD]
    room = ""
    for one in configurables():
        if (own := one.path.partition("/")[0]) != room:
            room = own
            parts.append(f"## {room}\n")
        parts.append(f"### {one.name}\n")
        told = f"{one.summary} " if one.summary else ""
        parts.append(f"{_cell(told)}(`codellama_jax/{one.path}`)\n")
        if one.parameters:
            rows = [f"| `{p.name}` | {_default(p)} | {_cell(p.meaning)} |" for p in one.parameters]
            parts.append("\n".join(["| parameter | default | |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def _parsed(path: Path) -> File:
    text = path.read_text()
    return File(text, ast.parse(text))


def _parameters(node: ast.stmt, file: File, classes: Classes) -> Iterator[Parameter]:
    """What gin may set; fields of base classes first, unless the class has its own."""
    meanings: dict[str, str] = {}
    values: dict[str, str] = {}
    for own, its_file in _with_bases(node, file, classes):
        meanings |= _meanings(_docstring(own))
        for name, value in _defaults(own):
            values[name] = _written(value, its_file)
    for name, default in values.items():
        yield Parameter(name, default, meanings.get(name, ""))


def _with_bases(node: ast.stmt, file: File, classes: Classes) -> Iterator[tuple[ast.stmt, File]]:
    for base in getattr(node, "bases", ()):
        if (name := ast.unparse(base)) in classes:
            yield from _with_bases(*classes[name], classes)
    yield node, file


def _defaults(node: ast.stmt) -> Iterator[tuple[str, ast.expr | None]]:
    """Names and defaults of a function, of a class's __init__, or of a dataclass's fields."""
    if isinstance(node, ast.ClassDef):
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not made:
            for field in node.body:
                if isinstance(field, ast.AnnAssign):
                    yield ast.unparse(field.target), field.value
            return
        node = made[0]
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    for argument, value in zip(with_default, arguments.defaults):
        yield argument.arg, value
    for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults):
        if value is not None:
            yield argument.arg, value


def _written(value: ast.expr | None, file: File) -> str:
    """A default as the source writes it; a constant by its value."""
    if value is None:
        return "gin.REQUIRED"
    if isinstance(value, ast.Call) and ast.unparse(value.func) in ("field", "dataclasses.field"):
        ((_, value),) = [(k.arg, k.value) for k in value.keywords]
        return f"{ast.unparse(value)}()" if isinstance(value, ast.Name) else ast.unparse(value)
    for line in file.tree.body if isinstance(value, ast.Name) else ():
        if isinstance(line, ast.ImportFrom) and value.id in [name.name for name in line.names]:
            return _written(value, _parsed(ROOT / f"{line.module.replace('.', '/')}.py"))
        targets = getattr(line, "targets", None) or [getattr(line, "target", None)]
        if any(isinstance(t, ast.Name) and t.id == value.id for t in targets):
            return _written(line.value, file)
    return " ".join(ast.get_source_segment(file.text, value).split())


def _docstring(node: ast.stmt) -> str:
    return inspect.cleandoc(ast.get_docstring(node) or "")


def _meanings(docstring: str) -> dict[str, str]:
    """What Args and Attributes say of each name."""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    inside, depth = False, None
    for line in docstring.splitlines():
        if re.fullmatch(r"(Args|Attributes|Returns|Raises|Yields):", line):
            inside, depth, names = line in ("Args:", "Attributes:"), None, []
            continue
        if not inside or not line.strip():
            continue
        entry = _ENTRY.fullmatch(line)
        if entry and depth in (None, len(entry[1])):
            depth, names = len(entry[1]), entry[2].split(", ")
            found |= {name: [entry[3]] for name in names}
        elif line.startswith(" " * ((depth or 0) + 1)):
            for name in names:
                found[name].append(line.strip())
        else:
            inside = False
    return {name: " ".join(part for part in parts if part) for name, parts in found.items()}


def _default(parameter: Parameter) -> str:
    if parameter.default == "gin.REQUIRED":
        return "required"
    if re.search(r"\b_[A-Z]", parameter.default):
        return "a list in the file"
    shown = parameter.default if len(parameter.default) <= 100 else parameter.default[:97] + "…"
    fence = "``" if "`" in shown else "`"
    return f"{fence}{shown}{fence}".replace("|", "\\|")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text


if __name__ == "__main__":
    PAGE.write_text(reference())
    print(f"wrote {PAGE.relative_to(ROOT)}")
