"""Plain directories and git checkouts, as corpus/collect.py walks them."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from codellama_jax.corpus.document import Candidate
from codellama_jax.corpus.files.found import Found
from codellama_jax.corpus.load import texts


def write_candidates(path: Path, candidates: list[Candidate]) -> None:
    """One input: a list of files."""
    lines = (json.dumps(asdict(candidate)) for candidate in candidates)
    path.write_text("\n".join(lines) + "\n")


def read_candidates(path: str) -> Iterator[Found]:
    """The texts of the files that `write_candidates` listed."""
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            candidate = Candidate(**json.loads(line))
            for name, text, reason in texts(candidate):
                yield Found(
                    place=candidate.path,
                    size=candidate.size,
                    text=text,
                    reason=reason,
                    path=name,
                    language=candidate.language,
                    licenses=(candidate.license,) if candidate.license else (),
                )
