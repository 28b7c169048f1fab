"""Rows of a mixture over a real corpus."""

import collections
import shutil

import gin
import numpy as np
import pytest
from scipy import stats

from codellama_jax.corpus import read_manifest
from codellama_jax.data import RowStream
from codellama_jax.data.encoding import DocumentKey
from codellama_jax.data.tasks import MIXTURES
from codellama_jax.errors import UserError

from .conftest import ROW

MIXTURE, BATCH = "code_llama", 8


def new_stream(prepared, mixture=MIXTURE, row_length=ROW, seed=0, **arguments):
    return RowStream(mixture, row_length, seed, corpus=prepared, **arguments)


def assert_equal_rows(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def only_task(stream):
    (rows,) = stream.tasks
    return rows


# The rows are a function of their number


@pytest.mark.parametrize("hosts", [1, 2, 4, 8])
def test_batches_do_not_depend_on_the_hosts(prepared, stream, hosts):
    """Each host is a stream of its own that computes its rows alone, and not from the start."""
    streams = [new_stream(prepared) for _ in range(hosts)]
    share = BATCH // hosts
    for step in (1000, 0, 1_000_000, 1):
        for host in reversed(range(hosts)):
            for row in range(step * BATCH + host * share, step * BATCH + (host + 1) * share):
                assert_equal_rows(streams[host].row(row), stream.row(row))


def test_far_rows_are_found_at_once_and_are_the_same_for_all(prepared, stream):
    far = 10_000_000
    rows = [stream.row(far + n) for n in range(8)]
    other = new_stream(prepared, cache_bytes=0)
    for n in reversed(range(8)):
        assert_equal_rows(other.row(far + n), rows[n])
    assert len({row["inputs"].tobytes() for row in rows}) == 8


def test_asking_again_gives_the_same(stream):
    first = {name: array.copy() for name, array in stream.row(5).items()}
    for number in (900, 5, 12_345):
        stream.row(number)
    assert_equal_rows(stream.row(5), first)


@pytest.mark.parametrize(
    "mixture, row_length",
    [("code_llama", ROW), ("code_llama", 4 * ROW), ("code_llama_left_to_right", 64)],
)
def test_tokens_come_at_the_papers_rates(prepared, mixture, row_length):
    """Whatever share of a task's rows is filled: few long documents leave more of them empty."""
    stream = new_stream(prepared, mixture, row_length)
    tokens = collections.Counter()
    for number in range(1000):
        row = stream.row(number)
        tokens[int(row["task"])] += int((row["segment_ids"] > 0).sum())
    for number, task in enumerate(stream.tasks):
        assert abs(tokens[number] / tokens.total() - MIXTURES[mixture][task.name]) < 0.005


@pytest.mark.parametrize("task", ["code", "nl_infill", "code_infill", "dialogues"])
@pytest.mark.parametrize("row_length", [ROW, 4 * ROW])
def test_tokens_a_row_are_foretold(prepared, task, row_length):
    rows = only_task(new_stream(prepared, task, row_length))
    spans = [span for n in range(2 * len(rows.rows)) for span in rows.render(n)[1]]
    found = sum(span.stop - span.start for span in spans) / (2 * len(rows.rows))
    assert rows.tokens_a_row == pytest.approx(found, rel=0.005 if "infill" in task else 1e-12)


def test_seeds_differ(prepared, stream):
    other = new_stream(prepared, seed=1)
    assert any(
        stream.row(n)["inputs"].tobytes() != other.row(n)["inputs"].tobytes() for n in range(3)
    )


# What a row holds


@pytest.mark.parametrize("mixture", ["code_llama", "code_llama_python", "code_llama_instruct"])
def test_features_of_rows(prepared, mixture):
    stream = new_stream(prepared, mixture)
    v = stream.vocabulary
    for number in range(40):
        row = stream.row(number)
        assert {k: (a.dtype, a.shape) for k, a in row.items()} == {
            **{k: (np.int32, (ROW,)) for k in ("inputs", "targets", "positions", "segment_ids")},
            "weights": (np.float32, (ROW,)),
            "task": (np.int32, ()),
        }
        task, explained, spans = stream.explain(number)
        assert_equal_rows({**explained, "task": row["task"]}, row)
        assert stream.tasks[row["task"]].name == task
        end = 0
        for segment, span in enumerate(spans, 1):
            assert span.start == end, "pieces stand side by side"
            end, here = span.stop, slice(span.start, span.stop)
            assert (row["segment_ids"][here] == segment).all()
            np.testing.assert_array_equal(row["positions"][here], np.arange(end - span.start))
            inputs, targets = row["inputs"][here], row["targets"][here]
            np.testing.assert_array_equal(inputs[1:], targets[:-1])
            assert (inputs < v.size).all() and (targets < v.size).all()
            if span.piece.start == 0:
                assert inputs[0] == v.bos_id
            if span.piece.whole:
                assert targets[-1] in (v.eos_id, v.eot_id)
            if task != "dialogues":
                assert (row["weights"][here] == 1).all()
        for name in ("inputs", "targets", "positions", "segment_ids", "weights"):
            assert not row[name][end:].any(), "what is left over is padding without weight"


def test_documents_longer_than_a_row_are_laid_out_in_pieces(prepared):
    stream = new_stream(prepared, "code_infill")
    rows = only_task(stream)
    pieces = collections.defaultdict(dict)
    for number in range(len(rows.rows)):
        row, spans = rows.render(number)
        for piece, _, start, stop in spans:
            if not piece.whole:
                ids = row["inputs"][start:stop], row["targets"][start:stop]
                pieces[piece.document][piece.start] = ids
    assert len(pieces) > 5
    for document, found in pieces.items():
        inputs, targets = (np.concatenate([found[s][n] for s in sorted(found)]) for n in (0, 1))
        record = rows.records[document]
        expected = rows.encoder.encode(record).ids
        np.testing.assert_array_equal(inputs, expected[:-1])
        np.testing.assert_array_equal(targets, expected[1:])
        assert stream.vocabulary.decode(targets) == record["text"]


def test_dialogues_carry_loss_on_answers_alone(prepared):
    stream = new_stream(prepared, "dialogues")
    rows, v = only_task(stream), stream.vocabulary
    for number in range(20):
        row, spans = rows.render(number)
        for piece, _, start, stop in spans:
            assert piece.whole
            messages = rows.records[piece.document]["messages"]
            weights = row["weights"][start:stop]
            assert set(weights.tolist()) == {0.0, 1.0}
            answers = v.decode(row["targets"][start:stop][weights == 1])
            assert answers == messages[-1]["content"].strip() + " "
            assert row["targets"][stop - 1] == v.eos_id and weights[-1] == 1


@pytest.mark.parametrize("task", ["code_infill", "nl", "dialogues"])
def test_every_document_is_seen_once_an_epoch(prepared, task):
    rows = only_task(new_stream(prepared, task))
    count = len(rows.rows)
    assert count > 3
    orders = []
    for epoch in range(2):
        seen, order = collections.Counter(), []
        for number in range(epoch * count, (epoch + 1) * count):
            _, spans = rows.render(number)
            assert {span.epoch for span in spans} == {epoch}
            for span in spans:
                piece = span.piece
                order.append((piece.document, piece.start))
                seen.update((piece.document, n) for n in range(piece.start, piece.stop))
        documents = np.flatnonzero(rows.positions)
        assert set(seen.values()) == {1}
        assert len(seen) == rows.positions.sum()
        assert {document for document, _ in seen} == set(documents.tolist())
        orders.append(order)
    assert sorted(orders[0]) == sorted(orders[1]) and orders[0] != orders[1]


def test_each_epoch_cuts_its_documents_anew(prepared):
    rows = only_task(new_stream(prepared, "code_infill"))
    count = len(rows.rows)
    visits = collections.defaultdict(list)
    for number in range(3 * count):
        row, spans = rows.render(number)
        for piece, _, start, stop in spans:
            if piece.whole:
                visits[piece.document].append(row["targets"][start:stop].tobytes())
    assert len(visits) > 30 and {len(found) for found in visits.values()} == {3}
    # Each is left to right with probability 0.1, so a few look alike.
    assert sum(len(set(found)) == 3 for found in visits.values()) > 0.85 * len(visits)


def test_infilling_rate_over_the_corpus(prepared):
    stream = new_stream(prepared, "code_infill")
    rows, v = only_task(stream), stream.vocabulary
    whole = infilled = 0
    for number in range(3 * len(rows.rows)):
        row, spans = rows.render(number)
        for piece, _, start, stop in spans:
            marked = v.mid_id in row["inputs"][start:stop]
            assert piece.whole or not marked, "a document that is cut is never infilled"
            whole, infilled = whole + piece.whole, infilled + (piece.whole and marked)
    assert whole > 100
    # A few that do not fit when they are infilled stay left to right.
    assert infilled <= stats.binom.ppf(0.999, whole, 0.9)
    assert infilled >= stats.binom.ppf(0.001, whole, 0.86)


def test_rows_hold_what_the_encoder_makes(prepared):
    rows = only_task(new_stream(prepared, "code_infill", seed=4))
    compared = 0
    for number in range(len(rows.rows)):
        row, spans = rows.render(number)
        for piece, epoch, start, stop in spans:
            if piece.whole:
                key = DocumentKey(4, "code_infill", epoch, piece.document)
                record = rows.records[piece.document]
                expected = [
                    rows.encoder.encode_whole(record, key, None),
                    rows.encoder.encode(record),
                ]
                found = row["targets"][start:stop].tolist()
                assert found in [sequence.ids[1:].tolist() for sequence in expected]
                compared += 1
    assert compared > 50


@pytest.mark.parametrize("slack", [0, 2])
def test_infilling_never_takes_the_room_of_its_neighbours(prepared, slack):
    """With little room set aside most documents cannot be infilled; none may be cut for it."""
    gin.bind_parameter("Infill.slack", slack)
    gin.bind_parameter("Infill.rate", 1.0)
    stream = new_stream(prepared, "nl_code_infill", row_length=1024)
    rows, v = only_task(stream), stream.vocabulary
    infilled = plain = 0
    for number in range(2 * len(rows.rows)):
        row, spans = rows.render(number)
        for piece, _, start, stop in spans:
            if not piece.whole:
                continue
            marked = v.mid_id in row["inputs"][start:stop]
            infilled, plain = infilled + marked, plain + (not marked)
            ids = [*row["inputs"][start:stop].tolist(), int(row["targets"][stop - 1])]
            assert ids[-1] == (v.eot_id if marked else v.eos_id)
            if not marked:
                assert v.decode(ids) == rows.records[piece.document]["text"]
    assert infilled > 10 and plain > 10


def test_rows_are_well_filled(stream):
    filled = np.mean([(stream.row(n)["segment_ids"] > 0).mean() for n in range(200)])
    assert filled > 0.9


def test_heldout_is_another_split(prepared):
    train, held = new_stream(prepared, "code"), new_stream(prepared, "code", split="heldout")
    split = read_manifest(prepared)["sources"]["code"]
    assert len(only_task(train).records) == split["train"]["documents"]
    assert len(only_task(held).records) == split["heldout"]["documents"]


# Fingerprints


def test_fingerprint_is_json_and_equal_for_equal_rows(prepared, stream):
    import json

    found = new_stream(prepared).fingerprint()
    assert found == stream.fingerprint() == json.loads(json.dumps(found))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seed": 1}, "seed"),
        ({"row_length": 128}, "row_length"),
        ({"mixture": "code_llama_python"}, "rates"),
        ({"split": "heldout"}, "files"),
        ({"split": "heldout"}, "lengths"),
    ],
)
def test_fingerprint_tells_what_changed(prepared, stream, changes, key):
    other = new_stream(prepared, **changes).fingerprint()
    assert other[key] != stream.fingerprint()[key]


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("Infill.rate", 0.5, "encoders"),
        ("Infill.slack", 3, "encoders"),
        ("mixture_rates.overrides", {MIXTURE: {"code_infill": 0.5, "nl_infill": 0.5}}, "rates"),
    ],
)
def test_fingerprint_holds_the_settings(prepared, stream, name, value, key):
    gin.bind_parameter(name, value)
    other = new_stream(prepared).fingerprint()
    assert [k for k in other if other[k] != stream.fingerprint()[k]][0] == key


