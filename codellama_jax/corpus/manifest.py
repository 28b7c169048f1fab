"""The corpus's manifest: what is in it, what was left out, and how it was made."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codellama_jax import __version__
from codellama_jax.corpus.document import Document
from codellama_jax.errors import UserError

FILE = "manifest.json"
VERSION = 1


def describe_split(
    documents: Sequence[Document], lengths: Sequence[int], shards: list[dict]
) -> dict[str, Any]:
    """Counts of one split of one source."""
    return {
        "documents": len(documents),
        "bytes": sum(document.size for document in documents),
        "tokens": int(sum(lengths)),
        "shards": shards,
        "languages": _count(documents, [document.language for document in documents]),
        "licenses": _count(documents, [document.license or "unknown" for document in documents]),
    }


def merge_splits(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts of a split that was described in parts, one or more shards each."""
    return {
        **{name: sum(part[name] for part in parts) for name in ("documents", "bytes", "tokens")},
        "shards": [shard for part in parts for shard in part["shards"]],
        **{name: _sum([part[name] for part in parts]) for name in ("languages", "licenses")},
    }


def new_manifest(parameters: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """The manifest's head, then `parts`. Nothing in it depends on when or how fast it was made."""
    return {
        "version": VERSION,
        "created_by": f"codellama-jax {__version__}",
        "parameters": parameters,
        **parts,
    }


def write_manifest(directory: Path, manifest: dict[str, Any]) -> None:
    """Writes it as indented JSON."""
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    (directory / FILE).write_text(text, encoding="utf-8")


def read_manifest(directory: str | Path) -> dict[str, Any]:
    """The manifest of a prepared corpus; UserError when there is none, or one of another version.

    Args:
      directory: the corpus's output directory.
    """
    path = Path(directory) / FILE
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["version"]
    except FileNotFoundError:
        raise UserError(
            f"no corpus at {directory}: run `codellama-jax prepare --gin_bindings="
            f"'prepare.output_dir=\"{directory}\"'`"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not a corpus manifest: delete {directory} and prepare the corpus anew"
        ) from error
    if version != VERSION:
        raise UserError(
            f"{path} has version {version}, this program reads {VERSION}: delete {directory} and"
            " prepare the corpus anew"
        )
    return manifest


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Names and values of the parameters that two manifests disagree on."""
    found = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(f"{prefix}{name} is {before!r} there and {after!r} here")
    return found


def _count(documents: Sequence[Document], keys: Sequence[str]) -> dict[str, dict[str, int]]:
    counts: Counter = Counter(keys)
    sizes: Counter = Counter()
    for document, key in zip(documents, keys):
        sizes[key] += document.size
    return _by_size({key: {"documents": counts[key], "bytes": sizes[key]} for key in counts})


def _sum(tables: Sequence[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    total: dict[str, dict[str, int]] = {}
    for table in tables:
        for key, row in table.items():
            sums = total.setdefault(key, {"documents": 0, "bytes": 0})
            for name, count in row.items():
                sums[name] += count
    return _by_size(total)


def _by_size(table: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    return dict(sorted(table.items(), key=lambda named: (-named[1]["bytes"], named[0])))
