"""What runs on every host: exit codes, output, signals; and Slurm's script around it."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from stand_ins import ROOT, StandIns


@pytest.fixture
def project(tmp_path):
    """A folder with worker.sh and a program in the trainer's place."""
    (tmp_path / "launch").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "launch/worker.sh", tmp_path / "launch")
    return tmp_path


def start(project, program, *words, **environment):
    trainer = project / ".venv/bin/codellama-jax"
    trainer.write_text(f"#!/usr/bin/env bash\n{program}\n")
    trainer.chmod(0o755)
    return subprocess.Popen(
        [project / "launch/worker.sh", "run", *words],
        env={**os.environ, "LOGS": str(project / "logs"), "BUCKET": "", **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def run(project, program, *words, **environment):
    worker = start(project, program, *words, **environment)
    return worker.communicate(timeout=60)[0], worker.returncode


@pytest.mark.parametrize(
    "program, code, ended",
    [("exit 0", 0, "0"), ("exit 75", 75, None), ("kill -9 $$", 75, None), ("exit 2", 2, "2")],
)
def test_exit_codes_say_restart_or_stop(project, program, code, ended):
    assert run(project, program)[1] == code
    path = project / "logs/ended"
    assert (path.read_text().strip() if path.exists() else None) == ended


def test_hosts_that_only_lost_the_one_with_the_mistake_end_as_it_did(project):
    """Their own code asks for a restart, which would meet the mistake again."""
    assert run(project, f"echo 2 >{project}/logs/ended; exit 75")[1] == 2
    output, code = run(project, "echo started")
    assert code == 2 and "started" not in output


def test_arguments_reach_the_trainer_and_output_both_places(project):
    binding = '--gin_bindings=train.run_dir = "runs/x"'
    output, code = run(project, 'echo "$1|$2|$3"', "train", binding, SLURM_PROCID="3")
    assert code == 0 and output == f"train|train|{binding}\n"
    (log,) = (project / "logs").glob("*.3.log")
    assert log.read_text() == output


def test_a_preempted_host_lets_the_trainer_save(project):
    worker = start(
        project, "trap 'echo saved; exit 75' TERM; echo ready; while :; do sleep 0.05; done"
    )
    assert worker.stdout.readline() == "ready\n"
    worker.send_signal(signal.SIGTERM)
    assert worker.communicate(timeout=60)[0] == "saved\n"
    assert worker.returncode == 75


@pytest.mark.parametrize(
    "code, starts, ended, requeued",
    [(0, 0, "0", False), (75, 0, None, True), (75, 10, None, False), (75, 0, "2", False)],
)
def test_slurm_queues_an_interrupted_job_again(tmp_path, code, starts, ended, requeued):
    tools = StandIns(tmp_path / "bin", [("srun", [[code, ""]])])
    words = ("slurm", "--gin_file=configs/runs/quickstart.gin", f"--run_dir={tmp_path}/run")
    assert tools.launch(*words).returncode == 0
    submitted = tools.calls[-1]
    assert submitted.startswith("sbatch ")
    if ended:
        (tmp_path / "run/logs/ended").write_text(ended)
    job = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": str(starts)}
    script = submitted.removeprefix("sbatch ")
    done = subprocess.run(["bash", script], env={**tools.environment, **job}, capture_output=True)
    shutil.rmtree(os.path.dirname(script))
    assert done.returncode == int(ended or code), done.stderr
    assert "make setup" in tools.calls
    assert ("scontrol requeue 7" in tools.calls) == requeued


def test_slurm_has_one_job_a_run(tmp_path):
    tools = StandIns(tmp_path / "bin", [("squeue", [[0, "41"]])])
    words = ("slurm", "--gin_file=configs/runs/quickstart.gin", f"--run_dir={tmp_path}/run")
    done = tools.launch(*words)
    assert done.returncode == 0 and "is job 41 already" in done.stdout
    other = tools.launch(*words, "--gin_bindings=train.seed = 1")
    assert other.returncode == 2 and "was begun with --gin_bindings [], not" in other.stderr
    assert not [call for call in tools.calls if call.startswith("sbatch")]


def test_processes_that_end_at_once_are_told():
    """Between two looks of the launcher at them."""
    program = ["sh", "-c", "kill -9 $$"]
    done = subprocess.run(
        [sys.executable, ROOT / "launch/local.py", "--restarts=0", "--", *program],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert re.search(r"^launch: process [01] of 2 was ended by SIGKILL$", done.stderr, re.M)
    assert done.returncode != 0
