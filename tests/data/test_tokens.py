"""Rows cut from stored tokens are those of the texts."""

import shutil

import numpy as np
import pytest

from codellama_jax.corpus import read_manifest, tokens_file
from codellama_jax.corpus.tokens import store_tokens
from codellama_jax.data import Records, RowStream
from codellama_jax.errors import UserError

from .conftest import ROW


@pytest.fixture(scope="module")
def stored(prepared, tmp_path_factory):
    copy = tmp_path_factory.mktemp("stored") / "corpus"
    shutil.copytree(prepared, copy)
    store_tokens(copy, read_manifest(copy), workers=1)
    return copy


def without_texts(corpus, copy):
    """A copy whose shards cannot be read as records any more."""
    shutil.copytree(corpus, copy)
    for path in copy.glob("*/*.array_record"):
        path.write_bytes(path.read_bytes().replace(b"text", b"none"))
    return str(copy)


def test_the_file_holds_every_documents_tokens(prepared, stored):
    vocabulary = RowStream("code", ROW, 0, corpus=str(stored)).vocabulary
    for source in ("code", "python", "nl_code", "nl"):
        for split in ("train", "heldout"):
            records = Records(stored, source, split)
            assert records.tokens.dtype == np.uint16
            assert Records(prepared, source, split).tokens is None
            for number in range(0, len(records), 7):
                expected = vocabulary.encode(records[number]["text"])
                assert records.tokens_of(number).tolist() == expected
    assert not (stored / "dialogues" / tokens_file("train")).exists()
    assert not list(stored.rglob("*.partial"))


@pytest.mark.parametrize(
    ("mixture", "row_length"),
    [
        ("code_llama_left_to_right", 64),
        ("code_llama_left_to_right", ROW),
        ("code_llama", 64),
        ("code_llama", ROW),
        ("code_llama_instruct", ROW),
    ],
)
def test_rows_and_fingerprint_are_those_without_them(prepared, stored, mixture, row_length):
    ours = RowStream(mixture, row_length, 1, corpus=str(stored))
    theirs = RowStream(mixture, row_length, 1, corpus=prepared, cache_bytes=0)
    assert ours.fingerprint() == theirs.fingerprint()
    for number in (*range(60), *range(7_000_000, 7_000_020)):
        found, expected = ours.row(number), theirs.row(number)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_left_to_right_rows_read_no_text(stored, tmp_path):
    blind = RowStream("code", ROW, 0, corpus=without_texts(stored, tmp_path / "blind"))
    seeing = RowStream("code", ROW, 0, corpus=str(stored))
    for number in range(30):
        np.testing.assert_array_equal(blind.row(number)["inputs"], seeing.row(number)["inputs"])
    assert not blind.set_aside()


def test_what_is_there_is_not_written_again(stored):
    before = {path: path.stat().st_mtime_ns for path in stored.rglob("*.tokens.npy")}
    store_tokens(stored, read_manifest(stored), workers=1)
    assert before == {path: path.stat().st_mtime_ns for path in stored.rglob("*.tokens.npy")}


def test_tokens_of_another_corpus(stored, tmp_path):
    copy = tmp_path / "corpus"
    shutil.copytree(stored, copy)
    np.save(copy / "code" / tokens_file("train"), np.zeros(5, np.uint16))
    with pytest.raises(UserError, match="train.tokens.npy holds 5 tokens, lengths.npy counts"):
        RowStream("code", ROW, 0, corpus=str(copy))


def test_lengths_of_another_tokenizer(prepared, tmp_path):
    copy = tmp_path / "corpus"
    shutil.copytree(prepared, copy)
    path = copy / "nl" / "train.lengths.npy"
    lengths = np.load(path)
    lengths[0] += 1
    np.save(path, lengths)
    with pytest.raises(UserError, match=f"{copy}/nl: lengths.npy was made with another tokenizer"):
        store_tokens(copy, read_manifest(copy), workers=1)
    assert not list((copy / "nl").glob("train.tokens*"))