def test_order_of_a_mixtures_tasks_is_part_of_its_fingerprint(prepared):
    """Rows are numbered by the order of the tasks: equal fingerprints must mean equal rows."""
    streams = []
    for tasks in (["code", "nl"], ["nl", "code"]):
        rates = {"half": dict.fromkeys(tasks, 0.5)}
        gin.bind_parameter("mixture_rates.overrides", rates)
        streams.append(new_stream(prepared, "half"))
    one, two = streams
    same_rows = all(
        one.row(n)[name].tobytes() == two.row(n)[name].tobytes()
        for n in range(20)
        for name in ("inputs", "task")
    )
    assert same_rows == (one.fingerprint() == two.fingerprint())


def test_state_of_a_checkpoint_is_small(stream):
    import json

    state = {"step": 10**9, "fingerprint": stream.fingerprint()}
    assert len(json.dumps(state)) < 10_000
    assert all(isinstance(found, str) for found in state["fingerprint"]["files"].values())


def test_lengths_are_part_of_the_fingerprint(prepared, tmp_path):
    """They decide which documents share a row, though no shard differs."""
    copy = tmp_path / "corpus"
    shutil.copytree(prepared, copy)
    path = copy / "nl" / "train.lengths.npy"
    np.save(path, np.load(path) + 1)
    ours, theirs = (new_stream(c, "nl").fingerprint() for c in (prepared, str(copy)))
    assert [key for key in ours if ours[key] != theirs[key]] == ["lengths"]


# Mistakes


def test_unknown_mixture(prepared):
    with pytest.raises(UserError, match=r"no mixture or task 'code_lama': there are .*code_llama"):
        new_stream(prepared, "code_lama")


def test_unknown_split(prepared):
    with pytest.raises(UserError, match="has no test split of source 'code'"):
        new_stream(prepared, split="test")


def test_no_corpus(tmp_path):
    with pytest.raises(UserError, match="no corpus at"):
        new_stream(str(tmp_path / "none"))


def test_mixture_of_an_unknown_task(prepared):
    gin.bind_parameter("mixture_rates.overrides", {"mine": {"cod": 1.0}})
    with pytest.raises(UserError, match="mixture 'mine' names the task 'cod': tasks are"):
        new_stream(prepared, "mine")
