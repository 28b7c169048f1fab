"""What a pass may ask for beyond the paper: tests that tell much, code without known dangers."""

import gin
import pyarrow.parquet as pq
import pytest

from codellama_jax.errors import UserError
from codellama_jax.evaluation.sandbox import Limits, available
from codellama_jax.instruct import self_instruct
from codellama_jax.instruct.log import Log
from codellama_jax.instruct.programs import Execution
from codellama_jax.instruct.strength import Strength

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))
SOLUTION = "def cap(x, top=10):\n    if x > top:\n        return top\n    return x"
WEAK = [f"assert cap({n}) == {n}" for n in range(1, 6)]
STRONG = [*WEAK[:2], "assert cap(30) == 10", "assert cap(11) == 10", "assert cap(7, 5) == 5"]


class Scripted:
    """Two questions, the first with weak tests, each with solutions that pass."""

    group, concurrency = 1, 1

    def __init__(self, *solutions):
        self.solutions = solutions

    def describe(self):
        return {"scripted": True}

    def answer(self, stage, asks, sampling):
        for ask in asks:
            tests = "\n".join(WEAK if "first" in ask.question else STRONG)
            yield (
                ask,
                {
                    "questions": "1. The first cap.\n2. The second cap.",
                    "tests": f"[TESTS]\n{tests}\n[/TESTS]",
                    "solutions": f"[PYTHON]\n{self.solutions[ask.number]}\n[/PYTHON]",
                }[stage],
            )


def pass_of(teacher, folder, **asked):
    count = len(teacher.solutions)
    place = str(folder / "pass")
    self_instruct(teacher, teacher, teacher, place, 2, 2, solutions_per_question=count, **asked)
    return pq.read_table(folder / "pass/triplets.parquet").to_pylist()


def test_changes_that_pass_are_counted_where_they_matter(tmp_path):
    execution = Execution(Limits(wall_seconds=20.0, cpu_seconds=20))
    # x > top and x >= top do the same, so that no test can tell them apart.
    asked = {"weak": (SOLUTION, "cap", WEAK), "strong": (SOLUTION, "cap", STRONG)}
    with Log(tmp_path / "log.jsonl") as log:
        found = Strength(least=1.0).measure(asked, execution, log)
    assert found["weak"]["told"] < found["weak"]["changed"] < 12
    assert found["strong"]["told"] == found["strong"]["changed"] == found["weak"]["changed"]
    enough = {name: Strength(least=0.9).enough(of) for name, of in found.items()}
    assert enough == {"weak": False, "strong": True}
    written = (tmp_path / "log.jsonl").read_bytes()
    with Log(tmp_path / "log.jsonl") as log:
        assert Strength(least=1.0).measure(asked, execution, log) == found
    assert (tmp_path / "log.jsonl").read_bytes() == written  # nothing was run again


@pytest.mark.parametrize(("least", "kept"), [(None, ["first", "second"]), (1.0, ["second"])])
def test_a_pass_drops_what_weak_tests_passed_when_asked_to(tmp_path, least, kept):
    gin.parse_config(f"Strength.least = {least}")
    triplets = pass_of(Scripted(SOLUTION, SOLUTION), tmp_path)
    assert [row["question"].split()[1] for row in triplets] == kept
    rows = pq.read_table(tmp_path / "pass/solutions.parquet").to_pylist()
    if least is None:
        assert {row["told"] for row in rows} == {None}
    else:
        weak = [row for row in rows if row["dropped"] == "tests too weak"]
        assert [row["number"] for row in weak] == [0, 1]  # another solution was tried
        assert all(row["statuses"] == ["passed"] * 3 for row in weak)
        assert all(row["told"] < row["changed"] for row in weak)


def test_a_solution_that_bandit_warns_of_is_dropped_when_asked_to(tmp_path):
    pytest.importorskip("bandit")
    unsafe = SOLUTION.replace("    return x", "    return eval(str(x))")
    triplets = pass_of(Scripted(unsafe, SOLUTION), tmp_path, insecure="MEDIUM")
    assert [row["solution"] for row in triplets] == [SOLUTION, SOLUTION]
    rows = pq.read_table(tmp_path / "pass/solutions.parquet").to_pylist()
    assert [row["dropped"] for row in rows] == ["insecure", None] * 2
    assert [row["statuses"] for row in rows[::2]] == [[], []]  # it was not even run
    with pytest.raises(UserError, match="insecure = 'medium': set it to one of LOW, MEDIUM, HIGH"):
        pass_of(Scripted(SOLUTION), tmp_path, insecure="medium")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"least": 1.5}, "Strength.least = 1.5: set it to a share"), ({"calls": 0}, "calls = 0")],
)
def test_settings_that_mean_nothing(settings, message):
    with pytest.raises(UserError, match=message):
        Strength(**settings).check()
