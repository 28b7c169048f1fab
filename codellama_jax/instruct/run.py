"""Where a pass of self-instruct keeps its files, and what decides their content."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codellama_jax.corpus.files.alone import alone
from codellama_jax.corpus.files.atomic import replacing
from codellama_jax.corpus.files.begun import check_begun
from codellama_jax.corpus.shards import writing
from codellama_jax.instruct.log import Log
from codellama_jax.instruct.results import read_result, write_result

PARAMETERS = "parameters.json"
Record = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One pass.

    Attributes:
      folder: holds parameters.json, <stage>.parquet of finished stages, and in log/ what those
        under way have finished.
    """

    folder: Path

    def log(self, name: str) -> Log:
        """What is finished of "stage/part"; the stage's end removes it."""
        return Log(self.folder / "log" / f"{name}.jsonl")

    def stage(self, name: str, work: Callable[[], Sequence[Record]]) -> list[Record]:
        """A stage's records: read if it is finished, else made by `work` and written."""
        path = self.folder / f"{name}.parquet"
        if (records := read_result(path)) is None:
            write_result(path, work())
            records = read_result(path)
        # Also what a kill left here between the two.
        shutil.rmtree(self.folder / "log" / name, ignore_errors=True)
        kept = sum(record["dropped"] is None for record in records)
        print(f"{name}: {kept:,} of {len(records):,} kept", flush=True)
        return records


def kept(records: Sequence[Record]) -> list[Record]:
    """Those that go on to the next stage."""
    return [record for record in records if record["dropped"] is None]


@contextlib.contextmanager
def opened(folder: Path, parameters: Mapping[str, Any]) -> Iterator[Run]:
    """The pass of these parameters in a folder, new or to be continued, for this process alone.

    Raises:
      UserError: another process is at work there, or it was begun with other parameters.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with alone(folder, "pass", "self_instruct.output_dir"):
        path = folder / PARAMETERS
        given = json.loads(json.dumps(parameters))  # as they will be read back
        if not path.exists():
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(given, indent=1, ensure_ascii=False) + "\n")
        check_begun(folder, json.loads(path.read_text()), given, "self_instruct.output_dir")
        yield Run(folder)
