"""Families of small functions with a parameter each: questions whose answers are known.

Every member is a question, a solution, and arguments on which others can be compared with it.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from codellama_jax.instruct.teacher import seed_of

Arguments = tuple[Any, ...]


class Member(NamedTuple):
    """A question, the function that answers it, and arguments to compare others on."""

    question: str
    name: str
    solution: str
    arguments: list[Arguments]


class _Family(NamedTuple):
    name: str
    question: str  # {k} is the parameter
    solution: str  # K is the parameter
    draw: Callable[[random.Random], Arguments]


def _numbers(r: random.Random) -> Arguments:
    return ([r.randint(-30, 60) for _ in range(r.randint(0, 12))],)


def _sorted(r: random.Random) -> Arguments:
    return (sorted(_numbers(r)[0]),)


def _number(r: random.Random) -> Arguments:
    return (r.choice((r.randint(0, 12), r.randint(0, 3000))),)


def _word(r: random.Random) -> Arguments:
    letters = "aabcdeeinorstuzXYZ  ,.019"
    return ("".join(r.choice(letters) for _ in range(r.randint(0, 18))),)


def _runs(r: random.Random) -> Arguments:
    return ("".join(r.choice("abc") * r.randint(1, 7) for _ in range(r.randint(0, 6))),)


def _sentence(r: random.Random) -> Arguments:
    words = (_word(r)[0].replace(" ", "")[: r.randint(1, 9)] for _ in range(r.randint(0, 8)))
    return (" ".join(words),)


def _pairs(r: random.Random) -> Arguments:
    starts = [r.randint(0, 40) for _ in range(r.randint(0, 7))]
    return ([(start, start + r.randint(1, 9)) for start in starts],)


def _counts(r: random.Random) -> Arguments:
    return ({r.choice("abcdefgh"): r.randint(-5, 25) for _ in range(r.randint(0, 7))},)


def _grid(r: random.Random) -> Arguments:
    width = r.randint(1, 4)
    return ([[r.randint(-9, 30) for _ in range(width)] for _ in range(r.randint(0, 4))],)


FAMILIES = (
    _Family(
        "count_multiples",
        "Return how many of the whole numbers in a list are divisible by {k}.",
        "def count_multiples(numbers):\n"
        "    count = 0\n    for number in numbers:\n        if number % K == 0:\n"
        "            count += 1\n    return count",
        _numbers,
    ),
    _Family(
        "sum_above",
        "Return the sum of those numbers in a list that are greater than {k}; 0 if none is.",
        "def sum_above(numbers):\n"
        "    total = 0\n    for number in numbers:\n        if number > K:\n"
        "            total += number\n    return total",
        _numbers,
    ),
    _Family(
        "capped",
        "Return a list in which every number above {k} is replaced by {k}, and every negative one"
        " by 0.",
        "def capped(numbers):\n    result = []\n    for number in numbers:\n"
        "        if number > K:\n            result.append(K)\n        elif number < 0:\n"
        "            result.append(0)\n        else:\n            result.append(number)\n"
        "    return result",
        _numbers,
    ),
    _Family(
        "window_sums",
        "Return the sums of every {k} % 7 + 1 numbers that stand next to each other in a list, in"
        " order; an empty list if there are too few.",
        "def window_sums(numbers):\n    size = K % 7 + 1\n"
        "    return [sum(numbers[i:i + size]) for i in range(len(numbers) - size + 1)]",
        _numbers,
    ),
    _Family(
        "rotated",
        "Return a list rotated to the left by {k} places; an empty list stays empty.",
        "def rotated(items):\n    if not items:\n        return []\n"
        "    shift = K % len(items)\n    return items[shift:] + items[:shift]",
        _numbers,
    ),
    _Family(
        "in_chunks",
        "Cut a list into lists of {k} + 1 items each; the last may be shorter.",
        "def in_chunks(items):\n    size = K + 1\n    chunks = []\n    start = 0\n"
        "    while start < len(items):\n        chunks.append(items[start:start + size])\n"
        "        start += size\n    return chunks",
        _numbers,
    ),
    _Family(
        "large_gaps",
        "Of a sorted list of numbers, return the pairs of neighbours that differ by more than {k},"
        " as tuples.",
        "def large_gaps(numbers):\n    gaps = []\n    for i in range(1, len(numbers)):\n"
        "        if numbers[i] - numbers[i - 1] > K:\n"
        "            gaps.append((numbers[i - 1], numbers[i]))\n    return gaps",
        _sorted,
    ),
    _Family(
        "digit_sum",
        "Return the sum of the digits of a number that is not negative, written in base {k} + 2.",
        "def digit_sum(number):\n    base = K + 2\n    total = 0\n    while number > 0:\n"
        "        total += number % base\n        number //= base\n    return total",
        _number,
    ),
    _Family(
        "to_base",
        "Return the digits of a number that is not negative in base {k} + 2, as a list, the most"
        " significant first; [0] for 0.",
        "def to_base(number):\n    base = K + 2\n    if number == 0:\n        return [0]\n"
        "    digits = []\n    while number > 0:\n        digits.append(number % base)\n"
        "        number //= base\n    return digits[::-1]",
        _number,
    ),
    _Family(
        "next_multiple",
        "Return the smallest multiple of {k} + 2 that is greater than a number that is not"
        " negative.",
        "def next_multiple(number):\n    step = K + 2\n"
        "    return (number // step + 1) * step",
        _number,
    ),
    _Family(
        "steps_down",
        "Count the steps to bring a number that is not negative to 0: it is halved (rounded down)"
        " when it is above {k} + 1, and made smaller by one otherwise.",
        "def steps_down(number):\n    steps = 0\n    while number > 0:\n"
        "        if number > K + 1:\n            number //= 2\n        else:\n"
        "            number -= 1\n        steps += 1\n    return steps",
        _number,
    ),
    _Family(
        "shifted",
        "Move every small letter of a text {k} places on in the alphabet, z being followed by a;"
        " leave all else.",
        "def shifted(text):\n    result = ''\n    for letter in text:\n"
        "        if 'a' <= letter <= 'z':\n"
        "            result += chr((ord(letter) - 97 + K) % 26 + 97)\n        else:\n"
        "            result += letter\n    return result",
        _word,
    ),
    _Family(
        "thinned",
        "Return the characters of a text at the places 0, {k} + 1, 2 · ({k} + 1) and so on.",
        "def thinned(text):\n    step = K + 1\n"
        "    return ''.join(text[i] for i in range(0, len(text), step))",
        _word,
    ),
    _Family(
        "shortened",
        "If a text has more than {k} + 3 characters, return its first {k} characters and three"
        " dots; else the text.",
        "def shortened(text):\n    if len(text) > K + 3:\n        return text[:K] + '...'\n"
        "    return text",
        _word,
    ),
    _Family(
        "run_lengths",
        "Of a text, return the (character, length) of each run of more than {k} % 5 equal"
        " characters, in order.",
        "def run_lengths(text):\n    least = K % 5\n    runs = []\n    i = 0\n"
        "    while i < len(text):\n        j = i\n"
        "        while j < len(text) and text[j] == text[i]:\n            j += 1\n"
        "        if j - i > least:\n            runs.append((text[i], j - i))\n        i = j\n"
        "    return runs",
        _runs,
    ),
    _Family(
        "long_words",
        "Return the words of a sentence with more than {k} % 7 characters, in small letters.",
        "def long_words(sentence):\n    least = K % 7\n    return [word.lower()"
        " for word in sentence.split() if len(word) > least]",
        _sentence,
    ),
    _Family(
        "merged",
        "Merge intervals, given as (start, end) tuples, that overlap or are at most {k} % 6 apart;"
        " return them sorted.",
        "def merged(intervals):\n    apart = K % 6\n    result = []\n"
        "    for start, end in sorted(intervals):\n"
        "        if result and start - result[-1][1] <= apart:\n"
        "            result[-1] = (result[-1][0], max(result[-1][1], end))\n        else:\n"
        "            result.append((start, end))\n    return result",
        _pairs,
    ),
    _Family(
        "most_frequent",
        "Return the sorted keys of a dictionary of counts whose count is at least {k}.",
        "def most_frequent(counts):\n    names = []\n    for name, count in counts.items():\n"
        "        if count >= K:\n            names.append(name)\n    return sorted(names)",
        _counts,
    ),
    _Family(
        "scaled_transpose",
        "Transpose a matrix given as a list of rows, and multiply every entry by {k}; an empty"
        " matrix stays empty.",
        "def scaled_transpose(matrix):\n    if not matrix:\n        return []\n"
        "    return [[K * row[i] for row in matrix] for i in range(len(matrix[0]))]",
        _grid,
    ),
    _Family(
        "rows_above",
        "Return the numbers of those rows of a matrix, from 0, whose sum is greater than {k}.",
        "def rows_above(matrix):\n    found = []\n    for i, row in enumerate(matrix):\n"
        "        if sum(row) > K:\n            found.append(i)\n    return found",
        _grid,
    ),
)  # fmt: skip


def members(count: int, seed: int, arguments: int = 200) -> Iterator[Member]:
    """So many members, the families taking turns, each with the next parameter from 2 on.

    Args:
      arguments: to compare others on; distinct, drawn at random, the edges among them.
    """
    for number in range(count):
        family = FAMILIES[number % len(FAMILIES)]
        parameter = 2 + number // len(FAMILIES)
        r = random.Random(seed_of(seed, family.name, parameter))
        drawn: dict[str, Arguments] = {}
        for _ in range(20 * arguments):
            if len(drawn) < arguments:
                drawn.setdefault(repr(chosen := family.draw(r)), chosen)
        yield Member(
            f"Write a Python function {family.name}. {family.question.format(k=parameter)}",
            family.name,
            family.solution.replace("K", str(parameter)),
            list(drawn.values()),
        )
