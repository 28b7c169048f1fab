import ast
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

from codellama_jax.corpus import SOURCES, prepare, read_manifest, read_shard
from codellama_jax.corpus.deduplicate import shingles
from codellama_jax.errors import UserError
from codellama_jax.text.vocabulary import Vocabulary

from .conftest import VOCABULARY
from .trees import make_tree, python_module


def arguments(tree, output, **changes):
    return {
        "output_dir": str(output),
        "roots": [str(tree)],
        "heldout_fraction": 0.1,
        "vocab_size": VOCABULARY,
        "workers": 1,
        **changes,
    }


def contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def records(corpus: Path, source: str, split: str) -> list[dict]:
    shards = sorted((corpus / source).glob(f"{split}-*.array_record"))
    return [record for shard in shards for record in read_shard(shard)]


def test_every_source_has_both_sides(corpus):
    for source in set(SOURCES) - {"excerpts"}:
        assert records(corpus, source, "train") and records(corpus, source, "heldout"), source
    languages = read_manifest(corpus)["sources"]["code"]["train"]["languages"]
    assert set(languages) == {"python", "c"}
    paths = {r["path"] for split in ("train", "heldout") for r in records(corpus, "code", split)}
    assert not any("inside.py" in path for path in paths)


def test_manifest_is_what_the_shards_hold(corpus):
    manifest = read_manifest(corpus)
    vocabulary = Vocabulary.load(corpus / "tokenizer.model")
    assert manifest["tokenizer"]["size"] == vocabulary.size == VOCABULARY
    assert manifest["tokenizer"]["sha256"] == vocabulary.sha256
    for source in SOURCES:
        for split in ("train", "heldout"):
            entry = manifest["sources"][source][split]
            of = records(corpus, source, split)
            texts = [
                [m["content"] for m in r["messages"]] if "messages" in r else [r["text"]]
                for r in of
            ]
            lengths = np.load(corpus / source / f"{split}.lengths.npy")
            assert lengths.dtype == np.int32
            assert lengths.tolist() == [sum(len(vocabulary.encode(t)) for t in ts) for ts in texts]
            assert entry["documents"] == len(of) == sum(s["records"] for s in entry["shards"])
            assert entry["tokens"] == lengths.sum()
            assert entry["bytes"] == sum(len(t.encode()) for ts in texts for t in ts)
            for counts in (entry["languages"], entry["licenses"]):
                assert sum(c["documents"] for c in counts.values()) == len(of)
                assert sum(c["bytes"] for c in counts.values()) == entry["bytes"]
            assert {s["file"] for s in entry["shards"]} == {
                p.name for p in (corpus / source).glob(f"{split}-*")
            }


def test_near_copies_are_dropped_and_accounted_for(corpus):
    manifest = read_manifest(corpus)
    kept = [r["path"] for s in ("train", "heldout") for r in records(corpus, "code", s)]
    copies = ("original.py", "relicensed.py", "renamed.py", "exact.py")
    assert sum(path.endswith(copies) for path in kept) == 1
    dropped = manifest["dropped"]["code"]
    assert sum(dropped[r]["documents"] for r in ("exact duplicate", "near duplicate")) == 3
    for row in dropped.values():
        assert 0 < len(row["examples"]) <= min(3, row["documents"])
    assert manifest["collected"]["files"] >= len(kept)


def test_nothing_leaks_from_train_to_heldout(corpus):
    for source in SOURCES:
        sides = {s: records(corpus, source, s) for s in ("train", "heldout")}
        texts = {
            s: [set(shingles(json.dumps(r.get("messages") or r["text"]), 5).tolist()) for r in of]
            for s, of in sides.items()
        }
        for held in texts["heldout"]:
            for trained in texts["train"]:
                assert len(held & trained) < 0.95 * len(held | trained)
    # A document, and what was made from it, have one side in all sources.
    side = {}
    for source in SOURCES:
        for split in ("train", "heldout"):
            for record in records(corpus, source, split):
                parent = record["path"].partition("#")[0]
                assert side.setdefault(parent, split) == split, parent


def test_python_is_the_python_of_the_code(corpus):
    for split in ("train", "heldout"):
        code = [r for r in records(corpus, "code", split) if r["language"] == "python"]
        assert records(corpus, "python", split) == [{**r, "source": "code"} for r in code]


