"""Texts between two stages: one compressed ArrayRecord file a task, read from first to last."""

import json
from collections.abc import Iterator
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from codellama_jax.corpus.files.atomic import replacing

_GROUP = 256  # records that are compressed together, and read at a time


def store_path(folder: Path, rank: int) -> Path:
    """File of one task."""
    return folder / f"{rank:05d}.array_record"


class WriteStore(PipelineStep):
    """Writes the documents that pass through; the file is there once all have passed."""

    type, name = "writer", "store"

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def run(
        self, data: Iterator[Document], rank: int = 0, world_size: int = 1
    ) -> Iterator[Document]:
        """The documents themselves."""
        from array_record.python.array_record_module import ArrayRecordWriter

        with replacing(store_path(self.folder, rank)) as temporary:
            writer = ArrayRecordWriter(str(temporary), f"group_size:{_GROUP},zstd:1")
            try:
                for document in data:
                    record = {"text": document.text, **document.metadata}
                    writer.write(json.dumps(record, ensure_ascii=False).encode())
                    yield document
            finally:
                writer.close()


class ReadStore(PipelineStep):
    """Yields what `WriteStore` wrote."""

    type, name = "reader", "store"

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def run(self, data: None = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """The documents in their order."""
        from array_record.python.array_record_module import ArrayRecordReader

        reader = ArrayRecordReader(str(store_path(self.folder, rank)))
        try:
            count = reader.num_records()
            for start in range(0, count, _GROUP):
                for record in reader.read(start, min(start + _GROUP, count)):
                    known = json.loads(record)
                    yield Document(known.pop("text"), known["path"], metadata=known)
        finally:
            reader.close()
