"""What `inspect` shows is what stands in the rows."""

import json
import os
import re
import subprocess
import sys

import gin
import numpy as np
import pytest
from corpus.trees import make_tree
from helpers import byte_level_tokenizer

from codellama_jax.corpus import prepare, read_manifest
from codellama_jax.data import RowStream, inspect
from codellama_jax.data.inspection import count_rows, show_row, summarise
from codellama_jax.data.inspection_page import page
from codellama_jax.data.inspection_parts import BOUNDARY, piece_title, styled, visible
from codellama_jax.data.inspection_text import rows_text
from codellama_jax.errors import UserError

from .conftest import ROW
from .test_bad_records import with_records

MIXTURES = ("code_llama", "code_llama_python", "code_llama_instruct")
HOSTILE = "<script>alert('x')</script> & \x1b[31mred\x07 \u202e \x9b2J </pre>\n"


def record_of(stream, task, document):
    (rows,) = (rows for rows in stream.tasks if rows.name == task)
    return rows.records[document]


def without_marks(text):
    return re.sub("\x1b\\[[0-9;]*m|[⟦⟧]", "", text)


# Numbers and pieces


@pytest.mark.parametrize("mixture", MIXTURES)
def test_pieces_are_what_the_rows_hold(prepared, mixture):
    stream = RowStream(mixture, ROW, 0, corpus=prepared)
    for number in range(30):
        shown, row = show_row(stream, number), stream.row(number)
        assert shown.task == stream.tasks[row["task"]].name
        assert shown.filled == (row["segment_ids"] > 0).sum()
        for piece in shown.pieces:
            here = slice(piece.start, piece.stop)
            ids = [token.id for token in piece.tokens]
            np.testing.assert_array_equal(ids[:-1], row["inputs"][here])
            np.testing.assert_array_equal(ids[1:], row["targets"][here])
            in_loss = [token.in_loss for token in piece.tokens[1:]]
            np.testing.assert_array_equal(in_loss, row["weights"][here] > 0)
            assert not piece.tokens[0].in_loss
            assert (row["segment_ids"][here] == piece.segment).all()


def test_texts_are_the_documents(stream):
    orders, cut = set(), 0
    for number in range(150):
        row = show_row(stream, number)
        for piece in row.pieces:
            record = record_of(stream, row.task, piece.document)
            assert (piece.path, piece.language) == (record["path"], record["language"])
            assert piece.source == record["source"]
            orders.add(piece.order)
            if piece.whole:
                assert piece.text == record["text"]
            else:
                cut += 1
                assert piece.order == "left-to-right"
                # A character whose bytes stand in two rows is whole in neither.
                assert piece.text.strip("\N{REPLACEMENT CHARACTER}") in record["text"]
    assert orders == {"left-to-right", "PSM", "SPM"} and cut


def test_orders_are_those_that_were_drawn(prepared):
    for share, order in ((1.0, "PSM"), (0.0, "SPM")):
        gin.bind_parameter("Infill.rate", 1.0)
        gin.bind_parameter("Infill.psm_share", share)
        stream = RowStream("code_infill", ROW, 0, corpus=prepared)
        gin.clear_config()
        for number in range(40):
            for piece in show_row(stream, number).pieces:
                before = "".join(t.text for t in piece.tokens if t.part in ("prefix", "middle"))
                if piece.order != "left-to-right" and before:  # all suffix is the same in both
                    assert piece.order == order


def test_dialogues_show_what_carries_no_loss(prepared):
    stream = RowStream("dialogues", ROW, 0, corpus=prepared)
    piece = show_row(stream, 0).pieces[0]
    record = record_of(stream, "dialogues", piece.document)
    asked = "".join(token.text for token in piece.tokens if not token.in_loss)
    told = "".join(token.text for token in piece.tokens if token.in_loss)
    answers = [m["content"] for m in record["messages"] if m["role"] == "assistant"]
    assert "[INST]" in asked and "[INST]" not in told
    assert told.strip() == answers[0].strip()
    assert any("no loss on" in fact for fact in piece_title(piece))


def test_counts_agree_with_the_rows(prepared, stream):
    first, rows = 5, 120
    counts = count_rows(stream, first, rows)
    shown = [show_row(stream, number) for number in range(first, first + rows)]
    for task, count in counts.items():
        own = [row for row in shown if row.task == task]
        pieces = [piece for row in own for piece in row.pieces]
        assert count.rows == len(own) and count.positions == ROW * len(own)
        assert count.tokens == sum(row.filled for row in own) == count.in_loss
        assert count.pieces == len(pieces)
        assert count.whole == sum(piece.whole for piece in pieces)
        assert count.documents == {piece.document for piece in pieces}
        for order in ("PSM", "SPM"):
            assert count.infilled[order] == sum(piece.order == order for piece in pieces)
    summary = summarise(counts)
    total = summary.pop("all")
    assert total["rows"] == rows and total["tokens"] == sum(s["tokens"] for s in summary.values())
    assert total["epochs"] is None
    for number in ("asked_share", "token_share"):
        assert sum(s[number] for s in summary.values()) == pytest.approx(1)
    assert summary["code_infill"]["asked_share"] == pytest.approx(0.85)
    assert 0.8 < summary["code_infill"]["infilled_share_of_whole"] < 1


def test_an_epoch_is_one_visit_of_each_document(prepared):
    stream = RowStream("code_infill", ROW, 0, corpus=prepared)
    (rows,) = stream.tasks
    counts = count_rows(stream, 0, len(rows.rows))
    summary = summarise(counts)["code_infill"]
    assert summary["epochs"] == 1 and summary["documents"] == len(rows.records)