def test_dialogues_compile_and_their_tests_pass(corpus):
    tested = asked = 0
    for record in records(corpus, "dialogues", "train") + records(corpus, "dialogues", "heldout"):
        user, assistant = record["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        if "```python" not in user["content"]:
            asked += 1
            ast.parse(assistant["content"])
            scope = {}
            exec(assistant["content"], scope)
            for test in record["tests"]:
                tested += 1
                exec(test, scope)
            assert not record["tests"] or record["tests"][0] in user["content"]
    assert asked > 20 and tested > 10


def test_same_bytes_with_any_number_of_workers(tree, corpus, tmp_path):
    prepare(**arguments(tree, tmp_path / "again", workers=2))
    assert contents(tmp_path / "again") == contents(corpus)
    prepare(**arguments(tree, tmp_path / "other", seed=1))
    assert contents(tmp_path / "other") != contents(corpus)


def test_a_finished_corpus_is_left_alone(tree, corpus, capsys):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    manifest = prepare(**arguments(tree, corpus))
    assert capsys.readouterr().out == f"{corpus} is done\n"
    assert manifest == read_manifest(corpus)
    assert before == {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    with pytest.raises(UserError, match=r"vocab_size is 420 there and 500 here.*delete it"):
        prepare(**arguments(tree, corpus, vocab_size=500))
    gin.bind_parameter("corpus.DeduplicateSettings.threshold", 0.7)
    with pytest.raises(UserError, match=r"threshold is 0.8 there and 0.7 here"):
        prepare(**arguments(tree, corpus))


def test_existing_tokenizer_is_copied(tree, corpus, tmp_path):
    model = corpus / "tokenizer.model"
    prepare(**arguments(tree, tmp_path / "out", tokenizer_path=str(model), vocab_size=4096))
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == model.read_bytes()
    with pytest.raises(UserError, match="nowhere.model"):
        prepare(**arguments(tree, tmp_path / "x", tokenizer_path=str(tmp_path / "nowhere.model")))


def test_budgets_and_package_limit_by_gin(tree, tmp_path):
    gin.bind_parameter("prepare.code_bytes", 30_000)
    gin.bind_parameter("corpus.SampleSettings.max_package_fraction", 0.1)
    gin.bind_parameter("corpus.SampleSettings.extra_python_bytes", 0)
    gin.bind_parameter("corpus.ShardSettings.shard_bytes", 10_000)
    manifest = prepare(**arguments(tree, tmp_path / "out"))
    code = manifest["sources"]["code"]
    total = sum(code[split]["bytes"] for split in code)
    assert 10_000 < total < 36_000
    assert manifest["dropped"]["code"]["package limit"]["documents"] > 0
    assert len(code["train"]["shards"]) >= 2


def test_a_kill_leaves_no_half_corpus_and_the_next_run_finishes(tmp_path, corpus, tree):
    output = tmp_path / "corpus"
    program = (
        "from codellama_jax.corpus import prepare\n"
        f"if __name__ == '__main__': prepare(**{arguments(tree, output, workers=2)!r})"
    )
    script = tmp_path / "run.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    process = subprocess.Popen([sys.executable, str(script)], env=environment)
    partial = tmp_path / "corpus.partial"
    while not (partial.exists() or output.exists()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert partial.exists() and not output.exists()
    (partial / "half").write_text("left over")
    prepare(**arguments(tree, output))
    assert not partial.exists()
    assert contents(output) == contents(corpus)


def test_failures_leave_nothing_behind(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="no usable source code"):
        prepare(**arguments(empty, tmp_path / "out"))
    tiny = make_tree(tmp_path / "tiny", modules=4)
    with pytest.raises(UserError, match="vocab_size=4096 .*lower it"):
        prepare(**arguments(tiny, tmp_path / "out", vocab_size=4096))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "tiny"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"roots": ["/nonexistent/place"]}, "cannot read the root /nonexistent/place"),
        ({"heldout_fraction": 1.0}, r"heldout_fraction=1.0: set it within"),
        ({"vocab_size": 100}, "vocab_size=100"),
        ({"nl_bytes": -1}, "the bytes of nl are -1"),
        ({"workers": 0}, "workers=0"),
        ({"output_dir": "/dev/null/corpus"}, "cannot write /dev/null/corpus"),
        ({"output_dir": "/proc/corpus"}, "cannot write /proc/corpus.partial"),
    ],
)
def test_user_errors(tree, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        prepare(**arguments(tree, tmp_path / "out", **changes))
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_something_else_is_refused(tree, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="is not a corpus"):
        prepare(**arguments(tree, tmp_path))
    assert (tmp_path / "thesis.tex").exists()


def test_a_full_disk_is_one_line(tree, tmp_path):
    """A limit on file size stands for the full disk: the same calls fail."""
    output = tmp_path / "corpus"
    program = f"""
import resource, signal
from codellama_jax.corpus import prepare
from codellama_jax.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    prepare(**{arguments(tree, output)!r})
except UserError as error:
    print("UserError", error)
"""
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    lines = [line for line in done.stdout.split("\n") if line.startswith("UserError")]
    assert len(lines) == 1 and lines[0].startswith(f"UserError cannot write {output}"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_read_manifest_errors(corpus, tmp_path):
    with pytest.raises(UserError, match="no corpus at .*codellama-jax prepare"):
        read_manifest(tmp_path / "none")
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="not a corpus manifest"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"version": 99}')
    with pytest.raises(UserError, match="version 99"):
        read_manifest(tmp_path)
    broken = tmp_path / "x.array_record"
    shutil.copy(corpus / "manifest.json", broken)
    with pytest.raises(UserError, match="cannot read the shard"):
        read_shard(broken)


def test_small_files_come_first(tree, tmp_path):
    for i in range(6):
        (tmp_path / "root" / "big").mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / "big" / f"b{i}.py").write_text(python_module(5000 + i, functions=40))
    make_tree(tmp_path / "root", modules=60)
    gin.bind_parameter("corpus.SampleSettings.small_file_fraction", 0.5)
    gin.bind_parameter("corpus.SampleSettings.max_package_fraction", 1.0)
    gin.bind_parameter("corpus.SampleSettings.python_fraction", 1.0)
    prepare(**arguments(tmp_path / "root", tmp_path / "out", code_bytes=40_000))
    sizes = [
        len(r["text"])
        for split in ("train", "heldout")
        for r in records(tmp_path / "out", "code", split)
    ]
    small = sum(size for size in sizes if size <= 4000)
    assert 0.4 * sum(sizes) < small < 0.65 * sum(sizes)
