"""Token ids of a prepared corpus, stored beside its shards: a cache, no part of the corpus."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from codellama_jax.corpus.languages import DIALOGUES
from codellama_jax.corpus.shards import read_shard, writing
from codellama_jax.corpus.workers import Workers
from codellama_jax.errors import UserError
from codellama_jax.text.vocabulary import Vocabulary


def tokens_file(split: str) -> str:
    """Name of the file, in a source's folder, of the plain tokens of a split end to end."""
    return f"{split}.tokens.npy"


def store_tokens(directory: Path, manifest: dict[str, Any], workers: int | None = None) -> None:
    """Writes the tokens of every source and split that has none yet; dialogues have none.

    Each document has as many as lengths.npy says: no bos, no eos, uint16 where all ids of the
    vocabulary fit in, otherwise uint32. A file appears under its name when it is whole.

    Args:
      directory: the corpus.
      manifest: its.
      workers: processes; None for the number of cores.

    Raises:
      UserError: full disk, damaged shards, or lengths of another tokenizer.
    """
    tokenizer = directory / manifest["tokenizer"]["file"]
    dtype = np.dtype("<u2" if manifest["tokenizer"]["size"] <= 1 << 16 else "<u4")
    with Workers(workers) as pool:
        for source, splits in manifest["sources"].items():
            for split, described in splits.items():
                path = directory / source / tokens_file(split)
                if source == DIALOGUES or not described["documents"] or path.exists():
                    continue
                shards = [path.with_name(shard["file"]) for shard in described["shards"]]
                parts = pool.map(_tokens_of, shards, str(tokenizer), dtype)
                lengths = np.load(path.with_name(f"{split}.lengths.npy"))
                with writing(path):
                    _write(path, parts, lengths, dtype)


def _write(
    path: Path, parts: Iterator[tuple[np.ndarray, np.ndarray]], lengths: np.ndarray, dtype: np.dtype
) -> None:
    partial = path.with_name(path.name + ".partial")
    total, documents = int(lengths.sum(dtype=np.int64)), 0
    try:
        with open(partial, "wb") as stream:
            header = {"descr": dtype.str, "fortran_order": False, "shape": (total,)}
            np.lib.format.write_array_header_1_0(stream, header)
            for tokens, counts in parts:
                if not np.array_equal(counts, lengths[documents : documents + len(counts)]):
                    raise UserError(
                        f"{path.parent}: lengths.npy was made with another tokenizer or from other"
                        " shards; delete the corpus and prepare it anew"
                    )
                stream.write(tokens.tobytes())
                documents += len(counts)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _tokens_of(shard: Path, tokenizer: str, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of a shard's documents end to end, and how many each has."""
    vocabulary = Vocabulary.load(tokenizer)
    encoded = [np.array(vocabulary.encode(record["text"]), dtype) for record in read_shard(shard)]
    return np.concatenate(encoded), np.array([len(ids) for ids in encoded])
