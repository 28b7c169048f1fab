"""Drops documents that hold tasks of an evaluation set, told by runs of words they share."""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gin
import numpy as np

from codellama_jax.corpus.document import Document
from codellama_jax.corpus.drops import Drops
from codellama_jax.corpus.evaluation_sets import EvaluationSet
from codellama_jax.corpus.ngrams import run_hashes
from codellama_jax.errors import UserError

# hasCloseElements, has_close_elements and HAS_CLOSE_ELEMENTS are the same three words.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\dA-Za-z_]+")

_BETWEEN = ""  # stands between texts, and is no word
_BATCH = 64  # documents


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class DecontaminateSettings:
    """Which evaluation sets the corpus must not hold, and when a document holds a task of one.

    Texts are compared as words: identifiers are split where their parts meet and lose their case;
    white space, punctuation and comment marks do not count. (GPT-3 compared 13 words so.) Each
    field of a task is a passage of its own, as a solution may stand without its problem.

    Attributes:
      packaged: directory of sets inside this package, its own problems; None for none.
      files: further sets, JSON objects one a line, plain or .gz.
      fields: those that hold text, in any of the sets: of HumanEval, MultiPL-E and MBPP here.
      task_field: names the task.
      ngram_tokens: words of an n-gram.
      min_tokens: a passage shorter than an n-gram is one n-gram itself if it has so many words at
        least; with fewer it is too common to tell anything.
      share: of a passage's n-grams that a document must hold to be dropped. In a sample of 31 MB of
        installed code the most that was shared with HumanEval, MBPP and MultiPL-E was 0.16 (a list
        of primes); in the quickstart's corpus, one README's loop over divisors meets 0.2 (MBPP 3).
    """

    packaged: str | None = "evaluation/problems"
    files: Sequence[str] = ()
    fields: Sequence[str] = (
        "prompt", "canonical_solution", "test", "text", "code", "test_list"
    )  # fmt: skip
    task_field: str = "task_id"
    ngram_tokens: int = 13
    min_tokens: int = 8
    share: float = 0.2

    def __post_init__(self):
        if not 0 < self.min_tokens <= self.ngram_tokens:
            raise UserError(
                f"DecontaminateSettings.min_tokens={self.min_tokens}: set it from 1 to ngram_tokens"
                f" ({self.ngram_tokens})"
            )
        if not 0 < self.share <= 1:
            raise UserError(f"DecontaminateSettings.share={self.share}: set it within (0, 1]")


def words(text: str) -> list[str]:
    """The words of a text, identifiers taken apart, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


class Matcher:
    """Tells which tasks a text holds."""

    def __init__(self, sets: Sequence[EvaluationSet], settings: DecontaminateSettings):
        self._sets, self._share = sets, settings.share
        self._tasks: list[tuple[EvaluationSet, str]] = []  # of each passage
        self._counts: list[int] = []  # n-grams of each passage
        self._holders: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._too_short: Counter = Counter()  # by set, tasks without a passage of min_tokens words
        for of in sets:
            for task in of.tasks:
                split = [words(passage) for passage in task.passages]
                telling = [passage for passage in split if len(passage) >= settings.min_tokens]
                self._too_short[of.file] += not telling
                for passage in telling:
                    self._add(of, task.name, passage, min(settings.ngram_tokens, len(passage)))
        self._keys = {
            size: np.sort(np.fromiter(holders, np.uint64, len(holders)))
            for size, holders in self._holders.items()
        }

    def _add(self, of: EvaluationSet, task: str, passage: list[str], size: int) -> None:
        hashes = set(run_hashes(passage, [size])[size].tolist())
        for value in hashes:
            self._holders[size][value].append(len(self._tasks))
        self._tasks.append((of, task))
        self._counts.append(len(hashes))

    def matches(self, texts: Sequence[str]) -> list[list[tuple[EvaluationSet, str, float]]]:
        """Of each text, (set, task, share of its best passage's n-grams) of the tasks it holds."""
        if not self._keys:
            return [[] for _ in texts]
        tokens: list[str] = []
        starts = []
        for text in texts:  # Joined, as most are too short to be worth a call of their own.
            starts.append(len(tokens))
            tokens += words(text)
            tokens.append(_BETWEEN)
        met: list[Counter] = [Counter() for _ in texts]
        for size, hashes in run_hashes(tokens, self._keys).items():
            keys = self._keys[size]
            places = np.minimum(np.searchsorted(keys, hashes), len(keys) - 1)
            hits = np.flatnonzero(keys[places] == hashes)
            owners = np.searchsorted(starts, hits, side="right") - 1
            for owner, value in set(zip(owners.tolist(), hashes[hits].tolist())):
                met[owner].update(self._holders[size][value])
        return [self._enough(counts) for counts in met]

    def account(self, removed: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """The manifest's: every set that was looked for, and what `judge` says of the removed."""
        checked = [
            {
                "file": of.file,
                "sha256": of.sha256,
                "tasks": len(of.tasks),
                "too_short": self._too_short[of.file],
            }
            for of in self._sets
        ]
        return {"sets": checked, "removed": list(removed)}

    def _enough(self, met: Counter) -> list[tuple[EvaluationSet, str, float]]:
        best: dict[tuple[str, str], tuple[EvaluationSet, str, float]] = {}
        for passage, count in met.items():
            of, task = self._tasks[passage]
            share = count / self._counts[passage]
            key = (of.file, task)
            if share >= self._share and (key not in best or share > best[key][2]):
                best[key] = (of, task, share)
        return sorted(best.values(), key=lambda match: (-match[2], match[0].file, match[1]))


def judge(
    documents: Iterable[Document], matcher: Matcher, drops: Drops
) -> Iterator[dict[str, Any] | None]:
    """Of each document, in order, the manifest's account of its removal; None when it may stay.

    Args:
      documents: taken a batch ahead of the one that is judged.
      drops: counts those that hold a task.
    """
    documents = iter(documents)
    while batch := list(itertools.islice(documents, _BATCH)):
        for document, matches in zip(batch, matcher.matches([d.text for d in batch])):
            if not matches:
                yield None
                continue
            reason = f"overlaps {matches[0][0].name}"
            drops.add(document.source, reason, document.size, document.path)
            yield {
                "path": document.path,
                "source": document.source,
                "bytes": document.size,
                "matches": [
                    {"file": of.file, "task": task, "share": round(share, 3)}
                    for of, task, share in matches
                ],
            }


def decontaminate(
    documents: dict[str, list[Document]],
    sets: Sequence[EvaluationSet],
    settings: DecontaminateSettings,
    drops: Drops,
) -> tuple[dict[str, list[Document]], dict[str, Any]]:
    """The documents that hold no task, and the manifest's account of the others.

    A document that is in two sources (Python is part of the code) is judged and counted once.
    """
    matcher = Matcher(sets, settings)
    distinct = {id(document): document for of in documents.values() for document in of}
    judged = zip(distinct, judge(distinct.values(), matcher, drops))
    removed = {key: removal for key, removal in judged if removal}
    kept = {source: [d for d in of if id(d) not in removed] for source, of in documents.items()}
    return kept, matcher.account(removed.values())
