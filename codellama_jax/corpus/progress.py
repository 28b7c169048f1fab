"""One printed line a stage, with counts and seconds."""

import time
from collections.abc import Sequence

from codellama_jax.corpus.document import Document


class Progress:
    """Prints lines with the seconds since the one before."""

    def __init__(self):
        self._start = self._last = time.monotonic()

    def say(self, line: str) -> None:
        """Ends a stage."""
        now = time.monotonic()
        print(f"{line} ({now - self._last:.1f} s)", flush=True)
        self._last = now

    def total(self, line: str) -> None:
        """Ends the run."""
        print(f"{line} ({time.monotonic() - self._start:.1f} s in all)", flush=True)


def megabytes(count: int) -> str:
    """1234567 as "1.2 MB"."""
    return f"{count / 1e6:.1f} MB"


def counted(documents: Sequence[Document]) -> str:
    """Number and size of some documents."""
    return f"{len(documents):,} documents, {megabytes(sum(d.size for d in documents))}"
