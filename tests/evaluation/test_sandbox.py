"""The sandbox against programs that are wrong, that cheat, and that mean harm."""

import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from codellama_jax.errors import UserError
from codellama_jax.evaluation.sandbox import (
    Limits,
    available,
    bubblewrap,
    run_program,
    run_programs,
)
from evaluation.hostile import CHEATS, GOOD, HOSTILE, LIMITS, contained, run_all

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))


@pytest.fixture(scope="module")
def verdicts():
    return run_all()


@pytest.mark.parametrize("name", CHEATS)
def test_a_program_that_fails_its_tests_never_passes(verdicts, name):
    assert contained(name, verdicts[name]), verdicts[name]
    assert len(verdicts[name].detail) <= 400
    assert verdicts[name].detail.isprintable()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_program_is_contained(verdicts, name):
    assert contained(name, verdicts[name]), verdicts[name]


def test_good_programs_pass_among_hostile_ones(verdicts):
    assert [verdicts[name].status for name in GOOD] == ["passed"] * 10


def test_details_name_the_error_and_the_line(verdicts):
    assert verdicts["wrong"].detail == "AssertionError [line 5: assert candidate(2) == 3]"
    assert "exited with code 0" in verdicts["leaves politely"].detail
    assert "ended with exit code 0" in verdicts["leaves before the tests"].detail


# What the same program can do without the sandbox shows that the test tests something.


def both_ways(text):
    outside = run_program(text, LIMITS, unsandboxed=True)
    assert outside.passed, outside
    return run_program(text, LIMITS)


def test_files_of_the_host_cannot_be_read(tmp_path):
    canary = tmp_path / "canary"
    canary.write_text("secret")
    for path in (canary, Path(__file__).resolve(), Path("/etc/passwd")):
        verdict = both_ways(f"assert open({str(path)!r}).read()")
        assert verdict.status == "failed" and "FileNotFoundError" in verdict.detail


def test_the_home_directory_cannot_be_read():
    home = Path.home()
    prefix = Path(os.path.realpath(sys.base_prefix))
    names = [str(p) for p in home.iterdir() if not prefix.is_relative_to(p)]
    if not names:
        pytest.skip("the home directory is empty")
    verdict = both_ways(f"import os\nassert any(os.path.exists(p) for p in {names!r})")
    assert verdict.status == "failed" and "AssertionError" in verdict.detail


def test_files_of_the_host_cannot_be_written(tmp_path):
    target = tmp_path / "written"
    assert both_ways(f"open({str(target)!r}, 'w').write('x')").status == "failed"
    target.unlink()
    run_program(f"import os\nos.makedirs({str(tmp_path)!r})\nopen({str(target)!r}, 'w')", LIMITS)
    assert not target.exists()


def test_the_environment_stays_outside(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "canary")
    verdict = run_program("import os\nassert 'SECRET_TOKEN' in os.environ", LIMITS)
    assert verdict.status == "failed"
    text = (
        "import os\nassert sorted(os.environ) == ['HOME', 'LANG', 'PATH', 'PWD', 'PYTHONHASHSEED']"
    )
    assert run_program(text, LIMITS).passed


def test_processes_of_the_host_are_invisible():
    text = f"import os\nos.kill({os.getpid()}, 0)"
    assert both_ways(text).status == "failed"
    text = "import os\nassert len([p for p in os.listdir('/proc') if p.isdigit()]) <= 2"
    assert run_program(text, LIMITS).passed


def test_there_is_no_network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)"
        assert both_ways(text).status == "failed"


def test_the_kernel_refuses_a_process_too_many():
    """However late the supervisor looks: the program itself is told, before it has too many."""
    if os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"]).returncode:
        pytest.skip("root may not mount here, and what runs as root is refused nothing")
    text = f"""
import os, time
for _ in range({Limits.processes}):
    try:
        child = os.fork()
    except BlockingIOError:
        break
    if not child:
        time.sleep(60)
else:
    raise RuntimeError("none was refused")
"""
    verdict = run_program(text, Limits(wall_seconds=20.0, cpu_seconds=20))
    assert verdict.passed, verdict


def running(marker):
    """Processes of the whole machine, those inside sandboxes too, with `marker` as an argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


DAEMON = """
import os, signal, sys, time
for _ in range(2):
    if os.fork(): break
    os.setsid()
else:
    for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(n, signal.SIG_IGN)
    os.execv('/bin/sleep', ['sleep', {marker!r}])
