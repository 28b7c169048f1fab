"""The account of what did not make it into the corpus, and why."""

from collections import defaultdict


class Drops:
    """Documents and bytes dropped, by source and reason, with a few example paths each."""

    def __init__(self, examples: int = 3):
        self._examples = examples
        self._counts: dict[str, dict[str, dict]] = defaultdict(dict)

    def add(self, source: str, reason: str, size: int, path: str) -> None:
        """Counts one document of `size` bytes."""
        row = self._counts[source].setdefault(reason, {"documents": 0, "bytes": 0, "examples": []})
        row["documents"] += 1
        row["bytes"] += size
        if len(row["examples"]) < self._examples:
            row["examples"].append(path)

    def table(self) -> dict[str, dict[str, dict]]:
        """{source: {reason: {documents, bytes, examples}}}, sorted."""
        return {
            source: {reason: reasons[reason] for reason in sorted(reasons)}
            for source, reasons in sorted(self._counts.items())
        }

    def documents(self, source: str) -> int:
        """Number of documents dropped from `source`."""
        return sum(row["documents"] for row in self._counts.get(source, {}).values())
