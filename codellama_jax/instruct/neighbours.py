"""Calls like those that are given, with other arguments."""

import ast
import copy
import random
from collections.abc import Callable, Sequence

_TRIES = 8  # for each call that is wanted


def literal_call(node: ast.AST, name: str | None = None) -> ast.Call | None:
    """A call `name(literals)`, of whatever function unless named; None for anything else."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return None
    if name is not None and node.func.id != name:
        return None
    if any(word.arg is None for word in node.keywords):
        return None
    try:
        for value in (*node.args, *(word.value for word in node.keywords)):
            ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return node


def neighbours(calls: Sequence[str], count: int, seed: int) -> list[str]:
    """So many calls or fewer, all different, that come from these by small changes to a literal.

    A changed call may be changed again. Types, the signs of numbers and the keys of dictionaries
    stay, as do numbers within four times the largest: most functions are defined there.

    Args:
      calls: sources of `name(literals)`.
    """
    r = random.Random(seed)
    texts = list(dict.fromkeys(ast.unparse(ast.parse(call)) for call in calls))
    known, given = set(texts), len(texts)
    largest = 4 * max((n for text in texts for n in _whole(text)), default=0) + 8
    for _ in range(_TRIES * count if texts else 0):
        if len(texts) - given >= count:
            break
        other = ast.parse(r.choice(texts), mode="eval").body
        places = [node for node in ast.walk(other) if _change(node) is not None]
        if not places:
            continue
        place = r.choice(places)
        _change(place)(place, r, largest)
        if (text := ast.unparse(other)) not in known:
            known.add(text)
            texts.append(text)
    return texts[given:]


def _whole(text: str) -> list[int]:
    nodes = ast.walk(ast.parse(text))
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return [value for value in values if type(value) is int]


def _change(node: ast.AST) -> Callable | None:
    if isinstance(node, ast.Constant):
        return _CONSTANTS.get(type(node.value)) if node.value not in ("", b"") else None
    if isinstance(node, ast.List | ast.Tuple | ast.Set) and node.elts:
        return _items
    return _pairs if isinstance(node, ast.Dict) and len(node.keys) > 1 else None


def _bool(node: ast.Constant, r: random.Random, largest: int) -> None:
    node.value = not node.value


def _int(node: ast.Constant, r: random.Random, largest: int) -> None:
    value = node.value
    others = (value + 1, value - 1, 2 * value, value // 2, value + r.randint(2, 9))
    # A literal has no sign: one before it is an operator.
    node.value = min(max(r.choice(others), 0), largest)


def _float(node: ast.Constant, r: random.Random, largest: int) -> None:
    node.value = r.choice((node.value + 1.0, node.value / 2, node.value * 2, node.value + 0.25))


def _text(node: ast.Constant, r: random.Random, largest: int) -> None:
    text = node.value
    at = r.randrange(len(text))
    node.value = r.choice(
        (
            text[:at] + text[at + 1 :],
            text[:at] + text[at : at + 1] + text[at:],
            text[:at] + text[at + 1 : at + 2] + text[at : at + 1] + text[at + 2 :],
            text[at:] + text[:at],
            text[:at],
            text + text[:at] if len(text) < 200 else text[::-1],
            text.swapcase(),
        )
    )


def _items(node: ast.List | ast.Tuple | ast.Set, r: random.Random, largest: int) -> None:
    at = r.randrange(len(node.elts))
    change = r.randrange(4)
    if change == 0:
        node.elts.reverse()
    elif change == 1:
        r.shuffle(node.elts)
    elif change == 2 and len(node.elts) > 1 or len(node.elts) > 40:
        node.elts.pop(at)
    else:
        node.elts.insert(at, copy.deepcopy(r.choice(node.elts)))


def _pairs(node: ast.Dict, r: random.Random, largest: int) -> None:
    at = r.randrange(len(node.keys))
    node.keys.pop(at)
    node.values.pop(at)


_CONSTANTS = {bool: _bool, int: _int, float: _float, str: _text, bytes: _text}
