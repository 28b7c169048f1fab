"""Programs that call functions and tell what those do, and the reading of what they told.

What such a program tells comes from code that is not trusted: it is a number or a literal, read as
such, and no more than a wrong number can come of it.
"""

import ast
import base64
import json
import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

_SECONDS = 0.2  # of CPU time for one call
_TOLD = 330  # characters of a verdict's detail that are sure to arrive
_LONGEST = 160  # characters of a result that is given
_START = '''
import signal


class _Late(BaseException):
    pass


def _late(*_):
    raise _Late


signal.signal(signal.SIGPROF, _late)


def _results(source, calls):
    """Of each call (value, repr), or None where there is none in time."""
    names, found = {{"__name__": "candidate"}}, []
    for call in [None, *calls]:
        try:
            signal.setitimer(signal.ITIMER_PROF, {seconds}, {seconds})
            if call is None:
                exec(source, names)
            else:
                value = eval(call, names)
                found.append((value, repr(value)))
        except _Late:
            break
        except BaseException:
            if call is None:
                break
            found.append(None)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    return found + [None] * (len(calls) - len(found))


def _same(one, other):
    if one is None or other is None:
        return one is other
    try:
        return one[1] == other[1] or bool(one[0] == other[0])
    except BaseException:
        return False


def _sure(source, calls):
    """Whether each call gives the same when it is made once more, in a new module."""
    return [a is not None and _same(a, b)
            for a, b in zip(_results(source, calls), _results(source, calls))]


'''
_VALUES = """
import ast, base64, json, zlib

_sure_of, _told = _sure({source!r}, {calls!r}), []
for _is_sure, _result in zip(_sure_of, _results({source!r}, {calls!r})):
    try:
        _is_sure = _is_sure and ast.literal_eval(_result[1]) == _result[0]
    except Exception:
        _is_sure = False
    _text = _result[1] if _is_sure and len(_result[1]) <= {longest} else ""
    _more = base64.b64encode(zlib.compress(json.dumps([*_told, _text]).encode(), 9)).decode()
    if len(_more) > {told}:
        break
    _told.append(_text)
    _all = _more
raise AssertionError(_all if _told else "")
"""
_USABLE = """
import ast

_base, _mask = _results({source!r}, {calls!r}), 0
for _place, (_is_sure, _result) in enumerate(zip(_sure({source!r}, {calls!r}), _base)):
    try:
        if _is_sure and len(_result[1]) <= {longest} and ast.literal_eval(_result[1]) == _result[0]:
            _mask |= 1 << _place
    except Exception:
        pass
raise AssertionError("%x" % _mask)
"""
_COMPARED = """
_calls = {calls!r}
_is_sure, _base = _sure({source!r}, _calls), _results({source!r}, _calls)
_told = []
for _other in {others!r}:
    _mask, _more = 0, 0
    for _place, _result in enumerate(_results(_other, _calls)):
        if _is_sure[_place] and not _same(_base[_place], _result):
            if _place < {shown}:
                _mask |= 1 << _place
            else:
                _more = 1
    _told.append("%x" % (2 * _mask + _more))
raise AssertionError(",".join(_told))
"""
_SAID = re.compile(r"AssertionError: (\S+)")


class Difference(NamedTuple):
    """How a program differs from another.

    Attributes:
      shown: places of the calls in front that tell it.
      hidden: whether any other call does.
    """

    shown: frozenset[int]
    hidden: bool

    @property
    def any(self) -> bool:
        """Whether it differs at all, as far as the calls tell."""
        return bool(self.shown) or self.hidden


class Comparison(NamedTuple):
    """Programs to be compared with one.

    Attributes:
      source: the one.
      others: the programs.
      calls: expressions over what the program defines; those that raise, take too long or give
        something else each time do not count.
      shown: how many calls, from the front, are told one by one.
    """

    source: str
    others: Sequence[str]
    calls: Sequence[str]
    shown: int


def at_once(shown: int) -> int:
    """How many programs one comparison can tell about, with so many calls told one by one."""
    return max(1, _TOLD // ((shown + 4) // 4 + 1))


def comparison_program(of: Comparison) -> str:
    """A program whose verdict's detail `differences_told` reads."""
    start = _START.format(seconds=_SECONDS)
    return start + _COMPARED.format(
        source=of.source, others=list(of.others), calls=list(of.calls), shown=of.shown
    )


def differences_told(detail: str, count: int) -> list[Difference] | None:
    """What a comparison of `count` programs told; None where it did not come to its end."""
    said = _SAID.match(detail)
    told = said[1].split(",") if said else []
    try:
        numbers = [int(one, 16) for one in told]
    except ValueError:
        return None
    if len(numbers) != count:
        return None
    return [
        Difference(frozenset(n for n in range(number.bit_length()) if number >> n + 1 & 1),
                   bool(number & 1))
        for number in numbers
    ]  # fmt: skip


def usable_program(source: str, calls: Sequence[str]) -> str:
    """A program whose verdict's detail `usable_told` reads."""
    return _START.format(seconds=_SECONDS) + _USABLE.format(
        source=source, calls=list(calls), longest=_LONGEST
    )


def usable_told(detail: str, calls: Sequence[str]) -> list[str]:
    """Those of the calls that gave the same short literal twice; none where none is told."""
    said = _SAID.match(detail)
    try:
        mask = int(said[1], 16) if said else 0
    except ValueError:
        mask = 0
    return [call for n, call in enumerate(calls) if mask >> n & 1]


def values_program(source: str, calls: Sequence[str]) -> str:
    """A program whose verdict's detail `values_told` reads."""
    return _START.format(seconds=_SECONDS) + _VALUES.format(
        source=source, calls=list(calls), longest=_LONGEST, told=_TOLD
    )


def values_told(detail: str) -> list[str] | None:
    """What the first calls gave, as many as there was room for; None where none is told."""
    said = _SAID.match(detail)
    try:
        # Not more than was asked for: these bytes are somebody else's.
        unpacked = zlib.decompressobj().decompress(base64.b64decode(said[1]), 1 << 16)
        told = json.loads(unpacked)
        for text in told:
            ast.literal_eval(text or "None")
        return told
    except (TypeError, ValueError, SyntaxError, MemoryError, RecursionError, zlib.error):
        return None
