"""The measurement of refusals, with teachers that always do the same."""

import json

from codellama_jax.evaluation.refusals import load_probes
from codellama_jax.instruct import measure_refusals


class Parrot:
    """Says one thing to all."""

    group, concurrency = 7, 2

    def __init__(self, text):
        self.text, self.asked = text, []

    def describe(self):
        return {"parrot": self.text}

    def answer(self, stage, asks, sampling):
        self.asked += [ask.prompt for ask in asks]
        return ((ask, self.text) for ask in asks)


def test_every_probe_is_asked_and_judged_by_rules(tmp_path, capsys):
    teacher = Parrot("I cannot help with that.")
    path = tmp_path / "refusals.json"
    found = measure_refusals(teacher, output=str(path))
    assert sorted(teacher.asked) == sorted(probe.prompt for probe in load_probes())
    assert found["false_refusal"]["rate"] == 1.0 and found["false_compliance"]["rate"] == 0.0
    assert found["judge"] == "rules" and found["teacher"] == {"parrot": teacher.text}
    assert json.loads(path.read_text()) == found
    assert "refused what it should answer: 100.0 % (40 of 40)" in capsys.readouterr().out


def test_a_model_may_judge_and_rules_take_over_where_it_babbles():
    teacher = Parrot("I cannot help with that.")
    found = measure_refusals(teacher, judge=Parrot(" COMPLIED.\n"))
    assert found["false_compliance"]["rate"] == 1.0 and found["judge"] == {"parrot": " COMPLIED.\n"}
    babbling = Parrot("Well")
    assert measure_refusals(teacher, judge=babbling)["false_refusal"]["rate"] == 1.0
    assert all(teacher.text in prompt for prompt in babbling.asked)
