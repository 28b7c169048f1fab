"""Steps of a pipeline write down what they drop; the last stage adds it up."""

import json
from pathlib import Path
from typing import Any

from codellama_jax.corpus.drops import Drops
from codellama_jax.corpus.files.atomic import replacing
from codellama_jax.errors import UserError


def save_drops(folder: Path, stage: str, rank: int, drops: Drops) -> None:
    """Writes one task's account."""
    with replacing(folder / f"{stage}-{rank:05d}.json") as temporary:
        temporary.write_text(json.dumps(drops.table()))


def load_drops(folder: Path, into: Drops) -> None:
    """Adds the accounts of all tasks, in their order."""
    for path in sorted(folder.glob("*.json")):
        into.merge(json.loads(path.read_text()))


def nothing_kept(folder: Path) -> UserError:
    """The error when no document is left, with the most frequent reasons."""
    drops = Drops()
    load_drops(folder, drops)
    rows = [(reason, row) for of in drops.table().values() for reason, row in of.items()]
    rows.sort(key=lambda named: -named[1]["documents"])
    told = "; ".join(
        f"{row['documents']:,} {reason} ({row['examples'][0]})" for reason, row in rows[:3]
    )
    return UserError(
        f"no document of prepare.sources was kept: {told or 'the files are empty'}; see"
        " corpus.RecordSettings for the names of fields, corpus.FilterSettings for the limits"
    )


class Excluded:
    """Where datatrove's filters put what they leave out: it is counted, not kept."""

    def __init__(self, folder: Path, stage: str, reason: str):
        self._folder, self._stage, self._reason = folder, stage, reason

    def __enter__(self) -> "Excluded":
        self._drops: Drops = Drops()
        self._rank: int | None = None
        return self

    def write(self, document: Any, rank: int) -> None:
        """Counts one document."""
        self._rank = rank
        size = len(document.text.encode())
        known = document.metadata
        self._drops.add(known["source"], self._reason, size, known["path"])

    def __exit__(self, kind: type | None, *error: object) -> None:
        if kind is None and self._rank is not None:
            save_drops(self._folder, self._stage, self._rank, self._drops)
