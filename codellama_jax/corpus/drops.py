"""The account of what was met, and of what did not make it into the corpus, and why."""

from collections import Counter, defaultdict


class Drops:
    """Documents and bytes dropped, by source and reason, with a few example paths each.

    Whatever is seen ends up dropped, or in the corpus, or is a file that others were made from:
    an unread file counts as one document.
    """

    def __init__(self, examples: int = 3):
        self._examples = examples
        self._counts: dict[str, dict[str, dict]] = defaultdict(dict)
        self._seen: Counter = Counter()

    def see(self, source: str, documents: int = 1) -> None:
        """Counts documents that came into view; a file that proves to hold more adds them."""
        self._seen[source] += documents

    def add(self, source: str, reason: str, size: int, path: str, documents: int = 1) -> None:
        """Counts documents, most often one, of `size` bytes together."""
        self._add(source, reason, documents, size, [path])

    def merge(self, table: dict[str, dict[str, dict]]) -> None:
        """Adds what another account counted."""
        for source, reasons in table.items():
            for reason, row in reasons.items():
                self._add(source, reason, row["documents"], row["bytes"], row["examples"])

    def _add(self, source: str, reason: str, documents: int, size: int, paths: list[str]) -> None:
        row = self._counts[source].setdefault(reason, {"documents": 0, "bytes": 0, "examples": []})
        row["documents"] += documents
        row["bytes"] += size
        row["examples"] += paths[: self._examples - len(row["examples"])]

    def table(self) -> dict[str, dict[str, dict]]:
        """{source: {reason: {documents, bytes, examples}}}, sorted."""
        return {
            source: {reason: reasons[reason] for reason in sorted(reasons)}
            for source, reasons in sorted(self._counts.items())
        }

    def seen_table(self) -> dict[str, int]:
        """{source: documents seen}, sorted."""
        return dict(sorted(self._seen.items()))
