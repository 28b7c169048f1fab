"""Record files of made-up modules, and corpora of them."""

import json
from pathlib import Path

from codellama_jax.corpus import prepare, read_shard

from .conftest import VOCABULARY
from .trees import python_module


def made(count: int, first: int = 0) -> list[dict]:
    """Records in The Stack's layout."""
    return [
        {
            "content": python_module(first + i),
            "max_stars_repo_path": f"src/module{first + i}.py",
            "max_stars_repo_name": f"people/project{i % 7}",
            "max_stars_repo_licenses": ["MIT"],
            "lang": "Python",
        }
        for i in range(count)
    ]


def as_lines(records: list[dict]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def write_parquet(path: Path, records: list[dict], group: int = 50) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(records), path, row_group_size=group)


def run(output: Path, sources: dict, **changes) -> dict:
    arguments = {"heldout_fraction": 0.1, "vocab_size": VOCABULARY, "workers": 1, **changes}
    return prepare(output_dir=str(output), sources=sources, **arguments)


def records(corpus: Path, source: str = "code", split: str | None = None) -> list[dict]:
    shards = [
        shard
        for side in ((split,) if split else ("train", "heldout"))
        for shard in sorted((corpus / source).glob(f"{side}-*.array_record"))
    ]
    return [record for shard in shards for record in read_shard(shard)]


def contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def dropped(manifest: dict, source: str = "code") -> dict[str, int]:
    of = manifest["dropped"].get(source, {})
    return {reason: row["documents"] for reason, row in of.items()}