def test_documents_that_cannot_be_used(prepared, tmp_path):
    bad = dict.fromkeys(range(60), b"{broken")
    corpus = with_records(prepared, tmp_path / "corpus", "code", bad)
    stream = RowStream("code", ROW, 0, corpus=corpus)
    rows = [show_row(stream, number) for number in range(60)]
    empty = [piece for row in rows for piece in row.pieces if not piece.tokens]
    assert empty and all("could not be used" in piece_title(piece) for piece in empty)
    assert count_rows(stream, 0, 60)["code"].tokens == sum(row.filled for row in rows)


def test_a_corpus_with_a_tokenizer_json(tmp_path):
    """Byte-level: characters are parted between tokens, and no text begins with a space of ours."""
    root = make_tree(tmp_path / "library", modules=8)
    (root / "signs.py").write_text(
        "NAMES = ['日本', '🚀', 'naïve', '\N{REPLACEMENT CHARACTER}']\n" * 4
    )
    path = tmp_path / "any.json"
    path.write_text(byte_level_tokenizer())
    corpus = str(tmp_path / "corpus")
    prepare(output_dir=corpus, roots=[str(root)], tokenizer_path=str(path), workers=1)
    assert read_manifest(corpus)["tokenizer"]["file"] == "tokenizer.json"
    stream = RowStream("code_infill", 1024, 0, corpus=corpus)
    (rows,) = stream.tasks
    seen = set()
    for number in range(len(rows.rows)):
        for piece in show_row(stream, number).pieces:
            seen.add(piece.path.rpartition("/")[2])
            if piece.whole:
                assert piece.text == record_of(stream, "code_infill", piece.document)["text"]
    assert "signs.py" in seen


# Rendering


def test_terminal_text_is_the_tokens(stream):
    for number in range(20):
        row = show_row(stream, number)
        expected = "".join(
            f"{token.control}{visible(token.text)}" for p in row.pieces for token in p.tokens
        )
        for color in (True, False):
            lines = [without_marks(line) for line in rows_text([row], color, False)]
            said = [line.removeprefix("  ┆ ") for line in lines if line.startswith("  ┆")]
            assert "".join(said) == without_marks(expected).replace("\n", "")


def test_boundaries_stand_between_tokens(stream):
    piece = show_row(stream, 0).pieces[0]
    marked = styled(piece, True)
    words = sum(not token.control for token in piece.tokens)
    runs = sum(
        not b.control and bool(a.control) for a, b in zip(piece.tokens, piece.tokens[1:])
    ) + (not piece.tokens[0].control)
    assert sum(part.kind == "boundary" for part in marked) == words - runs
    assert {part.text for part in marked if part.kind == "boundary"} == {BOUNDARY}
    plain = [part for part in marked if part.kind != "boundary"]
    assert "".join(p.text for p in plain) == "".join(p.text for p in styled(piece, False))


@pytest.fixture(scope="module")
def hostile(prepared, tmp_path_factory) -> RowStream:
    """Documents and paths that would command a terminal or a page."""
    record = {"text": HOSTILE * 3, "path": f"a/{HOSTILE}", "language": "<b>", "source": "code"}
    records = dict.fromkeys(range(200), json.dumps(record).encode())
    folder = tmp_path_factory.mktemp("hostile") / "corpus"
    documents = read_manifest(prepared)["sources"]["code"]["train"]
    records = {n: raw for n, raw in records.items() if n < documents["documents"]}
    return RowStream("code", ROW, 0, corpus=with_records(prepared, folder, "code", records))


def hostile_row(stream):
    rows = (show_row(stream, number) for number in range(200))
    return next(row for row in rows if any(p.language == "<b>" and p.tokens for p in row.pieces))


def test_page_escapes_hostile_text(hostile):
    row = hostile_row(hostile)
    html = page("<title>", "a & b", [row], {}, False)
    assert "<script" not in html and "&lt;script&gt;" in html and "&lt;title&gt;" in html
    assert html.count("</pre>") == len(row.pieces)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", html)
    assert "http" not in re.sub("<pre>.*?</pre>", "", html, flags=re.S), "one file, offline"


def test_terminal_obeys_no_text(hostile):
    text = "\n".join(rows_text([hostile_row(hostile)], True, True))
    left = re.sub("\x1b\\[[0-9;]*m", "", text)
    assert "red" in left and not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", left)
    plain = "\n".join(rows_text([hostile_row(hostile)], False, True))
    assert "\x1b" not in plain


@pytest.mark.parametrize("name", ["row_length", "first", "rows", "counted_rows"])
def test_numbers_out_of_range(name):
    with pytest.raises(UserError, match=rf"inspect\.{name} = -1 must be at least"):
        inspect(**{name: -1})


def test_the_verb(prepared, tmp_path):
    words = [
        "inspect",
        f"--gin_bindings=RowStream.corpus = '{prepared}'", "--gin_bindings=inspect.rows = 9",
        "--mixture=code_llama", f"--length={ROW}", "--rows=2", "--first=3", "--counted=40",
        "--color=always", "--tokens", f"--html={tmp_path / 'page.html'}",
        f"--json={tmp_path / 'rows.json'}",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "codellama_jax.main", *words],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stderr
    assert "row 3 of task" in done.stdout and "row 5" not in done.stdout
    assert "\x1b[" in done.stdout and BOUNDARY in done.stdout
    result = json.loads((tmp_path / "rows.json").read_text())
    stream = RowStream("code_llama", ROW, 0, corpus=prepared)
    assert [row["number"] for row in result["rows"]] == [3, 4]
    for row in result["rows"]:
        expected = show_row(stream, row["number"])
        assert [piece["text"] for piece in row["pieces"]] == [p.text for p in expected.pieces]
    assert result["counts"] == summarise(count_rows(stream, 3, 40))
    assert "code_infill" in (tmp_path / "page.html").read_text()
