"""What `codellama-jax runs` says of runs, whole and damaged."""

import json
import subprocess
import sys

import pytest
from helpers import ROOT

from codellama_jax.errors import UserError
from codellama_jax.runs import list_runs
from runs.written import CODE, LONG, leave, write_phase


def listed(folder, capsys, **settings):
    """Phases by run and name, and what was printed."""
    result = list_runs(str(folder), **settings)
    json.dumps(result, allow_nan=False)
    phases = {
        (path.removeprefix(f"{folder}/"), phase["name"]): phase
        for path, of_run in result["runs"].items()
        for phase in of_run
    }
    return phases, result["other"], capsys.readouterr().out


def test_phases_stand_below_what_they_start_from(tmp_path, capsys):
    write_phase(tmp_path / "a", CODE, saved=(20, 30), losses=[3.0, 2.5, 2.25], bits=True)
    phases, other, out = listed(tmp_path, capsys)
    assert other == []
    code, long = phases["a", "code"], phases["a", "long"]
    assert code["state"] == "complete" and code["step"] == code["steps"] == 30
    assert code["loss"] == 2.25 and code["bits_per_byte"] == 1.125
    assert code["tokens"] == 30 * 2 * 128 and code["checkpoints"] == 2
    assert code["checkpoint_bytes"] > 2000 and code["code_version"]
    assert long["state"] == "not begun" and long["parent"] == "code" and long["steps"] == 20
    lines = out.splitlines()
    assert lines[0].startswith(f"{tmp_path}/a: 2 phases")
    assert lines[2].startswith("code ") and lines[3].startswith("└─ long  not begun")
    assert "30 of 30" in lines[2] and "2.250" in lines[2] and "1.125" in lines[2]


def test_a_late_sign_is_an_interruption(tmp_path, capsys):
    write_phase(tmp_path / "a", CODE, saved=(30,), losses=[3.0])
    late = write_phase(tmp_path / "a", LONG, (8,), [3.0] * 11, ancestors=(CODE,))
    phases, _, out = listed(tmp_path, capsys)
    assert phases["a", "long"]["state"] == "running" and "last sign 0 s ago" in out
    leave(late, 200)
    phases, _, out = listed(tmp_path, capsys)
    assert phases["a", "long"]["state"] == "running" and "last sign 3 min ago" in out
    phases, _, out = listed(tmp_path, capsys, fresh_minutes=2)
    long = phases["a", "long"]
    assert long["state"] == "interrupted" and (long["step"], long["saved_step"]) == (11, 8)
    assert long["lineage"] == ("code", "long")
    assert "interrupted at 11, continues at 8" in out


def test_a_phase_killed_before_its_first_checkpoint_has_the_plan_of_its_parent(tmp_path, capsys):
    write_phase(tmp_path / "a", CODE, saved=(30,), losses=[3.0])
    leave(write_phase(tmp_path / "a", LONG, losses=[3.0] * 4), 7200)
    phases, _, out = listed(tmp_path, capsys)
    long = phases["a", "long"]
    assert (long["step"], long["steps"], long["parent"]) == (4, 20, "code")
    assert "interrupted at 4, no checkpoint" in out


def _no_record(folder):
    (folder / "checkpoints/30/record/metadata").unlink()


def _cut_record(folder):
    path = folder / "checkpoints/30/record/metadata"
    path.write_bytes(path.read_bytes()[:100])


def _other_json(folder):
    (folder / "checkpoints/30/record/metadata").write_text('{"lineage": [3], "model": {}}')


def _zeros(folder):
    (folder / "checkpoints/30/record/metadata").write_bytes(b"\xff\0" * 50)


@pytest.mark.parametrize("damage", [_no_record, _cut_record, _other_json, _zeros])
def test_a_damaged_checkpoint_is_named_and_the_one_before_counts(tmp_path, capsys, damage):
    folder = write_phase(tmp_path / "a", CODE, saved=(20, 30), losses=[3.0] * 30)
    leave(folder, 7200)
    damage(folder)
    phases, _, out = listed(tmp_path, capsys)
    code = phases["a", "code"]
    assert code["state"] == "interrupted" and code["saved_step"] == 20 and code["step"] == 30
    assert len(code["damaged"]) == 1 and "checkpoints/30/record/metadata" in code["damaged"][0]
    assert "damaged: " in out and "continues at 20" in out