time.sleep({seconds})
"""


@pytest.mark.parametrize("unsandboxed", [False, True])
@pytest.mark.parametrize("seconds, status", [(0.5, "passed"), (60, "timeout")])
def test_daemons_do_not_survive(unsandboxed, seconds, status):
    marker = f"100.{uuid.uuid4().int}"
    text = DAEMON.format(marker=marker, seconds=seconds)
    result = []
    limits = Limits(wall_seconds=2.0)
    thread = threading.Thread(target=lambda: result.append(run_program(text, limits, unsandboxed)))
    thread.start()
    seen = False
    while thread.is_alive() and not seen:
        seen = bool(running(marker))
        time.sleep(0.01)
    thread.join()
    assert result[0].status == status, result
    assert seen, "the daemon never ran"
    assert not running(marker)


def test_nothing_survives_the_death_of_the_host():
    """Killed with SIGKILL, the evaluating process takes its sandboxes along."""
    marker = f"100.{uuid.uuid4().int}"
    text = f"import os\nos.execv('/bin/sleep', ['sleep', {marker!r}])"
    code = (
        "from codellama_jax.evaluation.sandbox import *\n"
        f"run_programs([{text!r}], Limits(wall_seconds=60))"
    )
    host = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 240  # a busy machine takes long to start the host
        while not running(marker) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert running(marker)
    finally:
        host.kill()
        host.wait()
    deadline = time.monotonic() + 60
    while running(marker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running(marker)


def test_verdicts_keep_their_order():
    texts = [f"raise ValueError({n})" if n % 3 else "assert 1" for n in range(24)]
    for n, verdict in enumerate(run_programs(texts, Limits(), workers=6)):
        assert verdict.passed == (n % 3 == 0)
        assert verdict.passed or f"ValueError: {n} " in verdict.detail


def test_a_program_has_what_programs_need():
    text = """
import collections, dataclasses, decimal, json, math, multiprocessing, re, tempfile, threading
from typing import NamedTuple
@dataclasses.dataclass
class Point:
    x: "int"
class Pair(NamedTuple):
    a: int
assert Point(1) == Point(1) and Pair(2).a == 2 and __name__ != "__main__"
with tempfile.NamedTemporaryFile() as file:
    file.write(b"x")
threads = [threading.Thread(target=print, args=("ü",)) for _ in range(4)]
[t.start() for t in threads], [t.join() for t in threads]
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(math.sqrt, [4, 9]) == [2.0, 3.0]
"""
    verdict = run_program(text, Limits(wall_seconds=20.0, cpu_seconds=20))
    assert verdict.passed, verdict


@pytest.mark.parametrize(
    "text", ["x = '\ud800'", "x = 1\0", "x = (", "# -*- coding: cp037 -*-\n1/0"]
)
def test_text_that_is_no_program_fails(text):
    assert run_program(text, LIMITS).status == "failed"


def test_a_long_program_is_not_cut():
    text = "\n".join(f"x{n} = {n}" for n in range(20_000)) + "\nassert x19999 == 19999"
    assert run_program(text, Limits(wall_seconds=20.0, cpu_seconds=20)).passed


def test_iteration_over_sets_is_reproducible():
    text = "raise ValueError(list({'a', 'b', 'c', 'd', 'e', 'f', 'g'}))"
    assert len({run_program(text, LIMITS).detail for _ in range(4)}) == 1


def test_without_bubblewrap_nothing_runs_unless_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    bubblewrap.launcher.cache_clear()
    try:
        assert "apt-get install bubblewrap" in available()
        with pytest.raises(UserError, match="apt-get install bubblewrap"):
            run_programs(["assert 1"])
        verdicts = run_programs(["assert 1", "assert 0", "while True: pass"], LIMITS, None, True)
        assert [v.status for v in verdicts] == ["passed", "failed", "timeout"]
    finally:
        monkeypatch.undo()
        bubblewrap.launcher.cache_clear()


def test_a_bubblewrap_that_cannot_work_is_told_with_a_remedy(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text(
        '#!/bin/sh\ntest "$1" = --help && echo -- --disable-userns && exit\n'
        "echo 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    bubblewrap.launcher.cache_clear()
    try:
        reason = available()
        assert "No permissions" in reason and "sysctl" in reason and "\n" not in reason
    finally:
        monkeypatch.undo()
        bubblewrap.launcher.cache_clear()
