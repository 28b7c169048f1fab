"""Speed of a corpus from record files: MB of text a second on each core, stage by stage.

    python benchmarks/prepare_files.py [--megabytes 60] [--workers 1] [--tokenizer FILE]

The Python files of this installation are written as Parquet in The Stack's layout and as zstd
JSONL, then prepared. Divide the size of
a collection by the total and by the cores to know how long it takes.
"""

import argparse
import contextlib
import io
import json
import re
import resource
import sysconfig
import tempfile
from pathlib import Path


def gather(megabytes: int) -> list[dict]:
    """Files as records, until there are enough."""
    records, size = [], 0
    for root in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")):
        for path in sorted(Path(root).rglob("*.py")):
            try:
                text = path.read_text()
            except (OSError, UnicodeDecodeError):
                continue
            name = str(path.relative_to(root))
            records.append({"content": text, "max_stars_repo_path": name, "lang": "Python"})
            size += len(text.encode())
            if size >= megabytes * 1e6:
                return records
    return records


def write_inputs(folder: Path, records: list[dict], files: int) -> dict[str, str]:
    """{format: pattern}."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import zstandard

    for i in range(files):
        part = records[i::files]
        table = pa.Table.from_pylist(part)
        pq.write_table(table, folder / f"{i}.parquet", compression="zstd", row_group_size=1000)
        lines = b"".join(json.dumps(record).encode() + b"\n" for record in part)
        (folder / f"{i}.jsonl.zst").write_bytes(zstandard.compress(lines))
    return {"parquet": f"{folder}/*.parquet", "jsonl.zst": f"{folder}/*.jsonl.zst"}


def measure(pattern: str, folder: Path, workers: int, tokenizer: str | None) -> dict[str, float]:
    """Seconds of every stage, as `prepare` prints them."""
    from codellama_jax.corpus import prepare

    printed, before = io.StringIO(), _computing()
    with contextlib.redirect_stdout(printed):
        prepare(
            output_dir=str(folder / "corpus"),
            sources={"code": [pattern]},
            tokenizer_path=tokenizer,
            workers=workers,
        )
    stages = re.findall(r"^([\w-]+): .*\(([\d.]+) s\)$", printed.getvalue(), re.MULTILINE)
    total = re.findall(r"\(([\d.]+) s in all\)", printed.getvalue())
    return {
        **{name: float(seconds) for name, seconds in stages},
        "all": float(total[0]),
        "computing": (_computing() - before) / workers,
    }


def _computing() -> float:
    """Seconds of this process and its workers on the cores, whatever else runs beside them."""
    used = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tokenizer", help="a SentencePiece model, else one is trained")
    arguments = parser.parse_args()
    records = gather(arguments.megabytes)
    size = sum(len(record["content"].encode()) for record in records) / 1e6
    print(f"{len(records):,} files, {size:.1f} MB of text, {arguments.workers} workers")
    print(f"{'input':10} {'stage':11} {'seconds':>8} {'MB/s a core':>12}")
    for kind in ("parquet", "jsonl.zst"):
        with tempfile.TemporaryDirectory() as folder:
            pattern = write_inputs(Path(folder), records, 4 * arguments.workers)[kind]
            seconds = measure(pattern, Path(folder), arguments.workers, arguments.tokenizer)
        for stage, taken in seconds.items():
            rate = size / taken / arguments.workers if taken else float("inf")
            print(f"{kind:10} {stage:11} {taken:8.1f} {rate:12.1f}")


if __name__ == "__main__":
    main()
