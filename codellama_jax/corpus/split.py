"""Train and held-out sides, by document, after de-duplication."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import gin

from codellama_jax.corpus.document import Document
from codellama_jax.corpus.languages import CODE, EXCERPTS, NL, NL_CODE, PYTHON

TRAIN, HELDOUT = "train", "heldout"


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class SplitSettings:
    """How the held-out side is drawn.

    Attributes:
      heldout_documents: at least so many documents of a source are held out (a quarter of them at
        most), however small the fraction.
      long_bytes, heldout_long_documents: so many of the code documents of at least so many bytes
        are held out (a quarter of them at most): long contexts are evaluated on them.
    """

    heldout_documents: int = 16
    long_bytes: int = 9000
    heldout_long_documents: int = 56


def rank(document: Document, seed: int) -> float:
    """A number in [0, 1) that only the document's text and the seed decide."""
    digest = hashlib.sha256(f"{seed}/{document.sha256}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def heldout_paths(
    documents: Sequence[Document], fraction: float, seed: int, settings: SplitSettings
) -> set[str]:
    """Paths of the documents of one source that are held out.

    The lowest-ranked ones are: those whose rank is under `fraction`, and more of them, still in
    order of rank, until the minima of `settings` are met.
    """
    ranked = sorted(documents, key=lambda document: (rank(document, seed), document.path))
    heldout = {document.path for document in ranked if rank(document, seed) < fraction}
    if fraction > 0 and documents:
        long = [document for document in ranked if document.size >= settings.long_bytes]
        for of, wanted in (
            (ranked, settings.heldout_documents),
            (long, settings.heldout_long_documents if documents[0].source == CODE else 0),
        ):
            heldout.update(document.path for document in of[: min(wanted, len(of) // 4)])
    return heldout


def split(
    documents: dict[str, list[Document]],
    parents: Sequence[Document],
    fraction: float,
    seed: int,
    settings: SplitSettings,
) -> dict[str, dict[str, list[Document]]]:
    """{source: {split: documents}}, each in an order that only texts and seed decide.

    What was made from a document is on its side, and Python documents are on the side that they
    have among the code. Held-out code is whole files, as people have them: the excerpts among it
    are a source of their own.

    Args:
      parents: documents of no source that others were made from.
    """
    heldout = {parent.path for parent in parents if rank(parent, seed) < fraction}
    for source in (CODE, NL_CODE, NL):
        own = [document for document in documents[source] if document.parent is None]
        heldout |= heldout_paths(own, fraction, seed, settings)
    sides = {}
    for source, of in documents.items():
        ordered = sorted(of, key=lambda document: (rank(document, seed + 1), document.path))
        sides[source] = {
            TRAIN: [d for d in ordered if (d.parent or d.path) not in heldout],
            HELDOUT: [d for d in ordered if (d.parent or d.path) in heldout],
        }
    excerpts = [d for d in sides[CODE][HELDOUT] if d.parent is not None]
    for source in (CODE, PYTHON):
        sides[source][HELDOUT] = [d for d in sides[source][HELDOUT] if d.parent is None]
    return {**sides, EXCERPTS: {TRAIN: [], HELDOUT: excerpts}}
