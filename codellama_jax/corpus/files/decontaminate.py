"""Leaves out documents that hold tasks of evaluation sets, told by corpus/decontaminate.py."""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from codellama_jax.corpus.decontaminate import DecontaminateSettings, Matcher, judge
from codellama_jax.corpus.drops import Drops
from codellama_jax.corpus.evaluation_sets import EvaluationSet
from codellama_jax.corpus.files.account import save_drops
from codellama_jax.corpus.files.atomic import replacing
from codellama_jax.corpus.files.sample import to_corpus


class Decontaminate(PipelineStep):
    """Lets pass what holds no task, and writes down what is removed.

    It carries the sets themselves, so that no task of a cluster sees others than the parameters
    name; their n-grams are few enough to be hashed by each task anew.
    """

    type, name = "filter", "decontaminate"

    def __init__(
        self,
        removals: Path,
        drops: Path,
        sets: Sequence[EvaluationSet],
        settings: DecontaminateSettings,
    ):
        super().__init__()
        self.removals, self.drops = removals, drops
        self.sets, self.settings = sets, settings

    def run(
        self, data: Iterator[Document], rank: int = 0, world_size: int = 1
    ) -> Iterator[Document]:
        """The documents that stay."""
        matcher, drops = Matcher(self.sets, self.settings), Drops()
        removed = []
        documents, judged = itertools.tee(data)  # Which are judged in batches.
        for document, removal in zip(documents, judge(map(to_corpus, judged), matcher, drops)):
            if removal is None:
                yield document
            else:
                removed.append(removal)
        save_drops(self.drops, "decontaminate", rank, drops)
        with replacing(self.removals / f"{rank:05d}.json") as temporary:
            temporary.write_text(json.dumps(matcher.account(removed)))


def load_account(removals: Path) -> dict[str, Any]:
    """The manifest's account, of all tasks in their order."""
    accounts = [json.loads(path.read_text()) for path in sorted(removals.glob("*.json"))]
    removed = [removal for account in accounts for removal in account["removed"]]
    return {"sets": accounts[0]["sets"], "removed": removed}
