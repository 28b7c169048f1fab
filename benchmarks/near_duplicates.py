"""Near-duplicate removal against the truth: recall, false removals, speed.

    python benchmarks/near_duplicates.py [--files 1500] [--copies 1500] [--seed 0] [--json PATH]

Real Python files of this installation are drawn, and near-copies of them are planted: a licence
header added, comments changed, variables renamed, or all of it, mildly or heavily. Everything runs
through `corpus/deduplicate.py` in the order originals, copies, as `prepare` would. The truth is the
exact Jaccard similarity with every document kept before, of sets of runs of words and punctuation
marks that this script makes itself: none of the package's tokens, shingles or hashes is in it.
Originals of an installation resemble each other too, and count. Goals: recall >= 95 % at 0.8 and
above, false removals <= 1 %.
"""

import argparse
import itertools
import json
import keyword
import random
import re
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from codellama_jax.corpus.collect import CollectSettings, collect, default_roots
from codellama_jax.corpus.deduplicate import DeduplicateSettings, Deduplicator, sign
from codellama_jax.corpus.document import Document
from codellama_jax.corpus.drops import Drops
from codellama_jax.corpus.filters import FilterSettings
from codellama_jax.corpus.load import load

NAME = re.compile(r"\b[a-z_][a-z_0-9]{2,}\b")
HEADER = """# Copyright {year} {who}. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except
# in compliance with the License. You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License
# is distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND.
"""


def real_files(count: int, seed: int) -> list[Document]:
    """Python files of the installation that pass the filters."""
    candidates = collect(default_roots(), CollectSettings(), Drops())
    candidates = [c for c in candidates if c.language == "python" and c.source == "code"]
    random.Random(seed).shuffle(candidates)
    signing, found = DeduplicateSettings(), []
    for candidate in candidates:
        found += [o.document for o in load(candidate, FilterSettings(), signing) if o.document]
        if len(found) >= count:
            break
    return found[:count]


def relicensed(text: str, rng: random.Random) -> str:
    """The file under another header."""
    return HEADER.format(year=rng.randrange(1990, 2026), who=f"Holder {rng.random():.6f}") + text


def recommented(text: str, rng: random.Random, share: float) -> str:
    """Some of its comments reworded, and as many added."""
    lines = text.split("\n")
    changed = []
    for line in lines:
        if "# " in line and rng.random() < share:
            line = f"{line.partition('# ')[0]}# reworded {rng.randrange(10**6)}"
        changed.append(line)
        if rng.random() < share / 20:
            changed.append(f"# note {rng.randrange(10**6)}")
    return "\n".join(changed)


def renamed(text: str, rng: random.Random, share: float) -> str:
    """Some of its names replaced wherever they stand."""
    names = sorted(set(NAME.findall(text)) - set(keyword.kwlist))
    chosen = {n: f"{n}_{rng.randrange(1000)}" for n in names if rng.random() < share}
    return NAME.sub(lambda match: chosen.get(match[0], match[0]), text)


def copy_of(original: Document, number: int, rng: random.Random) -> tuple[str, Document]:
    """(kind, a near-copy)."""
    kind = rng.choice(("licence header", "comments", "variables", "all three"))
    text = original.text
    if kind in ("variables", "all three"):
        text = renamed(text, rng, rng.choice((0.01, 0.02, 0.04, 0.08)))
    if kind in ("comments", "all three"):
        text = recommented(text, rng, rng.choice((0.2, 0.5, 1.0)))
    if kind in ("licence header", "all three"):
        text = relicensed(text, rng)
    return kind, Document(text, f"{original.path}#{number}", "python", "code")


def runs(text: str, size: int) -> set[int]:
    """Every run of so many words and punctuation marks, by Python's hash of the tuple, 64 bits."""
    tokens: list[str] = []
    for in_word, characters in itertools.groupby(text, lambda c: c.isalnum() or c == "_"):
        if in_word:
            tokens.append("".join(characters))
        else:
            tokens.extend(c for c in characters if not c.isspace())
    size = min(size, len(tokens))
    return {hash(run) for run in zip(*(tokens[n:] for n in range(size)))}


