import ast

import gin
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codellama_jax.corpus import prepare
from codellama_jax.corpus.deduplicate import DeduplicateSettings
from codellama_jax.corpus.document import Document
from codellama_jax.corpus.excerpts import ExcerptSettings, excerpt_batch, excerpts
from codellama_jax.corpus.filters import FilterSettings
from codellama_jax.corpus.shards import read_shard

from .trees import python_module

SOURCE = '''"""What the module is for, said at some length."""

import os


# What first does.
@decorate(
    1
)
def first(value):
    """Return it."""
    return os.fspath(value)


class Small:
    size = 1


class Large:
    """Has methods."""

    def one(self):
        return "a method long enough to be worth a piece of its own"

    @property
    def two(self):
        return "another method long enough to be worth a piece of its own"


LAST = first(1)
'''
SETTINGS = ExcerptSettings(min_bytes=20, max_bytes=150)


def test_what_fits_is_taken_whole_and_dedented():
    found = dict(excerpts(SOURCE, SETTINGS))
    assert list(found) == [7, 15, 22, 25]
    assert found[7].startswith("@decorate(\n    1\n)\ndef first(value):\n")
    assert found[25].startswith("@property\ndef two(self):\n    return")
    whole_class = dict(excerpts(SOURCE, ExcerptSettings(min_bytes=20, max_bytes=1000)))
    assert list(whole_class) == [7, 15, 19]
    assert 15 not in dict(excerpts(SOURCE, ExcerptSettings(min_bytes=40, max_bytes=150)))


@pytest.mark.parametrize("broken", ["def f(:\n", "x = 1\x0c\nclass A:\r  pass\n", ""])
def test_what_does_not_parse_or_counts_other_lines_gives_none(broken):
    assert excerpts(broken, SETTINGS) == []


@given(seed=st.integers(0, 10**6), least=st.integers(0, 200), most=st.integers(100, 500))
def test_an_excerpt_is_one_definition_of_fitting_size(seed, least, most):
    settings = ExcerptSettings(min_bytes=least, max_bytes=most)
    module = python_module(seed, functions=5)
    for line, text in excerpts(module, settings):
        (node,) = ast.parse(text).body
        assert module.splitlines()[line - 1].startswith(f"def {node.name}(")
        assert least <= len(text.encode()) <= most


def test_excerpts_name_their_parent():
    of = [Document(SOURCE, "a.py", "python", "code"), Document("def f(:", "b.py", "python", "code")]
    made = excerpt_batch(of, SETTINGS, FilterSettings(), DeduplicateSettings())
    assert [d.path for d in made] == ["a.py#L7", "a.py#L25"]  # the others: too short
    assert {d.parent for d in made} == {"a.py"} and all(len(d.sha256) == 64 for d in made)


def test_prepare_trains_on_excerpts_of_training_files_and_sets_the_others_apart(tree, tmp_path):
    gin.parse_config("""
        corpus.ExcerptSettings.total_bytes = 12_000
        corpus.ExcerptSettings.max_bytes = 400
        corpus.SampleSettings.extra_python_bytes = 100_000
    """)
    output = tmp_path / "corpus"
    manifest = prepare(
        str(output),
        roots=[str(tree)],
        code_bytes=30_000,
        heldout_fraction=0.2,
        vocab_size=420,
        workers=1,
    )
    files = {}
    for side in ("train", "heldout"):
        described = manifest["sources"]["code"][side]
        records = [
            record
            for shard in described["shards"]
            for record in read_shard(output / "code" / shard["file"])
        ]
        cut = [record for record in records if "#" in record["path"]]
        assert bool(cut) == (side == "train") and len(cut) < len(records)
        files[side] = {record["path"].partition("#")[0] for record in records}
        assert len({record["path"] for record in records}) == len(records)
    assert not files["train"] & files["heldout"]
    assert manifest["sources"]["excerpts"]["train"]["documents"] == 0
    apart = [
        record
        for shard in manifest["sources"]["excerpts"]["heldout"]["shards"]
        for record in read_shard(output / "excerpts" / shard["file"])
    ]
    assert apart and all("#L" in record["path"] for record in apart)
    assert not {record["path"].partition("#")[0] for record in apart} & files["train"]
