"""Records of a stage that is under way: JSON lines, appended as each is finished."""

import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from codellama_jax.corpus.shards import writing


class Log:
    """What a stage has finished so far, by key. After a kill it is read back. Threads may share it.

    A line that a kill cut short is cut off; its record is then made again.
    """

    def __init__(self, path: Path):
        self.done: dict[str, dict[str, Any]] = {}
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "ab+", buffering=0)  # noqa: SIM115 - closed in `close`
            self._file.seek(0)
            whole = 0
            for line in self._file.read().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break
                record = json.loads(line)
                self.done[record.pop("key")] = record
                whole += len(line)
            self._file.truncate(whole)
        self._path, self._lock = path, threading.Lock()

    def add(self, records: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Appends finished records, in one write; they are in the file when it returns."""
        records = list(records)
        data = "".join(
            json.dumps({"key": key, **record}) + "\n" for key, record in records
        ).encode()
        with self._lock, writing(self._path):
            while data:
                data = data[self._file.write(data) :]
            self.done.update(records)

    def close(self) -> None:
        """Syncs and closes it."""
        os.fsync(self._file.fileno())
        self._file.close()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
