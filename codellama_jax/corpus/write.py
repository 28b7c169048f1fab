"""Writes every source and split, and counts their tokens."""

from collections.abc import Sequence
from pathlib import Path

from codellama_jax.corpus.document import Document
from codellama_jax.corpus.languages import CODE
from codellama_jax.corpus.manifest import describe_split
from codellama_jax.corpus.progress import Progress
from codellama_jax.corpus.shards import ShardSettings, write_lengths, write_shards, writing
from codellama_jax.corpus.split import HELDOUT
from codellama_jax.text.vocabulary import Vocabulary

_BATCH = 64  # documents encoded at a time, which bounds the memory their ids take


def write_sources(
    directory: Path,
    sides: dict[str, dict[str, list[Document]]],
    vocabulary: Vocabulary,
    settings: ShardSettings,
    threads: int,
    progress: Progress,
) -> dict[str, dict[str, dict]]:
    """Writes shards and lengths; returns {source: {split: manifest entry}}."""
    sources: dict[str, dict[str, dict]] = {}
    known: dict[str, int] = {}  # tokens of the code documents, for the Python among them
    for source, splits in sides.items():
        with writing(directory / source):
            (directory / source).mkdir()
        sources[source] = {}
        for split, documents in splits.items():
            lengths = count_tokens(documents, vocabulary, threads, known)
            if source == CODE:
                known.update((d.path, n) for d, n in zip(documents, lengths))
            shards = write_shards(directory / source, split, documents, settings)
            write_lengths(directory / source / f"{split}.lengths.npy", lengths)
            sources[source][split] = describe_split(documents, lengths, shards)
        counts = sources[source]
        tokens = sum(counts[split]["tokens"] for split in counts)
        held = counts[HELDOUT]["documents"]
        progress.say(f"{source}: wrote {tokens:,} tokens, {held:,} documents held out")
    return sources


def count_tokens(
    documents: Sequence[Document],
    vocabulary: Vocabulary,
    threads: int,
    known: dict[str, int] | None = None,
) -> list[int]:
    """Tokens of each document without bos and eos; of a dialogue, of its messages' contents.

    Args:
      known: tokens of code documents counted before, by path.
    """
    known = known or {}
    lengths = []
    for start in range(0, len(documents), _BATCH):
        batch = documents[start : start + _BATCH]
        missing = [d for d in batch if d.source != CODE or d.path not in known]
        texts = [_texts(document) for document in missing]
        flat = [text for of in texts for text in of]
        ids = iter(vocabulary.encode_batch(flat, threads) if flat else [])
        counts = {id(d): sum(len(next(ids)) for _ in of) for d, of in zip(missing, texts)}
        lengths += [counts.get(id(d), known.get(d.path, 0)) for d in batch]
    return lengths


def _texts(document: Document) -> list[str]:
    if document.messages is None:
        return [document.text]
    return [message["content"] for message in document.messages]
