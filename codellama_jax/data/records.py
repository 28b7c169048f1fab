"""Random access to the records of one source and split of a prepared corpus."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource

from codellama_jax.corpus import read_manifest, tokens_file
from codellama_jax.errors import UserError


class Records:
    """Records by number, in the order of the shards.

    Attributes:
      lengths: int32 (documents,), plain tokens of each document, without bos and eos.
      split: "train" or "heldout".
      tokens: plain tokens of all documents end to end, mapped from a file, if they are stored.
      digest, lengths_digest: what the fingerprint of a data pipeline holds of these files.
      set_aside: how many times a record could not be used, by file and reason.
    """

    def __init__(self, corpus: str | Path, source: str, split: str):
        manifest = read_manifest(corpus)
        try:
            described = manifest["sources"][source][split]
        except KeyError:
            raise UserError(
                f"the corpus {corpus} has no {split} split of source {source!r}: it has"
                f" {sorted(manifest['sources'])}"
            ) from None
        folder, self.split = Path(corpus) / source, split
        self.paths = [str(folder / shard["file"]) for shard in described["shards"]]
        shards = "".join(shard["sha256"] for shard in described["shards"])
        self.digest = hashlib.sha256(shards.encode()).hexdigest()
        self._ends = np.cumsum([shard["records"] for shard in described["shards"]])
        self.set_aside: Counter[str] = Counter()
        try:
            self.lengths = np.load(folder / f"{split}.lengths.npy")
            self._stored = folder / tokens_file(split)
            self.tokens = _mapped(self._stored)
            self._source = ArrayRecordDataSource(self.paths) if self.paths else []
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"cannot read the corpus in {folder}: {reason}") from error
        if not len(self.lengths) == len(self._source) == described["documents"]:
            raise UserError(
                f"{folder}: the manifest counts {described['documents']} {split} documents, the"
                f" shards hold {len(self._source)}; prepare the corpus anew"
            )
        self.lengths_digest = hashlib.sha256(self.lengths.astype("<i4").tobytes()).hexdigest()
        self._begins = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])
        if self.tokens is not None and len(self.tokens) != self._begins[-1]:
            raise UserError(
                f"{self._stored} holds {len(self.tokens)} tokens, lengths.npy counts"
                f" {self._begins[-1]}: delete it, and prepare again to have it written"
            )

    def __getstate__(self) -> dict[str, Any]:
        # What is mapped here is mapped again there; what is counted there is told from there.
        return {**vars(self), "tokens": None, "set_aside": Counter()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, tokens=_mapped(state["_stored"]))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> dict[str, Any] | None:
        """The record, or None when it cannot be read, which is counted in `set_aside`."""
        try:
            record = json.loads(self.raw(number))
            if not isinstance(record, dict):
                raise TypeError("not an object")
        except (ValueError, TypeError, RuntimeError) as error:
            self.put_aside(number, error)
            return None
        return record

    def put_aside(self, number: int, error: Exception) -> None:
        """Counts a record that cannot be used."""
        shard = int(np.searchsorted(self._ends, number, side="right"))
        reason = str(error) if isinstance(error, UserError) else type(error).__name__
        self.set_aside[f"{self.paths[shard]} record {number}: {reason}"] += 1

    def tokens_of(self, number: int) -> np.ndarray:
        """The stored plain tokens of a document, uint16 or uint32; there must be some."""
        return self.tokens[self._begins[number] : self._begins[number + 1]]

    def raw(self, number: int) -> bytes:
        """The record's bytes, a UTF-8 JSON object."""
        return self._source[number]


def _mapped(path: Path) -> np.ndarray | None:
    if not path.exists():
        return None
    # As a plain array: slices of a memmap object take three times as long.
    return np.load(path, mmap_mode="r").view(np.ndarray)
