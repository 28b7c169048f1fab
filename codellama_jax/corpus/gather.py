"""Draws the documents of every source, and makes those that are made out of Python."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from codellama_jax.corpus.deduplicate import Deduplicator
from codellama_jax.corpus.derive import DeriveSettings, derive_batch
from codellama_jax.corpus.document import Candidate, Document
from codellama_jax.corpus.drops import Drops
from codellama_jax.corpus.excerpts import ExcerptSettings, excerpt_batch
from codellama_jax.corpus.languages import CODE, DIALOGUES, NL, NL_CODE, PYTHON
from codellama_jax.corpus.progress import Progress, counted
from codellama_jax.corpus.sample import Sampler, SampleSettings
from codellama_jax.corpus.workers import Workers

_OTHER = "other code"


@dataclass(frozen=True)
class Gathered:
    """Documents of each source, none repeating another; `python` is the Python among the code.

    Attributes:
      parents: Python documents that are in no source, but that others were made from.
    """

    documents: dict[str, list[Document]]
    parents: list[Document]
    read_files: int


def gather(
    candidates: Sequence[Candidate],
    budgets: dict[str, int],
    sample: SampleSettings,
    cut: ExcerptSettings,
    derive: DeriveSettings,
    workers: Workers,
    drops: Drops,
    seed: int,
    progress: Progress,
) -> Gathered:
    """At most about `budgets[source]` bytes of each source."""
    sampler = Sampler(sample, derive.limits, derive.signing, workers, drops, seed)
    seen_code, seen_text, seen_dialogues = (Deduplicator(derive.signing) for _ in range(3))
    groups: dict[str, list[Candidate]] = {name: [] for name in (PYTHON, _OTHER, NL_CODE, NL)}
    for candidate in candidates:
        name = candidate.source
        if name == CODE:
            name = PYTHON if candidate.language == PYTHON else _OTHER
        groups[name].append(candidate)

    def draw(name: str, budget: int, seen: Deduplicator, what: str = "") -> list[Document]:
        documents = sampler.draw(name, groups[name], budget, seen)
        progress.say(f"{what or name}: drew {counted(documents)}")
        return documents

    python_bytes = int(sample.python_fraction * budgets[CODE])
    python = draw(PYTHON, python_bytes, seen_code)
    documents = {
        CODE: python + draw(_OTHER, budgets[CODE] - python_bytes, seen_code),
        PYTHON: python,
        NL_CODE: draw(NL_CODE, budgets[NL_CODE], seen_text),
        NL: draw(NL, budgets[NL], seen_text),
        DIALOGUES: [],
    }
    parents = draw(PYTHON, sample.extra_python_bytes, seen_code, "more python to make texts from")
    sampler.drop_rest(candidates)
    excerpts = _excerpts(parents, cut, derive, workers, drops, seed)
    progress.say(f"{PYTHON}: cut out {counted(excerpts)}")
    documents[PYTHON] = python + excerpts
    documents[CODE] = documents[CODE] + excerpts
    batches = (group for of in (python, parents) for group in _groups(of, 8))
    made = [d for batch in workers.map(derive_batch, batches, derive) for d in batch]
    random.Random(f"{seed}/derived").shuffle(made)
    for source in (NL_CODE, NL, DIALOGUES):
        seen = seen_dialogues if source == DIALOGUES else seen_text
        room = budgets[source] - sum(document.size for document in documents[source])
        new = _fill(made, source, room, seen, drops)
        documents[source] = documents[source] + new
        progress.say(f"{source}: made {counted(new)}")
    return Gathered(documents, parents, sampler.read_files)


def _excerpts(
    documents: list[Document],
    settings: ExcerptSettings,
    derive: DeriveSettings,
    workers: Workers,
    drops: Drops,
    seed: int,
) -> list[Document]:
    """Short definitions out of the documents, none repeating another."""
    if not settings.total_bytes:
        return []
    groups = _groups(documents, 8)
    cut = workers.map(excerpt_batch, groups, settings, derive.limits, derive.signing)
    found = [excerpt for batch in cut for excerpt in batch]
    random.Random(f"{seed}/excerpts").shuffle(found)
    return _fill(found, CODE, settings.total_bytes, Deduplicator(derive.signing), drops)


def _fill(
    made: Sequence[Document], source: str, room: int, seen: Deduplicator, drops: Drops
) -> list[Document]:
    new = []
    for document in made:
        if document.source != source:
            continue
        drops.see(source)
        reason = "not drawn" if room <= 0 else seen.reason_to_drop(document)
        if reason:
            drops.add(source, reason, document.size, document.path)
            continue
        new.append(document)
        room -= document.size
    return new


def _groups(documents: list[Document], size: int) -> Iterable[list[Document]]:
    return (documents[i : i + size] for i in range(0, len(documents), size))
