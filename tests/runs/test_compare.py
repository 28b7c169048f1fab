"""Two runs or phases beside each other."""

import dataclasses
import json
import subprocess
import sys

import pytest
from helpers import ROOT

from codellama_jax.errors import UserError
from codellama_jax.runs import compare_runs
from runs.written import CODE, LONG, write_phase

FALLING = [8 / step for step in range(1, 31)]


@pytest.fixture
def runs(tmp_path):
    """Run a, and run b with another rate, seed and number of workers, and more phases."""
    write_phase(tmp_path / "a", CODE, (30,), FALLING, bits=True)
    other = dataclasses.replace(CODE, peak_learning_rate=1e-3)
    losses = [loss + 0.5 for loss in FALLING[:20]]
    write_phase(tmp_path / "b", other, (20,), losses, workers=2, seed=1, bits=True)
    write_phase(tmp_path / "b", LONG, (20,), FALLING[:20], (other,), workers=2, seed=1)
    return tmp_path


def test_runs_are_compared_phase_by_phase(runs, capsys):
    result = compare_runs("a", "b", folder=str(runs), rows=4)
    out = capsys.readouterr().out
    assert list(result["phases"]) == ["code"]
    assert result["only_first"] == [] and result["only_second"] == ["long"]
    code = result["phases"]["code"]
    assert code["settings"] == {
        "HostLoader.workers": (0, 2),
        "Phase.peak_learning_rate": (3e-4, 1e-3),
        "train.seed": (0, 1),
    }
    assert code["data"] == {"seed": (0, 1)}
    assert [row["step"] for row in code["loss"]] == [5, 10, 15, 20]
    first = code["loss"][0]
    assert first["first"] == pytest.approx(sum(FALLING[:5]) / 5)
    assert first["second"] - first["first"] == pytest.approx(0.5)
    assert code["bits_per_byte"][0]["first"] == pytest.approx(first["first"] / 2)
    drawn = code["drawn"]
    assert drawn[0][0] == drawn[0][:1] and len(drawn[1]) < len(drawn[0])
    assert drawn[1][0] == "█" and drawn[0][-1] == "▁"
    assert "Phase.peak_learning_rate  0.0003  0.001" in out
    assert f"only in b: {'long'}" in out and "+0.5000" in out


def test_two_phases_of_one_run(runs, capsys):
    result = compare_runs(str(runs / "b/code"), str(runs / "b/long"))
    pair = result["phases"]["code and long"]
    assert pair["settings"]["Phase.parent"] == (None, "code")
    assert pair["settings"]["LlamaConfig.rope_base"] == (1e4, 1e6)
    assert "HostLoader.workers" not in pair["settings"] and pair["data"] == {}
    assert pair["bits_per_byte"] == []
    assert "data: the same" in capsys.readouterr().out


def test_a_phase_with_a_run_that_has_it(runs):
    assert list(compare_runs(str(runs / "a/code"), str(runs / "b"))["phases"]) == ["code"]


def test_what_one_alone_recorded_is_no_difference(runs):
    path = runs / "a/code/checkpoints/30/record/metadata"
    record = json.loads(path.read_text())
    record["operative_config"] += "Progress.print_every = 25\n"
    path.write_text(json.dumps(record))
    code = compare_runs(str(runs / "a"), str(runs / "b"))["phases"]["code"]
    assert code["settings_in_one"] == [["Progress.print_every"], []]
    assert "Progress.print_every" not in code["settings"]


def test_damage_is_told_and_the_rest_compared(runs, capsys):
    (runs / "a/code/checkpoints/30/record/metadata").write_text("{")
    code = compare_runs(str(runs / "a"), str(runs / "b"))["phases"]["code"]
    assert code["settings"] is None and code["data"] is None and code["loss"]
    assert "record cannot be read" in capsys.readouterr().out
    (runs / "a/code/metrics.jsonl").write_text('{"step": 40, "loss": NaN}\n')
    code = compare_runs(str(runs / "a"), str(runs / "b"))["phases"]["code"]
    assert code["loss"] == [] and "no step in common" in capsys.readouterr().out


def test_mistakes_say_what_there_is(runs):
    with pytest.raises(UserError, match="no run or phase nowhere"):
        compare_runs(str(runs / "a"), "nowhere")
    with pytest.raises(UserError, match="name two phases, of code and of long"):
        write_phase(runs / "c", LONG)
        write_phase(runs / "c", dataclasses.replace(LONG, name="longer"))
        compare_runs(str(runs / "a"), str(runs / "c"))
    (runs / "empty").mkdir()
    with pytest.raises(UserError, match="is no run or phase"):
        compare_runs(str(runs / "a"), str(runs / "empty"))


def command(*words):
    words = [sys.executable, "-m", "codellama_jax.main", "runs", *map(str, words)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


def test_the_command_line_writes_page_image_and_json(runs):
    paths = {kind: runs / f"both.{kind}" for kind in ("html", "png", "json")}
    words = [f"--{kind}={path}" for kind, path in paths.items()]
    done = command(runs / "a", runs / "b", *words)
    assert done.returncode == 0, done.stderr
    page = paths["html"].read_text()
    assert "<svg" in page and "Phase.peak_learning_rate" in page and "{{" not in page
    assert paths["png"].read_bytes().startswith(b"\x89PNG")
    assert json.loads(paths["json"].read_text())["only_second"] == ["long"]


@pytest.mark.parametrize("words", [("--html=x",), ("a", "b", "c"), ("a", "b")])
def test_a_mistake_is_one_line(words):
    done = command(*words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("codellama-jax: error: ")
