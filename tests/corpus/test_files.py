"""Corpora from record files: every format, every fault, one machine or a cluster."""

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import gin
import numpy as np
import pytest

from codellama_jax.corpus import SOURCES, prepare, read_manifest
from codellama_jax.errors import UserError
from codellama_jax.text import Vocabulary

from .conftest import VOCABULARY
from .record_files import as_lines, contents, dropped, made, records, run, write_parquet
from .trees import VERBS, header, make_tree, prose_text, python_module

executor = pytest.importorskip("datatrove.executor")
pa = pytest.importorskip("pyarrow")
zstandard = pytest.importorskip("zstandard")
pytestmark = pytest.mark.usefixtures("few_bands")


# Sources


def test_every_format_gives_its_documents(tokenizer, tmp_path):
    of = made(80)
    parts = [of[start : start + 20] for start in range(0, 80, 20)]
    plain, zipped, framed = (as_lines(part) for part in parts[:3])
    (tmp_path / "a.jsonl").write_bytes(plain)
    (tmp_path / "b.jsonl.gz").write_bytes(
        gzip.compress(zipped[:5000]) + gzip.compress(zipped[5000:])
    )
    frames = [zstandard.ZstdCompressor().compress(part) for part in (framed[:7000], framed[7000:])]
    (tmp_path / "c.jsonl.zst").write_bytes(b"".join(frames))
    write_parquet(tmp_path / "d.parquet", parts[3], group=8)
    output = tmp_path / "out"
    sources = {"code": [f"{tmp_path}/*.jsonl*", f"{tmp_path}/*.parquet"]}
    manifest = run(output, sources, tokenizer_path=tokenizer)
    assert manifest == read_manifest(output) and not manifest["dropped"]
    texts = {record["path"]: record["text"] for record in records(output)}
    assert texts == {
        f"{r['max_stars_repo_name']}/{r['max_stars_repo_path']}": r["content"] for r in of
    }
    assert {(r["language"], r["license"]) for r in records(output)} == {("python", "MIT")}
    assert records(output, "python") == records(output)


def test_a_directory_gives_its_files(tokenizer, tmp_path):
    tree = make_tree(tmp_path / "checkout", modules=40)
    (tree / "torch").mkdir()  # a package that no installation's corpus may hold
    (tree / "torch" / "inside.py").write_text(python_module(900))
    (tree / ".git").mkdir()
    (tree / ".git" / "hidden.py").write_text(python_module(901))
    gin.bind_parameter("corpus.TaskSettings.directory_files", 16)
    output = tmp_path / "out"
    sources = {"code": [str(tree)], "nl_code": [str(tree)], "nl": [str(tree)]}
    manifest = run(output, sources, tokenizer_path=tokenizer)
    files = [path for path in tree.rglob("*") if path.is_file() and ".git" not in path.parts]
    kept = [r for source in ("code", "nl_code", "nl") for r in records(output, source)]
    lost = sum(sum(dropped(manifest, source).values()) for source in sources)
    assert len(kept) + lost == len(files) == manifest["collected"]["files"]
    texts = {path.read_text() for path in files}
    assert {record["text"] for record in kept} <= texts
    assert "checkout/torch/inside.py" in {record["path"] for record in kept}
    assert {r["language"] for r in kept} == {"python", "c", "markdown", "text"}


def test_other_file_systems_by_their_protocol(tokenizer, tmp_path):
    import fsspec

    system = fsspec.filesystem("memory")
    for i in range(3):
        system.pipe(f"/bucket/deep/part{i}.jsonl.gz", gzip.compress(as_lines(made(10, 10 * i))))
    run(tmp_path / "out", {"code": ["memory://bucket/**/*.jsonl.gz"]}, tokenizer_path=tokenizer)
    assert len(records(tmp_path / "out")) == 30


