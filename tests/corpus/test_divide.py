import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codellama_jax.corpus.deduplicate import DeduplicateSettings
from codellama_jax.corpus.divide import DivideSettings, chosen, divide, divide_batch
from codellama_jax.corpus.document import Document
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
SETTINGS = DivideSettings(fraction=1.0, max_bytes=150, min_bytes=20)


def test_cuts_stand_before_definitions_with_their_decorators_and_comments():
    pieces = divide(SOURCE, SETTINGS)
    assert [piece.strip().splitlines()[0] for piece in pieces] == [
        '"""What the module is for, said at some length."""',
        "# What first does.",
        "class Small:",
        "class Large:",
        "def one(self):",
        "@property",
    ]
    assert "".join(pieces) == SOURCE
    whole_class = divide(SOURCE, DivideSettings(max_bytes=10_000, min_bytes=20))
    assert len(whole_class) == 4 and "def two" in whole_class[3]


def test_small_pieces_are_joined_to_the_next():
    pieces = divide(SOURCE, DivideSettings(max_bytes=150, min_bytes=100))
    assert "".join(pieces) == SOURCE and all(len(piece) >= 100 for piece in pieces)


@pytest.mark.parametrize("broken", ["def f(:\n", "x = 1\x0c\nclass A:\r  pass\n", ""])
def test_what_does_not_parse_or_counts_other_lines_is_left(broken):
    assert divide(broken, SETTINGS) == []


@given(seed=st.integers(0, 10**6), least=st.integers(0, 400), most=st.integers(0, 2000))
def test_pieces_are_the_file(seed, least, most):
    text = python_module(seed, functions=5)
    assert "".join(divide(text, DivideSettings(max_bytes=most, min_bytes=least))) in (text, "")


def test_a_fraction_of_the_large_files_is_chosen_whatever_else_is_there():
    documents = [Document("x" * 200, f"{n}.py", "python", "code") for n in range(1000)]
    some = chosen(documents, DivideSettings(fraction=0.3, max_bytes=150), 0)
    assert 250 < len(some) < 350
    assert chosen(documents[:500], DivideSettings(fraction=0.3, max_bytes=150), 0) == {
        d.path for d in documents[:500] if d.path in some
    }
    assert not chosen(documents, DivideSettings(fraction=1.0, max_bytes=200), 0)
    assert not chosen(documents, DivideSettings(), 0)


def test_pieces_name_their_parent_and_bad_ones_their_reason():
    good = Document(SOURCE, "a.py", "python", "code")
    bad = Document("def f(:\n" * 40, "b.py", "python", "code")
    outcomes = divide_batch([good, bad], SETTINGS, FilterSettings(), DeduplicateSettings())
    made = [o.document for o in outcomes if o.document]
    assert made and {d.parent for d in made} == {"a.py"}
    assert all(d.sha256 == hashlib.sha256(d.text.encode()).hexdigest() for d in made)
    assert [o.reason for o in outcomes if o.path == "a.py#2"] == ["too short"]
    assert [o.reason for o in outcomes if o.path == "b.py"] == [
        "cannot be cut: not this Python's syntax"
    ]


def test_prepare_cuts_files_and_keeps_each_on_one_side(tree, tmp_path):
    import gin

    from codellama_jax.corpus import prepare

    gin.parse_config("corpus.DivideSettings.fraction = 0.5\ncorpus.DivideSettings.max_bytes = 400")
    output = tmp_path / "corpus"
    manifest = prepare(
        str(output), roots=[str(tree)], heldout_fraction=0.2, vocab_size=420, workers=1
    )
    sides = {}
    for side in ("train", "heldout"):
        described = manifest["sources"]["python"][side]
        sides[side] = [
            record["path"]
            for shard in described["shards"]
            for record in read_shard(output / "python" / shard["file"])
        ]
    files = {side: {path.partition("#")[0] for path in paths} for side, paths in sides.items()}
    assert all(any("#" in path for path in paths) for paths in sides.values())
    assert all(any("#" not in path for path in paths) for paths in sides.values())
    assert not files["train"] & files["heldout"]
