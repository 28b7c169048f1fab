"""Reasons to drop a text; each returns by name, so that the manifest can account for them."""

import re
from dataclasses import dataclass

import gin

_GENERATED = re.compile(
    r"@generated|\b(auto[- ]?generated|automatically generated|generated (automatically|by|from)"
    r"|code generated|do not edit|don't edit (this|by hand)|this file is generated)\b",
    re.IGNORECASE,
)
_STOP_WORDS = re.compile(
    r"\b(the|of|and|to|a|in|is|for|or|this|that|be|with|as|by|it)\b", re.IGNORECASE
)
_COMMENT = re.compile(r"\s*(#|$)")
_WORD = re.compile(r"[A-Za-z]+")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_WHITE_SPACE = b" \t\n\r\f\v"
# Bytes from 128 belong to letters of other scripts, nearly always.
_NOT_LETTERS = bytes(b for b in range(128) if not chr(b).isalpha())
_NOT_ALPHANUMERIC = bytes(b for b in range(128) if not chr(b).isalnum())
_MINIFIABLE = frozenset(("javascript", "typescript", "css", "html"))


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class FilterSettings:
    """Limits that a text must keep. The paper gives none; these are those of common practice.

    Attributes:
      min_characters, max_characters: of the stripped text.
      max_line_length, max_mean_line_length: characters, in code.
      max_text_line_length: characters, in prose, where a paragraph may be one line.
      minified_line_length: mean characters a line from which a web source counts as minified.
      generated_lines: how many lines from the top are searched for a generator's marker.
      min_alphanumeric_fraction: of all characters; below it a file is a table or art.
      max_digit_fraction: of the characters that are not white space; above it a file is data.
      min_letter_fraction, min_stop_word_fraction: of prose; below them it is a list, a table or
        another language than English.
    """

    min_characters: int = 80
    max_characters: int = 150_000
    max_line_length: int = 1000
    max_mean_line_length: float = 100.0
    max_text_line_length: int = 5000
    minified_line_length: float = 200.0
    generated_lines: int = 12
    min_alphanumeric_fraction: float = 0.25
    max_digit_fraction: float = 0.3
    min_letter_fraction: float = 0.6
    min_stop_word_fraction: float = 0.12


def decode(data: bytes) -> tuple[str | None, str | None]:
    """(text, None), or (None, the reason why the bytes are no text).

    A byte order mark is dropped and line ends become "\\n"; nothing else is normalised.
    """
    if b"\0" in data:
        return None, "binary"
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, "not UTF-8"
    return text.replace("\r\n", "\n"), None


def reason_to_drop_code(text: str, path: str, language: str, limits: FilterSettings) -> str | None:
    """Why a source file is not wanted; None when it is."""
    stripped = text.strip()
    if len(stripped) < limits.min_characters:
        return "too short"
    if len(stripped) > limits.max_characters:
        return "too long"
    lines = text.split("\n")
    if language.startswith("python") and all(_COMMENT.match(line) for line in lines):
        return "comments only"
    if _GENERATED.search("\n".join(lines[: limits.generated_lines])):
        return "generated"
    mean = len(text) / len(lines)
    named_minified = ".min." in path.rpartition("/")[2]
    if named_minified or (language in _MINIFIABLE and mean > limits.minified_line_length):
        return "minified"
    if max(map(len, lines)) > limits.max_line_length:
        return "line too long"
    if mean > limits.max_mean_line_length:
        return "mean line too long"
    return _reason_by_characters(stripped, limits)


def reason_to_drop_text(text: str, limits: FilterSettings, prose: bool = False) -> str | None:
    """Why a text is not wanted; None when it is.

    Args:
      prose: ask for English sentences too, as plain `.txt` files are often lists or tables.
    """
    if _LONE_SURROGATE.search(text):  # A string literal of a Python file may hold one escaped.
        return "lone surrogates"
    stripped = text.strip()
    if len(stripped) < limits.min_characters:
        return "too short"
    if len(stripped) > limits.max_characters:
        return "too long"
    if max(map(len, text.split("\n"))) > limits.max_text_line_length:
        return "line too long"
    if prose and not reads_as_prose(stripped, limits):
        return "not prose"
    return _reason_by_characters(stripped, limits)


def reads_as_prose(text: str, limits: FilterSettings) -> bool:
    """Whether a text is made of letters, and of the words that English sentences need."""
    data = text.encode(errors="replace")
    if len(data.translate(None, _NOT_LETTERS)) < limits.min_letter_fraction * len(data):
        return False
    words = len(_WORD.findall(text))
    return len(_STOP_WORDS.findall(text)) >= limits.min_stop_word_fraction * words > 0


def _reason_by_characters(text: str, limits: FilterSettings) -> str | None:
    data = text.encode()
    if len(data.translate(None, _NOT_ALPHANUMERIC)) < limits.min_alphanumeric_fraction * len(data):
        return "few letters and digits"
    dense = data.translate(None, _WHITE_SPACE)
    digits = len(data) - len(data.translate(None, b"0123456789"))
    return "mostly digits" if digits > limits.max_digit_fraction * len(dense) else None
