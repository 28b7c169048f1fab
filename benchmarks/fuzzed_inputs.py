"""Inputs as they should not be: what becomes of every record, in which time and memory.

    python benchmarks/fuzzed_inputs.py [--files 1000000] [--megabytes 200] [--only NAME]

Each input lies beside the same good records and is prepared with them by a process of its own. A
record is written, dropped for a named reason, or set aside as malformed or unreadable; the three
must add to what was put there. Of a truncated file nobody can tell how much is lost: it counts one.
"""

import argparse
import contextlib
import gzip
import io
import json
import re
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

GOOD = 200  # records beside every input
HOUR = 3600


def module(number: int) -> str:
    """A small module unlike the others, of few digits: those would be dropped as data."""
    names = [
        "".join(chr(ord("a") + (number * 7919 + k * 104_729) // 26**d % 26) for d in range(6))
        for k in range(6)
    ]
    body = "".join(f"    {name} = {names[k - 1]} + first\n" for k, name in enumerate(names))
    return f"def {names[0]}_{names[3]}(first):\n{body}    return {names[number % 6]}\n"


def good_lines(count: int) -> list[bytes]:
    """Records of this installation's own modules, over again where they do not suffice."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    texts = [path.read_text(errors="ignore") for path in paths]
    return [
        json.dumps({"content": texts[n % len(texts)] + "#" * (n // len(texts))}).encode() + b"\n"
        for n in range(count)
    ]


# Each writes its input and returns (place for prepare.sources, records that are in it).


def nothing_else(folder: Path, arguments: argparse.Namespace) -> tuple[str | None, int]:
    """The good records alone, to compare with."""
    return None, 0


def truncated_gz(folder: Path, arguments: argparse.Namespace) -> tuple[str, int]:
    """A gzip file cut at 60 %."""
    whole = gzip.compress(b"".join(good_lines(2000)))
    cut = whole[: len(whole) * 6 // 10]
    (folder / "cut.jsonl.gz").write_bytes(cut)
    return f"{folder}/*.gz", zlib.decompressobj(wbits=31).decompress(cut).count(b"\n") + 1


def nul_bytes(folder: Path, arguments: argparse.Namespace) -> tuple[str, int]:
    """Escaped in texts, raw in lines, and a file of nothing else."""
    escaped = [json.dumps({"content": module(n) + "\0"}).encode() + b"\n" for n in range(1000)]
    raw = [line.replace(b"return", b"ret\0rn") for line in good_lines(1000)]
    (folder / "nul.jsonl").write_bytes(b"".join([*escaped, *raw]))
    (folder / "all.jsonl").write_bytes(bytes(10_000_000))
    return f"{folder}/*.jsonl", 2001


def lone_surrogates(folder: Path, arguments: argparse.Namespace) -> tuple[str, int]:
    """Escaped in texts, as bytes in lines, and in a name."""
    escaped = [json.dumps({"content": module(n) + "\ud800"}).encode() + b"\n" for n in range(1000)]
    broken = "\udfff".encode("utf-8", "surrogatepass")
    raw = [b'{"content": "' + broken + b'%d"}\n' % n for n in range(1000)]
    named = [
        json.dumps({"content": module(n), "path": "\udc80.py"}).encode() + b"\n"
        for n in range(1000)
    ]
    (folder / "surrogates.jsonl").write_bytes(b"".join([*escaped, *raw, *named]))
    return f"{folder}/*.jsonl", 3000


def _one_line(megabytes: int) -> Iterator[bytes]:
    yield b'{"content": "'
    for _ in range(megabytes):
        yield b"x = 1234; " * 100_000
    yield b'"}\n'


def one_line(folder: Path, arguments: argparse.Namespace) -> tuple[str, int]:
    """A record of 200 MB on one line."""
    with (folder / "line.jsonl").open("wb") as file:
        file.writelines(_one_line(arguments.megabytes))
    return f"{folder}/*.jsonl", 1


def one_line_gz(folder: Path, arguments: argparse.Namespace) -> tuple[str, int]:
    """The same compressed to a thousandth."""
    with gzip.open(folder / "line.jsonl.gz", "wb", compresslevel=1) as file:
        file.writelines(_one_line(arguments.megabytes))
    return f"{folder}/*.gz", 1


def one_cell(folder: Path, arguments: argparse.Namespace) -> tuple[str, int]:
    """A text of 200 MB in a Parquet file, between others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [module(n) for n in range(100)]
    texts[50] = "x = 1234; " * 100_000 * arguments.megabytes
    pq.write_table(pa.table({"content": texts}), folder / "cell.parquet")
    return f"{folder}/*.parquet", 100


def one_line_file(folder: Path, arguments: argparse.Namespace) -> tuple[str, int]:
    """A file of 200 MB on one line in a directory, beside another."""
    with (folder / "line.py").open("wb") as file:
        file.writelines(b"x = 1234; " * 100_000 for _ in range(arguments.megabytes))
    (folder / "other.py").write_text(module(0))
    return str(folder), 2


def empty_files(folder: Path, arguments: argparse.Namespace) -> tuple[str, int]:
    """Of every format; those that must have a header are unreadable."""
    for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst", "d.parquet"):
        (folder / name).touch()
    return f"{folder}/*", 1


def tiny_files(folder: Path, arguments: argparse.Namespace) -> tuple[str, int]:
    """Of each hundred in a directory 50 of a few bytes, 49 too short, one to be kept."""
    for n in range(arguments.files):
        if n % 1000 == 0:
            (folder / str(n // 1000)).mkdir()
        kind = n % 100
        text = "x\n" if kind < 50 else f"value_{n:09} = {n:09}  # {'.' * 40}\n"
        (folder / str(n // 1000) / f"{n}.py").write_text(module(n) if kind == 99 else text)
    return str(folder), arguments.files


def tiny_record_files(folder: Path, arguments: argparse.Namespace) -> tuple[str, int]:
    """A tenth as many JSONL files of a record each, every hundredth to be kept."""
    files = arguments.files // 10
    for n in range(files):
        if n % 1000 == 0:
            (folder / str(n // 1000)).mkdir()
        text = module(n) if n % 100 == 99 else "x"
        (folder / str(n // 1000) / f"{n}.jsonl").write_text(json.dumps({"content": text}))
    return f"{folder}/*/*.jsonl", files


INPUTS = (
    nothing_else, truncated_gz, nul_bytes, lone_surrogates, one_line, one_line_gz, one_cell,
    one_line_file, empty_files, tiny_files, tiny_record_files,
)  # fmt: skip


def prepare(folder: Path, place: str | None) -> dict:
    """Prepares the corpus; the account of its code, with seconds and bytes at the peak."""
    from codellama_jax import corpus

    places = [str(folder / "good.jsonl"), *([place] if place else [])]
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        manifest = corpus.prepare(
            output_dir=str(folder / "corpus"), sources={"code": places}, vocab_size=512, workers=1
        )
    # Not RUSAGE_SELF: that begins with the memory of the process this one was forked from.
    own = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    dropped = {
        reason: row["documents"] for reason, row in manifest["dropped"].get("code", {}).items()
    }
    return {
        "written": sum(s["documents"] for s in manifest["sources"]["code"].values()),
        "dropped": dropped,
        "seconds": time.perf_counter() - began,
        "peak": max(int(own), workers) * 1024,
    }


def measure(write: Callable, folder: Path, arguments: argparse.Namespace) -> str:
    """A line of the table."""
    (folder / "good.jsonl").write_bytes(b"".join(good_lines(GOOD)))
    (folder / "input").mkdir()
    place, records = write(folder / "input", arguments)
    words = [sys.executable, __file__, f"--folder={folder}"]
    words += [f"--place={place}"] if place else []
    try:
        ran = subprocess.run(words, capture_output=True, text=True, timeout=HOUR)
    except subprocess.TimeoutExpired:
        return "hangs"
    if ran.returncode:
        return f"failed: {ran.stderr.splitlines()[-1]}"
    told = json.loads(ran.stdout.splitlines()[-1])
    dropped = told["dropped"]
    unusable = ("malformed", "unreadable")
    aside = sum(count for reason, count in dropped.items() if reason.startswith(unusable))
    total = told["written"] + sum(dropped.values())
    agree = "agrees" if total == GOOD + records else f"{total:,}!"
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
    return (
        f"{GOOD + records:10,} {told['written']:9,} {aside:10,} {sum(dropped.values()) - aside:9,}"
        f" {agree:>6} {told['seconds']:8.1f} {told['peak'] / 1e6:11,.0f}  {reasons}"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--only", choices=[write.__name__ for write in INPUTS])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(prepare(arguments.folder, arguments.place)))
        return
    heads = f"{'records':>10} {'written':>9} {'set aside':>10} {'dropped':>9} {'sum':>6}"
    print(f"{'input':18} {heads} {'seconds':>8} {'MB at peak':>11}  reasons")
    for write in INPUTS:
        if arguments.only in (None, write.__name__):
            with tempfile.TemporaryDirectory() as folder:  # a million files take long to delete
                print(f"{write.__name__:18} {measure(write, Path(folder), arguments)}", flush=True)


if __name__ == "__main__":
    main()
