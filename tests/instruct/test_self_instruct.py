"""Whole passes, undisturbed and interrupted, whose right outcome is known."""

import json

import pyarrow.parquet as pq
import pytest

from codellama_jax.errors import UserError
from codellama_jax.instruct import self_instruct
from codellama_jax.instruct.known_scores import score

from .conftest import NUMBERS


class Killed(BaseException):
    """Ends a pass without giving it a chance to tidy up."""


class Mortal:
    """The teacher, until it has answered so often; it remembers what it answered."""

    group, concurrency = 3, 1

    def __init__(self, teacher, answers):
        self.teacher, self.left, self.answered = teacher, answers, []

    def describe(self):
        return self.teacher.describe()

    def answer(self, stage, asks, sampling):
        for ask, text in self.teacher.answer(stage, asks, sampling):
            if self.left <= 0:  # often in the middle of a call
                raise Killed
            self.left -= 1
            self.answered.append((stage, ask.key))
            yield ask, text


def run(teacher, folder, **changes):
    lines = len(getattr(teacher, "teacher", teacher).lines)
    numbers = {**NUMBERS, "questions": lines, **changes}
    return self_instruct(teacher, teacher, teacher, str(folder), **numbers)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def whole(teacher, tmp_path_factory):
    import gin

    gin.parse_config("Limits.wall_seconds = 20.0\nLimits.cpu_seconds = 20")
    folder = tmp_path_factory.mktemp("pass") / "whole"
    return folder, run(Mortal(teacher, 10**6), folder)


def test_it_keeps_what_is_right_and_nothing_else(teacher, whole):
    folder, found = whole
    scored = score(folder, teacher)
    assert scored["precision"] == scored["recall"] == 1.0
    assert scored["kept"] == found["stages"]["triplets"]["count"] > 2
    stages = {name: row["count"] for name, row in found["stages"].items()}
    assert stages["questions"] == len(teacher.lines) and stages["distinct"] == 12
    assert found["dropped"]["questions"] == {"repeats another": stages["questions"] - 12}
    assert json.loads((folder / "statistics.json").read_text()) == found
    assert found["stages"]["triplets"]["paper"] == 14_000


def test_what_is_bad_is_dropped_for_its_reason(teacher, whole):
    folder, _ = whole
    faults = {of.problem.question: of.fault for of in teacher.known.values()}
    assert set(faults.values()) == {"none", "trivial", "order", "mistaken"}
    for row in pq.read_table(folder / "tests.parquet").to_pylist():
        expected = "pass trivially" if faults[row["question"]] == "trivial" else None
        assert row["dropped"] == expected
    questions = {row["id"]: row["question"] for row in
                 pq.read_table(folder / "tests.parquet").to_pylist()}  # fmt: skip
    for row in pq.read_table(folder / "solutions.parquet").to_pylist():
        fault = faults[questions[row["id"]]]
        assert fault == "none" or row["dropped"] is not None
        if fault == "order" and row["solution"] in teacher.known[questions[row["id"]]].right:
            assert row["dropped"] == "flaky" and row["statuses"] == ["passed", "failed"]


def test_a_triplet_says_where_it_comes_from(teacher, whole):
    folder, _ = whole
    row = pq.read_table(folder / "triplets.parquet").to_pylist()[0]
    assert [m["role"] for m in row["messages"]] == ["user", "assistant"]
    assert row["messages"][1]["content"] == row["solution"]
    assert row["tests"][0] in row["messages"][0]["content"]
    assert not any(test in row["messages"][0]["content"] for test in row["tests"][1:])
    provenance = json.loads(row["provenance"])
    assert set(provenance) == {"question", "tests", "solution"}
    for of in provenance.values():
        assert json.loads(of["teacher"]) == json.loads(json.dumps(dict(teacher.describe())))
        assert of["prompt"] and isinstance(of["seed"], int)
        assert json.loads(of["sampling"])["temperature"] == 0.8
    shown, hidden = row["tests"][0], row["tests"][1]
    assert shown in provenance["solution"]["prompt"]
    assert hidden not in provenance["solution"]["prompt"]


def test_interrupted_again_and_again_it_ends_with_the_same_bytes(teacher, whole, tmp_path):
    folder = tmp_path / "killed"
    answered, kills = [], 0
    while True:
        mortal = Mortal(teacher, answers=7)
        try:
            run(mortal, folder)
            break
        except Killed:
            kills += 1
        finally:
            answered += mortal.answered
        for log in folder.glob("log/*/*.jsonl"):  # a kill may cut a line short
            with open(log, "ab") as stream:
                stream.write(b'{"key": "000003", "te')
    assert kills >= 3
    assert len(answered) == len(set(answered))  # nothing was answered twice
    assert files(folder) == files(whole[0])
    assert not (folder / "log" / "solutions").exists()


def test_a_finished_pass_asks_nobody(teacher, whole, capsys):
    folder, found = whole
    before = files(folder)
    assert run(Mortal(teacher, 0), folder) == found
    assert files(folder) == before
    assert "triplets" in capsys.readouterr().out


def test_other_parameters_are_refused(teacher, whole):
    with pytest.raises(UserError, match="solutions_per_question is 3 there and 4 here"):
        run(Mortal(teacher, 0), whole[0], solutions_per_question=4)
    with pytest.raises(UserError, match="self_instruct.questions = 0: set it to 1 or more"):
        run(Mortal(teacher, 0), whole[0], questions=0)


def test_its_triplets_are_dialogues_for_prepare(whole, tmp_path):
    from codellama_jax.corpus import prepare, read_shard

    folder, found = whole
    code = tmp_path / "code.jsonl"
    lines = [json.dumps({"content": f"def f{n}(x):\n    return x * {n}\n" * 5}) for n in range(40)]
    code.write_text("\n".join(lines) + "\n")
    sources = {"dialogues": [str(folder / "triplets.parquet")], "code": [str(code)]}
    output = tmp_path / "corpus"
    manifest = prepare(
        output_dir=str(output), sources=sources, heldout_fraction=0.0, vocab_size=400, workers=1
    )
    (shard,) = output.glob("dialogues/train-*.array_record")
    records = read_shard(shard)
    dropped = manifest["dropped"].get("dialogues", {})
    missing = sum(row["documents"] for row in dropped.values())
    assert len(records) + missing == found["stages"]["triplets"]["count"]
    triplets = {row["path"]: row for row in pq.read_table(folder / "triplets.parquet").to_pylist()}
    assert records
    for record in records:
        assert record["messages"] == triplets[record["path"]]["messages"]
        assert record["tests"] == triplets[record["path"]]["tests"]
