"""Runs of several processes, as on a pod: the same numbers, and what happens when one is lost."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import ROOT
from tiny_run import curve, train_command, write_run

SETTINGS = (
    "HeldOut.every = 5",
    "HeldOut.batches = 1",
    "Phase.batch_size = 8",
    "LlamaConfig.num_kv_heads = 2",
)
FIRST_PHASE = ("train.phases = [@code/Phase()]",)


def mesh(**axes):
    return [f"make_mesh.{axis} = {size}" for axis, size in axes.items()]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hosts")
    write_run(folder)
    return folder


def launch(place, run, processes, devices, *bindings, options=()):
    """Starts a run as several processes; what they print goes to <run>.log."""
    launcher = [sys.executable, str(ROOT / "launch/local.py")]
    launcher += [f"--processes={processes}", f"--devices={devices}", *options, "--"]
    with (place / f"{run}.log").open("a") as log:
        return subprocess.Popen(
            [*launcher, *train_command(place, run, *bindings)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def wait_for_step(launcher, phase, step):
    for _ in range(6000):
        if max(curve(phase), default=0) >= step:
            return
        assert launcher.poll() is None, "the run ended before it could be disturbed"
        time.sleep(0.05)
    raise AssertionError("the run did not get to its step")


def workers(launcher):
    """Process ids of a launcher's processes, in their order."""
    path = f"/proc/{launcher.pid}/task/{launcher.pid}/children"
    with open(path) as file:
        return sorted(int(pid) for pid in file.read().split())


@pytest.fixture(scope="module")
def alone(place):
    """The undisturbed run of one process with one device."""
    words = train_command(place, "alone", "start_devices.cpu_devices = 1", *mesh(fsdp=1), *SETTINGS)
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return place / "alone"


def compare(alone, run, phases=("code",)):
    """Sums over shards are taken in another order, so not bit by bit; norms show it first."""
    for phase in phases:
        for name, tolerance in (("loss", 1e-5), ("heldout_loss", 1e-5), ("gradient_norm", 1e-4)):
            expected, got = curve(alone / phase, name), curve(run / phase, name)
            assert expected.keys() == got.keys() and expected
            np.testing.assert_allclose(
                [got[step] for step in expected],
                list(expected.values()),
                rtol=tolerance,
                err_msg=f"{phase} {name}",
            )


def test_a_run_moves_over_process_counts_and_meshes(place, alone):
    """8 devices of 2 hosts, 4 of 4, 2 of 1: fsdp, then tensor, then context."""
    stages = [
        (2, 4, mesh(fsdp=8), "code", 6),
        (4, 1, mesh(fsdp=2, tensor=2), "code", 16),
        (1, 2, mesh(fsdp=1, context=2), None, None),
    ]
    for processes, devices, axes, phase, step in stages:
        launcher = launch(place, "moved", processes, devices, *axes, *SETTINGS)
        if phase:
            wait_for_step(launcher, place / "moved" / phase, step)
            launcher.send_signal(signal.SIGTERM)
        assert launcher.wait(300) == (75 if phase else 0), (place / "moved.log").read_text()
    log = (place / "moved.log").read_text()
    assert len(re.findall(r"^codellama-jax: interrupted: code: preempted; step", log, re.M)) == 2
    assert log.count("code: continues from step") == 2
    compare(alone, place / "moved", phases=("code", "long"))


def test_a_killed_host_ends_the_others_and_all_start_again(place, alone):
    launcher = launch(place, "killed", 2, 1, *SETTINGS, *FIRST_PHASE)
    wait_for_step(launcher, place / "killed/code", 9)
    os.kill(workers(launcher)[1], signal.SIGKILL)
    assert launcher.wait(300) == 0, (place / "killed.log").read_text()
    log = (place / "killed.log").read_text()
    assert "launch: process 1 of 2 was ended by SIGKILL" in log
    assert "interrupted: process 0 of 2 has lost another one" in log
    assert "launch: starting again (1 of 10)" in log
    assert re.search(r"^code: continues from step [48]$", log, re.M)
    assert "Traceback" not in log
    compare(alone, place / "killed")


def test_a_host_that_hangs_is_found_by_the_others(place, alone):
    limits = ("Watchdog.step_seconds = 6.0", "start_devices.heartbeat_seconds = 300")
    launcher = launch(place, "hung", 2, 1, *SETTINGS, *FIRST_PHASE, *limits, options=["--grace=2"])
    wait_for_step(launcher, place / "hung/code", 9)
    os.kill(workers(launcher)[1], signal.SIGSTOP)
    assert launcher.wait(300) == 0, (place / "hung.log").read_text()
    log = (place / "hung.log").read_text()
    assert re.search(r"codellama-jax: hung: nothing for 6 s after step \d+ of code", log)
    assert "launch: processes [1] did not end within 2 s and are killed" in log
    stacks = (place / "hung/code/stacks.0.txt").read_text()
    assert "trainer.py" in stacks and "watchdog.py" in stacks
    compare(alone, place / "hung")


def test_the_launcher_tells_a_mistake_once_and_does_not_start_again(place):
    launcher = launch(place, "mistake", 2, 1, "Phase.batch_size = 3", "make_mesh.fsdp = 2")
    assert launcher.wait(200) == 2
    log = (place / "mistake.log").read_text()
    assert "a batch of 3 rows does not divide" in log and "starting again" not in log
