"""Reads candidate files, filters them and signs them; runs in the worker processes."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from codellama_jax.corpus import filters, languages
from codellama_jax.corpus.deduplicate import DeduplicateSettings, sign
from codellama_jax.corpus.document import Candidate, Document, printable
from codellama_jax.corpus.filters import FilterSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one text: a signed document, or the reason why not."""

    path: str
    size: int
    document: Document | None = None
    reason: str | None = None


def load_batch(
    candidates: Sequence[Candidate], limits: FilterSettings, signing: DeduplicateSettings
) -> list[list[Outcome]]:
    """Outcomes of each candidate; most files are one text, a few hold several."""
    return [load(candidate, limits, signing) for candidate in candidates]


def load(
    candidate: Candidate, limits: FilterSettings, signing: DeduplicateSettings
) -> list[Outcome]:
    """Reads one file. Nothing about its content raises: a bad file is an outcome with a reason."""
    outcomes = []
    for path, part, reason in texts(candidate):
        if part is None:
            outcomes.append(Outcome(path, candidate.size, reason=reason))
            continue
        reason = reason_to_drop(candidate.source, path, candidate.language, part, limits)
        if reason:
            outcomes.append(Outcome(path, len(part.encode(errors="replace")), reason=reason))
            continue
        language = languages.refine(candidate.language, part)
        document = Document(part, path, language, candidate.source, candidate.license)
        outcomes.append(Outcome(path, document.size, document=sign(document, signing)))
    return outcomes


def texts(candidate: Candidate) -> list[tuple[str, str | None, str | None]]:
    """(path, text, None) of each text in a file, or (path, None, reason)."""
    try:
        with open(candidate.file, "rb") as stream:
            data = stream.read()
    except OSError:
        return [(candidate.path, None, "unreadable")]
    text, reason = filters.decode(data)
    if text is None:
        return [(candidate.path, None, reason)]
    parts = _parts(candidate, text)
    return [(path, part, None) for path, part in parts] or [(candidate.path, None, "no text in it")]


def reason_to_drop(
    source: str, path: str, language: str, text: str, limits: FilterSettings
) -> str | None:
    """The filter that fits the source."""
    if source == languages.CODE:
        return filters.reason_to_drop_code(text, path, language, limits)
    prose = source == languages.NL and path.endswith(".txt")
    return filters.reason_to_drop_text(text, limits, prose=prose)


def _parts(candidate: Candidate, text: str) -> list[tuple[str, str]]:
    if candidate.path.rpartition("/")[2] in ("METADATA", "PKG-INFO"):
        # After the headers: the description that the project's page shows.
        return [(candidate.path, text.partition("\n\n")[2])]
    if candidate.source == languages.NL_CODE and candidate.language == "python":
        return [(f"{candidate.path}#{name}", topic) for name, topic in _topics(text)]
    return [(candidate.path, text)]


def _topics(source: str) -> list[tuple[str, str]]:
    """The pages of `help("topic")`: the Python language reference, a dictionary of strings."""
    try:
        module = ast.parse(source)
        values = [node.value for node in module.body if isinstance(node, ast.Assign)]
        topics = ast.literal_eval(values[0])
        return sorted((printable(str(name)), str(topic)) for name, topic in topics.items())
    except (SyntaxError, ValueError, IndexError, AttributeError, RecursionError):
        return []
