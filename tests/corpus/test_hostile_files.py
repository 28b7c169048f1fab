"""Files as they should not be: nothing hangs or raises, and every one is accounted for."""

import os

import gin

from codellama_jax.corpus import prepare, read_shard
from codellama_jax.corpus.deduplicate import DeduplicateSettings
from codellama_jax.corpus.document import Candidate
from codellama_jax.corpus.filters import FilterSettings
from codellama_jax.corpus.load import load

from .trees import header, make_tree, python_module

BIG = 20_000_000
DROPPED = {
    "empty.py": "file too small",
    "nul.py": "binary",
    "latin1.py": "not UTF-8",
    "surrogate_bytes.py": "not UTF-8",
    "half_a_character.py": "not UTF-8",
    "dangling.py": "link or special file",
    "loop.py": "link or special file",
    "pipe.py": "link or special file",
    "one_line.py": "too long",
    "one_line.md": "too long",
    "spaces.py": "too short",
}
ESCAPES = r'''
"""A module with a docstring that is long enough. \ud800 \0 \udfff"""


def surrogate(value):
    """Return the value as it was given, unpaired \udc80 or not \x00 at all.

    >>> surrogate('\\ud800')
    '\\ud800'
    >>> surrogate('\0')
    '\0'
    """
    copied = value
    return copied
'''


def put_hostile_files(root):
    """Writes one of each kind below `root`."""
    module = python_module(1).encode()
    contents = {
        "empty.py": b"",
        "nul.py": module + b"x = '\0'\n",
        "latin1.py": module + "# déjà vu\n".encode("latin-1"),
        "surrogate_bytes.py": module + "# \ud800\n".encode("utf-8", "surrogatepass"),
        "half_a_character.py": module + "é".encode()[:1],
        "spaces.py": b" \n" * 500,
        "one_line.py": b"x = [" + b"1, " * (BIG // 3) + b"]\n",
        "one_line.md": b"word " * (BIG // 5),
        # Text by its bytes, but strings in it hold what no text can.
        "escapes.py": ESCAPES.encode(),
        "class_escapes.py": b'class Prose:\n    """' + b"This is the one of \\ud83d it. " * 20
        + b'"""\n\n    size = 1\n',
        "pydoc_data/topics.py": b"topics = {'a': '"
        + b"the words of a topic " * 9
        + b"\\ud800', 'b': 'short'}\n",
        "big/pydoc_data/topics.py": b"x = [" + b"1, " * (BIG // 3) + b"]\n",
        "deep.py": b"x = " + b"(" * 900 + b"1" + b")" * 900 + b"\n",
    }  # fmt: skip
    for name, data in contents.items():
        path = root / "hostile" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    os.symlink(root / "nowhere.py", root / "hostile" / "dangling.py")
    os.symlink(root / "hostile" / "loop.py", root / "hostile" / "loop.py")
    os.mkfifo(root / "hostile" / "pipe.py")
    (root / "hostile" / os.fsdecode(b"name\xff.py")).write_bytes(python_module(7777).encode())
    (root / "hostile" / "locked.py").write_text(header(5))
    (root / "hostile" / "locked.py").chmod(0)


def balance(manifest):
    """{source: (seen, kept and dropped)}; Python is a view of the code."""
    kept = {source: 0 for source in manifest["sources"]}
    for source, splits in manifest["sources"].items():
        kept[source] = sum(split["documents"] for split in splits.values())
    kept["code"] += kept.pop("excerpts") + manifest["collected"]["parents"]
    del kept["python"]
    dropped = {
        source: sum(row["documents"] for row in reasons.values())
        for source, reasons in manifest["dropped"].items()
    }
    seen = manifest["collected"]["seen"]
    return {s: (seen.get(s, 0), kept.get(s, 0) + dropped.get(s, 0)) for s in kept}


def test_nothing_hangs_and_everything_is_accounted_for(tmp_path):
    root = make_tree(tmp_path / "library", modules=60)
    put_hostile_files(root)
    for i in range(3000):
        directory = root / "tiny" / str(i % 30)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"t{i}.py").write_text(f"value_{i} = {i}\n" * (1 + i % 5))
    gin.parse_config(f"""
        corpus.CollectSettings.max_file_bytes = {2 * BIG}
        corpus.CollectSettings.min_file_bytes = 1
        corpus.ExcerptSettings.total_bytes = 2_000
        corpus.SampleSettings.max_package_fraction = 1.0
        corpus.SampleSettings.extra_python_bytes = 4_000
    """)
    manifest = prepare(
        str(tmp_path / "out"),
        roots=[str(root)],
        heldout_fraction=0.1,
        vocab_size=420,
        workers=1,
    )
    for source, (seen, accounted) in balance(manifest).items():
        assert seen == accounted, source
    assert manifest["collected"]["seen"]["code"] > 3000
    reasons = {
        os.path.basename(example): reason
        for rows in manifest["dropped"].values()
        for reason, row in rows.items()
        for example in row["examples"]
    }
    # The manifest keeps three examples a reason; what it names is named rightly.
    assert {n: r for n, r in DROPPED.items() if n in reasons}.items() <= reasons.items()
    wanted = {"dangling.py", "loop.py", "pipe.py", "nul.py", "one_line.py", "one_line.md"}
    assert wanted <= set(reasons)
    kept = {
        record["path"].rpartition("/")[2]
        for split, described in manifest["sources"]["code"].items()
        for shard in described["shards"]
        for record in read_shard(tmp_path / "out" / "code" / shard["file"])
    }
    assert not kept & set(DROPPED)
    assert "name\\udcff.py" in kept and "escapes.py" in kept


def test_a_budget_that_is_full_leaves_an_account(tmp_path):
    root = make_tree(tmp_path / "library")
    gin.parse_config("""
        corpus.ExcerptSettings.total_bytes = 4_000
        corpus.ExcerptSettings.max_bytes = 400
        corpus.SampleSettings.extra_python_bytes = 30_000
    """)
    manifest = prepare(
        str(tmp_path / "out"),
        roots=[str(root)],
        code_bytes=40_000,
        nl_code_bytes=20_000,
        dialogue_bytes=3_000,
        vocab_size=420,
        workers=1,
    )
    for source, (seen, accounted) in balance(manifest).items():
        assert seen == accounted > 0, source
    assert manifest["collected"]["parents"] > 0
    for source in ("code", "nl_code", "dialogues"):
        assert manifest["dropped"][source]["not drawn"]["documents"] > 0, source


def test_a_file_that_cannot_be_opened_is_an_outcome(tmp_path):
    candidate = Candidate(str(tmp_path / "gone.py"), "x/gone.py", 99, "code", "python", "x", None)
    [outcome] = load(candidate, FilterSettings(), DeduplicateSettings())
    assert (outcome.document, outcome.reason, outcome.size) == (None, "unreadable", 99)
