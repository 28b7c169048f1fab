"""A corpus from gs:// paths beside one from the same files on disk: the same bytes, or not.

    pip install gcsfs gcp-storage-emulator
    python benchmarks/bucket_paths.py [--records 400]

An emulator of Google Cloud Storage on this machine holds the files; gcsfs speaks to it as it does
to Google, but for credentials. JSONL (plain, gzip, zstd) and Parquet are read, and one gzip file is
cut short, to be set aside by its gs:// name.
"""

import argparse
import gzip
import io
import json
import logging
import os
import socket
import tempfile
import time
from pathlib import Path

BUCKET = "corpus-benchmark"


def documents(count: int) -> list[dict]:
    """Records of small programs with names of their own."""

    def name(n: int) -> str:
        return "".join(chr(ord("a") + (n * 7919 + 104_729) // 26**d % 26) for d in range(6))

    def function(n: int) -> str:
        return f"def {name(n)}({name(n + 1)}):\n    return {name(n + 2)} + {name(n + 1)}\n"

    return [
        {
            "content": "\n\n".join(function(8 * n + k) for k in range(8)),
            "path": f"package/module_{n}.py",
            "lang": "Python",
        }
        for n in range(count)
    ]


def input_files(count: int) -> dict[str, bytes]:
    """Names and contents: a quarter of the records in each format, some again in a cut file."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import zstandard

    records = documents(count)
    lines = [json.dumps(record).encode() + b"\n" for record in records]
    parquet = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records[3::4]), parquet, compression="zstd")
    whole = gzip.compress(b"".join(lines[:40]))
    return {
        "deep/plain.jsonl": b"".join(lines[0::4]),
        "deep/in/gzip.jsonl.gz": gzip.compress(b"".join(lines[1::4])),
        "deep/in/zstd.jsonl.zst": zstandard.compress(b"".join(lines[2::4])),
        "deep/rows.parquet": parquet.getvalue(),
        "deep/in/cut.jsonl.gz": whole[: len(whole) // 2],
    }


def prepared(places: list[str], folder: Path) -> dict:
    """The manifest of a corpus from there; its shards are in `folder`."""
    from codellama_jax.corpus import prepare

    began = time.perf_counter()
    manifest = prepare(output_dir=str(folder), sources={"code": places}, vocab_size=300, workers=1)
    print(f"{places[0]}: {time.perf_counter() - began:.1f} s")
    return manifest


def main() -> None:
    """Prepares both, and prints whether they agree."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=400)
    arguments = parser.parse_args()
    from gcp_storage_emulator.server import create_server

    logging.disable(logging.WARNING)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    os.environ["STORAGE_EMULATOR_HOST"] = f"http://127.0.0.1:{port}"  # gcsfs looks there
    # Whether a bucket is zonal or hierarchical gcsfs asks by gRPC, which the emulator has not.
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET)
    server.start()
    try:
        import fsspec

        system = fsspec.filesystem("gcs", token="anon")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for path, content in input_files(arguments.records).items():
                system.pipe(f"{BUCKET}/{path}", content)
                local = folder / "files" / path
                local.parent.mkdir(parents=True, exist_ok=True)
                local.write_bytes(content)
            patterns = ("deep/**/*.jsonl*", "deep/*.parquet")
            remote = prepared([f"gs://{BUCKET}/{p}" for p in patterns], folder / "remote")
            local = prepared([f"{folder}/files/{p}" for p in patterns], folder / "local")
            shards = {
                where: {p.name: p.read_bytes() for p in (folder / where / "code").glob("*")}
                for where in ("remote", "local")
            }
    finally:
        server.stop()
    kept = sum(described["documents"] for described in remote["sources"]["code"].values())
    print(f"documents: {kept} of {arguments.records}")
    print(f"set aside or dropped: {json.dumps(remote['dropped'].get('code'), indent=1)}")
    same = shards["remote"] == shards["local"] and shards["local"]
    print(f"shards of both are {'the same bytes' if same else 'NOT the same bytes'}")


if __name__ == "__main__":
    main()
