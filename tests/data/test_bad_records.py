"""Records that cannot be used are counted and set aside; the rest of the corpus is trained on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter

from codellama_jax.corpus import read_manifest, read_shard
from codellama_jax.data import RowStream, corpus_problems
from codellama_jax.errors import UserError

from .conftest import ROW


def with_records(prepared, copy: Path, source: str, bad: dict[int, bytes]) -> str:
    """A copy of the corpus in which some training records of a source are other bytes."""
    shutil.copytree(prepared, copy)
    (shard,) = read_manifest(prepared)["sources"][source]["train"]["shards"]
    path = copy / source / shard["file"]
    records = [json.dumps(record).encode() for record in read_shard(path)]
    for number, raw in bad.items():
        records[number] = raw
    path.unlink()
    writer = ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()
    return str(copy)


BAD_TEXTS = [
    b"",
    b"{broken",
    b"\xff\xfe",
    b"[1, 2]",
    b"null",
    b'{"path": "a.py"}',
    b'{"text": null}',
    b'{"text": 7}',
]


def test_bad_documents(prepared, tmp_path):
    bad = dict(zip(range(0, 40, 5), BAD_TEXTS))
    corpus = with_records(prepared, tmp_path / "corpus", "code", bad)
    stream = RowStream("code_infill", ROW, 0, corpus=corpus)
    good = RowStream("code_infill", ROW, 0, corpus=prepared)
    assert stream.set_aside() == {}
    (rows,) = stream.tasks
    for number in range(len(rows.rows)):
        (found, spans), (expected, whole) = rows.render(number), good.tasks[0].render(number)
        assert [span.piece for span in spans] == [span.piece for span in whole]
        for ours in spans:
            if ours.piece.document in bad:
                assert ours.start == ours.stop
            elif not {span.piece.document for span in spans} & set(bad):
                for name in ("inputs", "targets", "weights"):
                    np.testing.assert_array_equal(found[name], expected[name])
            else:
                assert ours.stop - ours.start > 0
    set_aside = stream.set_aside()
    for number in bad:
        places = [place for place in set_aside if f"record {number}:" in place]
        assert len(places) == 1 and set_aside[places[0]] >= 1, number
        assert "train-00000-of-00001.array_record" in places[0]
    assert len(set_aside) == len(bad)


BAD_DIALOGUES = [
    b"{broken",
    b'{"text": "no messages"}',
    b'{"messages": 3}',
    b'{"messages": []}',
    b'{"messages": [{"role": "user", "content": "a [INST] b"},'
    b' {"role": "assistant", "content": "c"}]}',
    b'{"messages": [{"role": "assistant", "content": "c"}, {"role": "user", "content": "d"}]}',
    b'{"messages": [{"role": "user"}, {"role": "assistant", "content": "c"}]}',
]


def test_bad_dialogues(prepared, tmp_path):
    bad = dict(enumerate(BAD_DIALOGUES))
    corpus = with_records(prepared, tmp_path / "corpus", "dialogues", bad)
    stream = RowStream("dialogues", ROW, 0, corpus=corpus)
    (rows,) = stream.tasks
    seen = set()
    for number in range(len(rows.rows)):
        seen |= {span.piece.document for span in rows.render(number)[1]}
    assert seen and not seen & set(bad)
    set_aside = stream.set_aside()
    for number in bad:
        assert [place for place in set_aside if f"record {number}:" in place], number
    assert len(set_aside) == len(bad)


def test_shard_that_is_missing(prepared, tmp_path):
    copy = tmp_path / "corpus"
    shutil.copytree(prepared, copy)
    next((copy / "code").glob("train-*.array_record")).unlink()
    with pytest.raises(UserError, match=f"{copy}/code"):
        RowStream("code", ROW, 0, corpus=str(copy))


def test_lengths_of_another_corpus(prepared, tmp_path):
    copy = tmp_path / "corpus"
    shutil.copytree(prepared, copy)
    np.save(copy / "code" / "train.lengths.npy", np.ones(3, np.int32))
    with pytest.raises(UserError, match="the manifest counts .* prepare the corpus anew"):
        RowStream("code", ROW, 0, corpus=str(copy))


def test_a_document_longer_than_its_length_says(prepared, tmp_path):
    copy = tmp_path / "corpus"
    shutil.copytree(prepared, copy)
    lengths = np.load(copy / "code" / "train.lengths.npy")
    short = int(np.argmax(lengths))
    lengths[short] = 3
    np.save(copy / "code" / "train.lengths.npy", lengths)
    stream = RowStream("code", ROW, 0, corpus=str(copy))
    (rows,) = stream.tasks
    for number in range(len(rows.rows)):
        row, _ = rows.render(number)
        assert row["inputs"].shape == (ROW,)
    ((place, count),) = stream.set_aside().items()
    assert count == 1 and f"record {short}: longer than lengths.npy says" in place


def test_another_tokenizer(prepared, tmp_path):
    from helpers import small_model

    copy = tmp_path / "corpus"
    shutil.copytree(prepared, copy)
    (copy / "tokenizer.model").write_bytes(small_model())
    with pytest.raises(UserError, match="is not the tokenizer the corpus was prepared with"):
        RowStream("code", ROW, 0, corpus=str(copy))


def test_source_without_documents(prepared, tmp_path):
    copy = tmp_path / "corpus"
    shutil.copytree(prepared, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["sources"]["nl"]["train"].update(documents=0, shards=[])
    (copy / "manifest.json").write_text(json.dumps(manifest))
    np.save(copy / "nl" / "train.lengths.npy", np.zeros(0, np.int32))
    with pytest.raises(UserError, match="task 'nl_infill' has no train documents that fit"):
        RowStream("code_llama", ROW, 0, corpus=str(copy))
    (told,) = corpus_problems(copy, ["code_infill", "nl_infill"])
    assert "no train documents of source 'nl', only of code, " in told