class Truth:
    """The largest exact Jaccard similarity of a document with those remembered."""

    def __init__(self, size: int):
        self._size = size
        self._holders: dict[int, list[int]] = defaultdict(list)
        self._counts: list[int] = []

    def nearest(self, document: Document) -> tuple[float, set[int]]:
        """(similarity, the document's runs of tokens)."""
        own = runs(document.text, self._size)
        held = [i for run in own for i in self._holders.get(run, ())]
        if not held:
            return 0.0, own
        common = np.bincount(held, minlength=len(self._counts))
        return float(np.max(common / (len(own) + np.asarray(self._counts) - common))), own

    def remember(self, own: set[int]) -> None:
        """Adds a document by its runs."""
        for run in own:
            self._holders[run].append(len(self._counts))
        self._counts.append(len(own))


def measure(files: int, copies: int, seed: int) -> dict:
    """Plants, removes, compares."""
    settings = DeduplicateSettings()
    rng = random.Random(seed)
    stream = [("original", document) for document in real_files(files, seed)]
    stream += [copy_of(rng.choice(stream[:files])[1], i, rng) for i in range(copies)]

    start = time.process_time()
    for _, document in stream:
        sign(document, settings)
    signing = time.process_time() - start
    index, reasons = Deduplicator(settings), []
    start = time.process_time()
    for _, document in stream:
        reasons.append(index.reason_to_drop(document))
    deciding = time.process_time() - start

    truth, rows = Truth(settings.shingle_tokens), []
    for (kind, document), reason in zip(stream, reasons):
        similarity, own = truth.nearest(document)
        rows.append((kind, similarity, reason is not None))
        if reason is None:
            truth.remember(own)
    total = sum(document.size for _, document in stream)
    return {
        "settings": vars(settings),
        "documents": len(stream),
        "bytes": total,
        "kinds": {
            kind: _rates([r for r in rows if r[0] == kind], settings.threshold)
            for kind in sorted({row[0] for row in rows})
        },
        "all": _rates(rows, settings.threshold),
        "near_threshold": _rates(
            [r for r in rows if abs(r[1] - settings.threshold) < 0.05], settings.threshold
        ),
        "signing_mb_s": total / signing / 1e6,
        "deciding_mb_s": total / deciding / 1e6,
        "mb_s": total / (signing + deciding) / 1e6,
    }


def _rates(rows: list[tuple[str, float, bool]], threshold: float) -> dict:
    near = [removed for _, similarity, removed in rows if similarity >= threshold]
    distinct = [removed for _, similarity, removed in rows if similarity < threshold]
    return {
        "near": len(near),
        "recall": sum(near) / len(near) if near else None,
        "distinct": len(distinct),
        "false_removals": sum(distinct) / len(distinct) if distinct else None,
    }


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=1500)
    parser.add_argument("--copies", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="PATH", help="write the result there as JSON")
    arguments = parser.parse_args()
    found = measure(arguments.files, arguments.copies, arguments.seed)
    print(f"{found['documents']:,} documents, {found['bytes'] / 1e6:.1f} MB; {found['settings']}")
    print(f"{'':16}{'near':>8}{'recall':>10}{'distinct':>10}{'false removals':>16}")
    rows = {**found["kinds"], "within 0.05": found["near_threshold"], "all": found["all"]}
    for name, row in rows.items():
        recall, false = (
            "–" if value is None else f"{value:.2%}"
            for value in (row["recall"], row["false_removals"])
        )
        print(f"{name:16}{row['near']:8,}{recall:>10}{row['distinct']:10,}{false:>16}")
    print(
        f"signing {found['signing_mb_s']:.1f} MB/s, deciding {found['deciding_mb_s']:.1f} MB/s,"
        f" together {found['mb_s']:.1f} MB/s on one core"
    )
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