def test_metrics_are_read_as_far_as_they_are_whole(tmp_path, capsys):
    folder = write_phase(tmp_path / "a", CODE, saved=(30,), losses=[3.0] * 29 + [2.0])
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b'3\n[]\n\xff\xfe\n{"step": "x"}\n{"step": 31, "loss": 1.')
    phases, _, _ = listed(tmp_path, capsys)
    assert phases["a", "code"]["loss"] == 2.0
    with (folder / "metrics.jsonl").open("wb") as file:
        file.write(b'{"step": 1, "loss": 9.0}\n' * 100_000 + b'{"step": 30, "loss": 1.5}\n')
    phases, _, _ = listed(tmp_path, capsys)
    assert phases["a", "code"]["loss"] == 1.5


def test_nothing_to_read_is_named(tmp_path, capsys):
    folder = write_phase(tmp_path / "a", CODE, saved=(30,))
    _no_record(folder)
    (folder / "metrics.jsonl").unlink()
    (folder / "metrics.jsonl").mkdir()
    (tmp_path / "notes/old").mkdir(parents=True)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "file").write_text("x")
    phases, other, out = listed(tmp_path, capsys)
    assert phases["a", "code"]["state"] == "unreadable"
    assert any("metrics.jsonl" in line for line in phases["a", "code"]["damaged"])
    assert other == [f"{tmp_path}/notes is no run"] and other[0] in out


def test_imported_weights_and_a_sweep(tmp_path, capsys):
    folder = write_phase(tmp_path / "sweep/1", CODE, saved=(0,))
    path = folder / "checkpoints/0/record/metadata"
    record = json.loads(path.read_text())
    record["lineage"][-1]["settings"] = {"name": "code", "source": "x", "sequence_length": 4}
    record["data"]["fingerprint"] = None
    path.write_text(json.dumps(record))
    write_phase(tmp_path / "sweep/2", CODE, saved=(30,))
    phases, other, _ = listed(tmp_path, capsys)
    assert phases["sweep/1", "code"]["state"] == "imported" and other == []
    assert phases["sweep/2", "code"]["state"] == "complete"


def test_a_run_or_a_phase_alone_can_be_listed(tmp_path, capsys):
    write_phase(tmp_path / "a", CODE, saved=(30,))
    write_phase(tmp_path / "a", LONG, saved=(20,), ancestors=(CODE,))
    (tmp_path / "a/report_files").mkdir()
    result = list_runs(str(tmp_path / "a"))
    assert list(result["runs"]) == [str(tmp_path / "a")] and result["other"] == []
    result = list_runs(str(tmp_path / "a/long"))
    assert [phase["name"] for phase in result["runs"][str(tmp_path / "a")]] == ["long"]
    assert "long (from code)" in capsys.readouterr().out


def test_a_folder_without_runs(tmp_path, capsys):
    assert list_runs(str(tmp_path)) == {"runs": {}, "other": []}
    assert "no run below" in capsys.readouterr().out
    with pytest.raises(UserError, match="no folder"):
        list_runs(str(tmp_path / "nowhere"))


def test_it_starts_without_the_heavy_packages(tmp_path):
    write_phase(tmp_path / "a", CODE, saved=(30,), losses=[3.0] * 30)
    write_phase(tmp_path / "b", CODE, saved=(30,), losses=[3.0] * 30)
    heavy = ["jax", "tensorflow", "flax", "orbax", "seqio", "torch", "matplotlib"]
    program = (
        "import sys, codellama_jax.main as main, codellama_jax.runs as runs\n"
        f"assert main.main(['runs', {str(tmp_path)!r}]) == 0\n"
        f"runs.compare_runs({str(tmp_path / 'a')!r}, {str(tmp_path / 'b')!r})\n"
        f"print('imported', [m for m in {heavy} if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.rstrip().endswith("imported []")
