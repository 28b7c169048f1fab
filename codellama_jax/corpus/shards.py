"""Writes documents as ArrayRecord shards of JSON objects, with their lengths in tokens."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gin
import numpy as np

from codellama_jax.corpus.document import Document
from codellama_jax.errors import UserError


@gin.configurable(module="corpus")
@dataclass(frozen=True)
class ShardSettings:
    """Attributes:
    shard_bytes: a split is cut into as few shards as keep each at about so many bytes of text.
    """

    shard_bytes: int = 8_000_000


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a failure to write below `path` into a UserError that names it."""
    try:
        yield
    except OSError as error:
        where, why = error.filename or path, error.strerror or error
        raise UserError(
            f"cannot write {where}: {why}; make room there or set another prepare.output_dir"
        ) from error


def write_shards(
    directory: Path, split: str, documents: Sequence[Document], settings: ShardSettings
) -> list[dict]:
    """Writes `<split>-00000-of-0000N.array_record` files and returns a manifest entry for each.

    Record r of the split is record r of its shards laid end to end. A split without documents
    has no shards. Raises UserError on a full disk or a directory that cannot be written.
    """
    total = sum(document.size for document in documents)
    count = max(1, -(-total // settings.shard_bytes)) if documents else 0
    bounds = [round(i * len(documents) / count) for i in range(count + 1)] if count else []
    return [
        write_shard(
            directory / f"{split}-{i:05d}-of-{count:05d}.array_record", documents[start:stop]
        )
        for i, (start, stop) in enumerate(zip(bounds, bounds[1:]))
    ]


def write_lengths(path: Path, lengths: Sequence[int]) -> None:
    """Tokens of each record of a split, int32, in the order of the records."""
    with writing(path):
        np.save(path, np.asarray(lengths, np.int32))


def read_shard(path: Path) -> list[dict]:
    """Every record of one shard; UserError when it is not one."""
    from array_record.python.array_record_module import ArrayRecordReader

    try:
        reader = ArrayRecordReader(str(path))
        records = [json.loads(record) for record in reader.read_all()]
        reader.close()
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"cannot read the shard {path}: {' '.join(str(error).split())}; prepare the corpus anew"
        ) from error
    return records


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_shard(path: Path, documents: Sequence[Document]) -> dict:
    """Writes one shard and returns its manifest entry; UserError as for `write_shards`."""
    from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

    try:
        # One record a group: rows are read one by one, in random order.
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for document in documents:
            writer.write(json.dumps(document.record(), ensure_ascii=False).encode())
        writer.close()
        reader = ArrayRecordReader(str(path))
        written = reader.num_records()
        reader.close()
    except RuntimeError as error:  # What the library raises on a full disk, and on all else.
        raise UserError(
            f"cannot write {path}: {' '.join(str(error).split())}; make room there or set another"
            " prepare.output_dir"
        ) from error
    if written != len(documents):
        raise UserError(
            f"{path} holds {written} records instead of {len(documents)}: is the disk full?"
        )
    with writing(path):
        return {"file": path.name, "records": written, "sha256": sha256_of(path)}