def test_fields_and_licences_by_gin(tokenizer, tmp_path):
    of = [
        {"body": python_module(i), "file": f"m{i}.py", "terms": terms}
        for i, terms in enumerate(
            ["mit", ["MIT", "Apache-2.0"], "GPL-3.0", None, ["MIT", "GPL-3.0"]]
        )
    ]
    (tmp_path / "a.jsonl").write_bytes(as_lines(of))
    for name, value in (
        ("text_fields", ("body",)),
        ("path_fields", ("file",)),
        ("license_fields", ("terms",)),
        ("licenses", ("MIT", "apache-2.0")),
    ):
        gin.bind_parameter(f"corpus.RecordSettings.{name}", value)
    manifest = run(tmp_path / "a", {"code": [str(tmp_path / "*.jsonl")]}, tokenizer_path=tokenizer)
    kept = {record["path"]: record["license"] for record in records(tmp_path / "a")}
    assert kept == {"m0.py": "mit", "m1.py": "Apache-2.0 AND MIT"}
    assert dropped(manifest) == {"licence not allowed": 3}
    gin.bind_parameter("corpus.RecordSettings.licenses", ("MIT", "Apache-2.0", "unknown"))
    run(tmp_path / "b", {"code": [str(tmp_path / "*.jsonl")]}, tokenizer_path=tokenizer)
    assert {record["path"] for record in records(tmp_path / "b")} == {"m0.py", "m1.py", "m3.py"}


def test_language_by_extension_content_and_statement(tokenizer, tmp_path):
    given = {
        "a.py": "Python",
        "b.h": "C",
        "script": None,
        "c.cs": "C#",
        "d": "Jupyter Notebook",
        "e": None,
    }
    texts = {name: header(i) for i, name in enumerate(given)}
    texts["b.h"] += "namespace inner {}\n"
    texts["script"] = "#!/usr/bin/env python3\n" + python_module(5)
    lines = [{"text": texts[n], "path": n, "lang": lang} for n, lang in given.items()]
    (tmp_path / "a.jsonl").write_bytes(as_lines(lines))
    run(tmp_path / "out", {"code": [str(tmp_path / "a.jsonl")]}, tokenizer_path=tokenizer)
    assert {record["path"]: record["language"] for record in records(tmp_path / "out")} == {
        "a.py": "python",
        "b.h": "cpp",
        "script": "python",
        "c.cs": "csharp",
        "d": "jupyter-notebook",
        "e": "unknown",
    }


# What is left out


def test_malformed_records_are_set_aside_and_counted(tokenizer, tmp_path):
    good = made(12)
    text = json.dumps(python_module(700))
    bad = [
        (b'{"content": ', "malformed: not JSON"),
        (b'["content"]', "malformed: not an object"),
        (b'{"path": "x.py"}', "malformed: no text"),
        (b'{"content": 5}', "malformed: no text"),
        (b'{"content": "a\\u0000b"}', "malformed: NUL character"),
        (b"\0\0\0", "malformed: not JSON"),
        (b'{"content": "\\ud800 alone"}', "malformed: lone surrogate"),
        (b'{"content": "\xff\xfe"}', "malformed: not UTF-8"),
        (b"[" * 100_000, "malformed: not JSON"),
        (b'{"content": "' + b"x" * 300_000 + b'"}', "malformed: line too long"),
        (b'{"content": "short"}', "too short"),
    ]
    strange = b'{"content": ' + text.encode() + b', "path": "\\ud800.py", "lang": 7}'
    lines = [line for line, _ in bad]
    (tmp_path / "a.jsonl").write_bytes(as_lines(good) + b"\n".join([*lines, b"", strange]))
    gin.bind_parameter("corpus.RecordSettings.max_record_bytes", 200_000)
    output = tmp_path / "out"
    manifest = run(output, {"code": [str(tmp_path / "a.jsonl")]}, tokenizer_path=tokenizer)
    expected: dict[str, int] = {}
    for _, reason in bad:
        expected[reason] = expected.get(reason, 0) + 1
    assert dropped(manifest) == expected
    examples = manifest["dropped"]["code"]["malformed: not an object"]["examples"]
    assert examples == [f"{tmp_path}/a.jsonl:14"]
    assert len(records(output)) == len(good) + 1
    assert "\\ud800.py" in {record["path"] for record in records(output)}


