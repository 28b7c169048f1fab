import fnmatch
import importlib.metadata
import os
import re

import pytest
from helpers import ROOT

from codellama_jax.corpus.collect import CollectSettings, collect, label_roots, package_of
from codellama_jax.corpus.drops import Drops
from codellama_jax.corpus.languages import classify, language_of_script, refine
from codellama_jax.errors import UserError

from .trees import python_module


@pytest.mark.parametrize(
    ("directory", "name", "expected"),
    [
        ("a", "b.py", ("code", "python")),
        ("a", "b.pyi", ("code", "python-stub")),
        ("a", "B.HPP", ("code", "cpp")),
        ("a", "CMakeLists.txt", ("code", "cmake")),
        ("a", "README", ("nl_code", "text")),
        ("a", "guide.rst", ("nl_code", "restructuredtext")),
        ("x-1.0.dist-info", "METADATA", ("nl_code", "markdown")),
        ("x-1.0.dist-info", "top_level.txt", None),
        ("x-1.0.dist-info/licenses", "LICENSE", ("nl", "text")),
        ("a", "LICENSE.md", ("nl", "markdown")),
        ("a", "THIRD_PARTY.so", None),
        ("a", "CHANGES.rst", ("nl", "restructuredtext")),
        ("a", "notes.txt", ("nl", "text")),
        ("pydoc_data", "topics.py", ("nl_code", "python")),
        ("a", ".py", None),
        ("a", "image.png", None),
    ],
)
def test_classify(directory, name, expected):
    assert classify(directory, name) == expected


def test_shebangs_and_headers():
    assert language_of_script("#!/usr/bin/env python3") == "python"
    assert language_of_script("#!/bin/bash -e") == "shell"
    assert language_of_script("#!/usr/bin/awk -f") is None
    assert language_of_script("plain") is None
    assert refine("c", "namespace a {\n}") == "cpp"
    assert refine("c", "int f(void);") == "c"


def test_packages_and_vendored_libraries():
    assert package_of("six.py") == ("six", False)
    assert package_of("numpy/lib/a.py") == ("numpy", False)
    assert package_of("big/include/external/ssl/src/a.c") == ("big/ssl", True)
    assert package_of("big/include/big/core/a.h") == ("big/big", False)
    assert package_of("pip/_vendor/rich/a.py") == ("pip/rich", True)


def test_walk_is_sorted_and_leaves_out_what_it_should(tmp_path):
    def put(path, text=None):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text or python_module(1))

    for path in ("b/z.py", "b/a.py", "a/x.py", "torch/t.py", "codellama_jax/c.py", "a/.git/h.py"):
        put(path)
    put("a/testdata/d.py")
    put("a/huge.py", "x" * 200_000)
    put("a/tiny.py", "x")
    put("a/script", "#!/bin/sh\n" + "echo hello world\n" * 9)
    put("demo-1.0.dist-info/METADATA", "Name: demo\nLicense: MIT\n\n" + "About the demo. " * 9)
    put("demo-1.0.dist-info/RECORD", "a/x.py,,\n")
    os.symlink(tmp_path / "a" / "x.py", tmp_path / "a" / "link.py")
    drops = Drops()
    [(label, root)] = label_roots([str(tmp_path)])
    found = collect([(label, root)], CollectSettings(), drops)
    assert [c.path.removeprefix(f"{label}/") for c in found] == [
        "a/script",
        "a/x.py",
        "b/a.py",
        "b/z.py",
        "demo-1.0.dist-info/METADATA",
    ]
    licenses = {c.path.rpartition("/")[2]: c.license for c in found}
    assert licenses == {
        "script": "MIT",
        "x.py": "MIT",
        "a.py": None,
        "z.py": None,
        "METADATA": "MIT",
    }
    table = drops.table()["code"]
    assert table["file too large"]["documents"] == table["file too small"]["documents"] == 1


def test_roots(tmp_path, monkeypatch):
    (tmp_path / "one" / "lib").mkdir(parents=True)
    (tmp_path / "two" / "lib").mkdir(parents=True)
    roots = label_roots([str(tmp_path / "one" / "lib"), str(tmp_path / "two" / "lib")])
    assert [label for label, _ in roots] == ["lib", "lib-2"]
    monkeypatch.setenv("HOME", str(tmp_path / "one"))
    assert label_roots(["~/lib"]) == [("lib", str(tmp_path / "one" / "lib"))]
    with pytest.raises(UserError, match="nowhere.*readable directory"):
        label_roots([str(tmp_path / "nowhere")])
    with pytest.raises(UserError, match="roots is empty"):
        label_roots([])
    assert [label for label, _ in label_roots(None)][0] == "stdlib"


def locked(file):
    pins = re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / file).read_text(), re.M)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in pins}


def test_what_only_development_installs_is_no_part_of_a_corpus():
    globs = CollectSettings().exclude_packages
    only = locked("dev.lock") - locked("runtime.lock")
    for found in importlib.metadata.distributions():
        if re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower() not in only:
            continue
        names = {str(file).split("/")[0] for file in found.files or []} - {"..", "__pycache__"}
        names = {name for name in names if not name.endswith((".libs", ".pth"))}
        assert not [n for n in names if not any(fnmatch.fnmatch(n, glob) for glob in globs)]