def test_truncated_and_damaged_files(tokenizer, tmp_path):
    for first, suffix, compress in ((0, ".gz", gzip.compress), (300, ".zst", zstandard.compress)):
        whole = compress(as_lines(made(60, first)))
        (tmp_path / f"a.jsonl{suffix}").write_bytes(whole[: len(whole) * 9 // 10])
        (tmp_path / f"b.jsonl{suffix}").write_bytes(b"certainly not compressed")
        (tmp_path / f"c.jsonl{suffix}").write_bytes(b"")
        (tmp_path / f"d.jsonl{suffix}").write_bytes(compress(as_lines(made(5, first + 200))))
    output = tmp_path / "out"
    manifest = run(output, {"code": [f"{tmp_path}/*.jsonl*"]}, tokenizer_path=tokenizer)
    assert dropped(manifest) == {
        "unreadable: truncated file": 2,
        "unreadable: damaged compression": 2,
    }
    found = {record["text"] for record in records(output)}
    cut = {record["content"] for first in (0, 300) for record in made(60, first)}
    whole = {record["content"] for first in (200, 500) for record in made(5, first)}
    assert whole <= found <= cut | whole
    of_gzip = found & {record["content"] for record in made(60)}
    assert len(of_gzip) > 35, "what can be read of a truncated file is kept"


def test_damaged_parquet(tokenizer, tmp_path):
    of = made(120)
    write_parquet(tmp_path / "a.parquet", of)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    import pyarrow.parquet as pq

    group = pq.read_metadata(tmp_path / "a.parquet").row_group(1)
    start = group.column(0).dictionary_page_offset or group.column(0).data_page_offset
    data[start : start + 400] = b"\xff" * 400
    (tmp_path / "a.parquet").write_bytes(data)
    (tmp_path / "b.parquet").write_bytes(bytes(data[: len(data) // 2]))
    (tmp_path / "c.parquet").write_bytes(b"")
    strings = pa.array([b"\xff\xfe", python_module(800).encode(), None], pa.binary())
    bad = pa.Table.from_arrays([pa.Array.from_buffers(pa.string(), 3, strings.buffers())], ["text"])
    pq.write_table(bad, tmp_path / "d.parquet")
    output = tmp_path / "out"
    manifest = run(output, {"code": [str(tmp_path / "*.parquet")]}, tokenizer_path=tokenizer)
    assert dropped(manifest) == {
        "unreadable: damaged rows": 50,
        "unreadable: not a Parquet file": 2,
        "malformed: not UTF-8": 1,
        "malformed: no text": 1,
    }
    assert len(records(output)) == 70 + 1


def test_a_long_line_and_many_tiny_files(tokenizer, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "long.jsonl").write_bytes(b'{"content": "' + b"y" * 3_000_000)
    for i in range(500):
        (folder / f"{i:04d}.jsonl").write_bytes(
            as_lines(made(1, 10_000 + i)) if i % 20 == 0 else b""
        )
    gin.bind_parameter("corpus.RecordSettings.max_record_bytes", 1_000_000)
    output = tmp_path / "out"
    manifest = run(output, {"code": [str(folder / "*.jsonl")]}, tokenizer_path=tokenizer)
    assert manifest["collected"]["files"] == 501
    assert dropped(manifest) == {"malformed: line too long": 1}
    assert manifest["dropped"]["code"]["malformed: line too long"]["bytes"] == 3_000_013
    assert len(records(output)) == 25


def test_a_long_value_of_a_parquet_file(tokenizer, tmp_path):
    of = made(6)
    for place, name in ((1, "content"), (4, "max_stars_repo_path")):
        of[place][name] = "é" * 30_000
    of[5]["content"] = None
    write_parquet(tmp_path / "a.parquet", of)
    gin.bind_parameter("corpus.RecordSettings.max_record_bytes", 50_000)
    output = tmp_path / "out"
    manifest = run(output, {"code": [f"{tmp_path}/*.parquet"]}, tokenizer_path=tokenizer)
    assert dropped(manifest) == {"malformed: record too long": 2, "malformed: no text": 1}
    row = manifest["dropped"]["code"]["malformed: record too long"]
    assert row["bytes"] == 120_000
    assert row["examples"] == [f"{tmp_path}/a.parquet:{n}" for n in (1, 4)]
    assert {r["text"] for r in records(output)} == {of[n]["content"] for n in (0, 2, 3)}


def test_duplicates_leave_one_of_each_kind(tokenizer, tmp_path):
    gin.bind_parameter("corpus.TaskSettings.band_recall", 0.97)
    distinct = made(80)
    original = python_module(7000, functions=12)
    near = [
        "# Copyright 2020 by Nobody.\n" + original,
        original.replace("total", "subtotal", 2),
        original.replace("after", "following", 1),
    ]
    copies = [{"content": text, "path": f"copy{i}.py"} for i, text in enumerate([original, *near])]
    exact = [{**record, "path": "elsewhere.py"} for record in distinct[:9]]
    for i, part in enumerate((distinct, copies[:2], exact, copies[2:])):
        (tmp_path / f"{i}.jsonl").write_bytes(as_lines(part))
    output = tmp_path / "out"
    manifest = run(output, {"code": [str(tmp_path / "*.jsonl")]}, tokenizer_path=tokenizer)
    assert dropped(manifest) == {"exact duplicate": 9, "near duplicate": 3}
    texts = [record["text"] for record in records(output)]
    assert len(texts) == 81 and set(texts) >= {record["content"] for record in distinct}
    gin.bind_parameter("corpus.DeduplicateSettings.threshold", 1.0)
    other = run(tmp_path / "b", {"code": [str(tmp_path / "*.jsonl")]}, tokenizer_path=tokenizer)
    assert dropped(other) == {"exact duplicate": 9}


def test_a_planted_solution_is_found_and_named(tokenizer, tmp_path):
    solution = "".join(f"    ledger = ledger.credit({word!r})\n" for word in VERBS)
    evaluation = tmp_path / "made.jsonl"
    evaluation.write_text(json.dumps({"task_id": "Made/7", "code": solution}))
    folder, leaks = tmp_path / "in", []
    folder.mkdir()
    for i in range(2):  # in both of two tasks, behind as many as are judged at a time
        content = f"{python_module(800 + i)}\n\n# A copy\n{solution.upper()}"
        leaks.append({"content": content, "path": f"leak{i}.py"})
        (folder / f"{i}.jsonl").write_bytes(as_lines([*made(66, 66 * i), leaks[i]]))
    gin.bind_parameter("corpus.DecontaminateSettings.files", [str(evaluation)])
    gin.bind_parameter("corpus.TaskSettings.task_bytes", 1000)
    output, sources = tmp_path / "out", {"code": [f"{folder}/*.jsonl"]}
    manifest = run(output, sources, tokenizer_path=tokenizer)
    bundled, own = manifest["decontamination"]["sets"]
    assert bundled["file"] == "evaluation/problems/problems.jsonl" and bundled["tasks"] > 0
    assert own == {
        "file": str(evaluation),
        "sha256": hashlib.sha256(evaluation.read_bytes()).hexdigest(),
        "tasks": 1,
        "too_short": 0,
    }
    assert manifest["decontamination"]["removed"] == [
        {
            "path": leak["path"],
            "source": "code",
            "bytes": len(leak["content"]),
            "matches": [{"file": str(evaluation), "task": "Made/7", "share": 1.0}],
        }
        for leak in leaks
    ]
    assert dropped(manifest) == {"overlaps made.jsonl": 2}
    kept = {record["text"] for record in records(output)}
    assert kept == {record["content"] for record in made(132)}
    # Another set under the same name is another corpus.
    evaluation.write_text(json.dumps({"task_id": "Made/8", "code": solution}))
    with pytest.raises(UserError, match="evaluation_sets.*made.jsonl is .*delete it"):
        run(output, sources, tokenizer_path=tokenizer)


# The corpus


def test_the_corpus_is_an_ordinary_one(tmp_path):
    write_parquet(tmp_path / "a.parquet", made(150))
    prose = [{"text": prose_text(i), "path": f"q{i}.md"} for i in range(60)]
    (tmp_path / "qa.jsonl").write_bytes(as_lines(prose[:30]))
    (tmp_path / "nl.jsonl").write_bytes(as_lines(prose[30:]))
    gin.bind_parameter("corpus.ShardSettings.shard_bytes", 30_000)
    output = tmp_path / "out"
    sources = {
        "code": [str(tmp_path / "a.parquet")],
        "nl_code": [str(tmp_path / "qa.jsonl")],
        "nl": [str(tmp_path / "nl.jsonl")],
    }
    manifest = run(output, sources)
    assert set(manifest["sources"]) == set(SOURCES)
    assert manifest["tokenizer"]["size"] == VOCABULARY
    assert not (tmp_path / "out.partial").exists()
    vocabulary = Vocabulary.load(output / "tokenizer.model")
    for source in SOURCES:
        for split in ("train", "heldout"):
            entry, of = manifest["sources"][source][split], records(output, source, split)
            lengths = np.load(output / source / f"{split}.lengths.npy")
            assert lengths.dtype == np.int32
            assert lengths.tolist() == [len(vocabulary.encode(r["text"])) for r in of]
            assert entry["documents"] == len(of) == sum(s["records"] for s in entry["shards"])
            assert entry["tokens"] == lengths.sum()
            assert entry["bytes"] == sum(len(r["text"].encode()) for r in of)
            for counts in (entry["languages"], entry["licenses"]):
                assert sum(c["documents"] for c in counts.values()) == len(of)
    assert len(manifest["sources"]["code"]["train"]["shards"]) > 3
    for source in ("code", "nl_code", "nl"):
        sides = [{r["text"] for r in records(output, source, s)} for s in ("train", "heldout")]
        assert not sides[0] & sides[1] and all(sides)
    assert (
        prepare(
            output_dir=str(output), sources=sources, heldout_fraction=0.1, vocab_size=VOCABULARY
        )
        == manifest
    ), "a finished corpus is left alone"


def program(tmp_path: Path, output: Path, folder: Path) -> subprocess.Popen:
    script = tmp_path / "program.py"
    script.write_text(
        "from codellama_jax.corpus import prepare\n"
        "import gin\n"
        "if __name__ == '__main__':\n"
        "    gin.bind_parameter('corpus.TaskSettings.task_bytes', 1000)\n"
        "    gin.bind_parameter('corpus.TaskSettings.band_recall', 0.2)\n"
        "    gin.bind_parameter('corpus.ShardSettings.shard_bytes', 2000)\n"
        f"    prepare(output_dir={str(output)!r}, sources={{'code': ['{folder}/*.jsonl']}},"
        f" heldout_fraction=0.1, vocab_size={VOCABULARY}, workers=2)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.Popen([sys.executable, str(script)], env=environment)


def test_killed_half_way_it_continues_to_the_same_bytes(tmp_path):
    folder, whole, output = tmp_path / "in", tmp_path / "whole", tmp_path / "killed"
    folder.mkdir()
    for i in range(6):
        (folder / f"{i}.jsonl").write_bytes(as_lines(made(30, 30 * i)) + b"{\n")
    sources = {"code": [f"{folder}/*.jsonl"]}
    gin.bind_parameter("corpus.TaskSettings.task_bytes", 1000)
    # Some 200 shards, so that there is time to be killed while they are written.
    gin.bind_parameter("corpus.ShardSettings.shard_bytes", 2000)
    run(whole, sources)
    partial = tmp_path / "killed.partial"
    for _ in range(5):  # on a busy machine it may be done before it is killed
        process = program(tmp_path, output, folder)
        while not (partial / "shards").exists() and process.poll() is None:
            time.sleep(0.002)  # until the first of them is being written
        process.send_signal(signal.SIGKILL)
        process.wait()
        if not output.exists():
            break
        shutil.rmtree(output)
    assert partial.exists() and not output.exists()
    (partial / "shards" / "code-train-00000-00000.array_record.1.tmp").write_bytes(b"half a shard")
    kept = (partial / "logs/read/completions/00001").stat().st_mtime_ns
    with pytest.raises(UserError, match="vocab_size is 420 there and 500 here.*to continue"):
        run(output, sources, vocab_size=500)
    assert (partial / "logs/read/completions/00001").stat().st_mtime_ns == kept
    run(output, sources)
    assert not partial.exists()
    assert contents(output) == contents(whole)


def test_slurm_gives_the_same_bytes(tokenizer, tmp_path, monkeypatch):
    """Slurm's commands, which run here what they are given once the last stage is submitted."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "sbatch").write_text(
        "#!/bin/bash\nset -e\nfor script; do :; done\n"
        "grep -q merge_stats $script && echo Submitted batch job 8 && exit\n"
        'last=$(sed -n "s/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p" "$script")\n'
        "for i in $(seq 0 ${last:-0}); do\n"
        "  SLURM_ARRAY_TASK_ID=$i SLURM_JOB_ID=7 bash $script >&2\n"
        f"done\nif grep -q prepare-finish $script; then\n"
        f"  SLURM_NODELIST=here {sys.executable} {commands}/run.py >&2\n"
        "fi\necho Submitted batch job 7\n"
    )
    # Its own options: -l, and -n with a number.
    (commands / "srun").write_text(
        '#!/bin/bash\nset -e\necho "$SLURM_ARRAY_TASK_ID" $(command -v "$4") "${@:5}"'
        f" >> {commands}/jobs\n"
    )
    (commands / "scontrol").write_text("#!/bin/bash\necho here\n")
    # A program each, but one interpreter, as that takes longest to start.
    (commands / "run.py").write_text(
        "import os, runpy, sys\n"
        f"for job in open({str(commands / 'jobs')!r}):\n"
        "    os.environ['SLURM_ARRAY_TASK_ID'], *sys.argv = job.split()\n"
        "    try:\n"
        "        runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "    except SystemExit as ended:\n"
        "        assert not ended.code\n"
    )
    for name in ("sbatch", "srun", "scontrol"):
        (commands / name).chmod(0o755)
    binaries = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{commands}:{binaries}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    (tmp_path / "a.jsonl").write_bytes(as_lines(made(20)))
    sources = {"code": [str(tmp_path / "a.jsonl")]}
    gin.bind_parameter("corpus.TaskSettings.band_recall", 0.0)  # one band, one job
    run(tmp_path / "here", sources, tokenizer_path=tokenizer)
    gin.bind_parameter("corpus.ExecutorSettings.kind", "slurm")
    gin.bind_parameter("corpus.ExecutorSettings.poll_seconds", 0.1)
    with pytest.raises(UserError, match="does not fit slurm.*time"):
        run(tmp_path / "there", sources, tokenizer_path=tokenizer)
    options = {"time": "1:00:00", "partition": "cpu"}
    gin.bind_parameter("corpus.ExecutorSettings.options", options)
    run(tmp_path / "there", sources, tokenizer_path=tokenizer)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_ray_gives_the_same_bytes_and_tells_what_failed(tokenizer, tmp_path, monkeypatch):
    """datatrove's executor, but for Ray itself: its tasks run here, and a failed one is dropped."""
    dying = {"sign"}

    class WithoutRay(executor.RayPipelineExecutor):
        def run(self) -> None:
            for rank in self.get_incomplete_ranks():
                if rank == 1 and Path(self.logging_dir.path).name in dying:
                    continue
                self._run_for_rank(rank)

    monkeypatch.setattr(executor, "RayPipelineExecutor", WithoutRay)
    gin.bind_parameter("corpus.TaskSettings.band_recall", 0.0)
    gin.bind_parameter("corpus.TaskSettings.task_bytes", 1000)
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_bytes(as_lines(made(10, 10 * ord(name))))
    sources = {"code": [str(tmp_path / "*.jsonl")]}
    run(tmp_path / "here", sources, tokenizer_path=tokenizer)
    gin.bind_parameter("corpus.ExecutorSettings.kind", "ray")
    with pytest.raises(UserError, match="^1 of the 2 tasks of the stage 'sign' failed.* of them 1"):
        run(tmp_path / "there", sources, tokenizer_path=tokenizer)
    dying.clear()
    run(tmp_path / "there", sources, tokenizer_path=tokenizer)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"code": ["/nowhere/*.jsonl"]}, "no file matches /nowhere"),
        ({"music": ["/tmp"]}, "names 'music'"),
        ({"code": "/tmp/*.jsonl"}, "give a list"),
        ({"code": ["HERE/*.csv"]}, r"only files that end in .jsonl"),
        ({"code": ["HERE/empty"]}, "nothing under .*/empty is code"),
        ({"code": ["nonsense://bucket/*.jsonl"]}, "cannot list nonsense://"),
        ({"code": ["HERE/bad.jsonl"]}, r"no document.*was kept: 2 malformed: no text \(.*:1\)"),
    ],
)
def test_user_errors(tmp_path, sources, message):
    (tmp_path / "a.csv").write_text("a,b\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.jsonl").write_text('{"code": "x"}\n{"code": "y"}\n')
    sources = json.loads(json.dumps(sources).replace("HERE", str(tmp_path)))
    with pytest.raises(UserError, match=message):
        run(tmp_path / "out", sources)
    with pytest.raises(UserError, match="roots and prepare.sources are both given"):
        run(tmp_path / "out", sources, roots=["/tmp"])
    assert not (tmp_path / "out").exists()
