"""The sandbox itself: what bubblewrap shows a program, and how it starts on this machine."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from codellama_jax.evaluation.sandbox.limits import Limits
from codellama_jax.evaluation.sandbox.process import ENVIRONMENT, execute

_NOBODY = "65534"


@functools.cache
def launcher() -> tuple[tuple[str, ...], str | None]:
    """The command that starts a sandbox on this machine, found by trying, or why there is none."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return (), "bubblewrap is not installed; install it with: apt-get install bubblewrap"
    told = subprocess.run([bwrap, "--help"], capture_output=True, text=True)
    if "--disable-userns" not in told.stdout + told.stderr:
        return (), f"{bwrap} is too old; install bubblewrap 0.8 or newer"
    # Root gives up being root first, if the interpreter can be reached without: what stays root's
    # is root's on the host, and the kernel does not count its processes (the supervisor does).
    nobody = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
    ways = [nobody, []] if os.geteuid() == 0 and shutil.which("setpriv") else [[]]
    # Read-only, because root may write to its /proc/sys. Containers may forbid a new /proc, and
    # programs do without.
    procs = (["--proc", "/proc", "--remount-ro", "/proc"], [])
    limits = Limits(wall_seconds=20.0, cpu_seconds=20)
    failures = []
    for trial in [(*way, bwrap, *_containment(), *proc) for way in ways for proc in procs]:
        verdict = execute([*trial, *sized(limits)], "assert 1", limits, contained=True)
        if verdict.passed:
            return trial, None
        failures.append(verdict.detail)
    return (), (
        f"bubblewrap does not work here ({failures[-1]}); allow user namespaces: "
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0 user.max_user_namespaces=10000, "
        "or in a container --security-opt seccomp=unconfined"
    )


def _containment() -> list[str]:
    """bubblewrap's arguments but for those that depend on the limits or on this machine."""
    arguments = [
        "--unshare-user",
        "--disable-userns",
        "--unshare-all",
        "--uid",
        _NOBODY,
        "--gid",
        _NOBODY,
    ]
    arguments += ["--cap-drop", "ALL"]
    arguments += ["--die-with-parent", "--new-session", "--as-pid-1"]
    arguments += ["--hostname", "sandbox", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        arguments += ["--setenv", name, value]
    arguments += ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "lib", "lib64", "lib32", "sbin"):
        path = Path("/", name)
        if path.is_symlink():
            arguments += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    # Where the loader finds a libpython that lives in /usr/local/lib, and settings that Debian's
    # Java, PHP and Mono do not start without.
    places = ["ld.so.cache", "php", "mono", *(p.name for p in Path("/etc").glob("java-*"))]
    for place in places:
        arguments += ["--ro-bind-try", f"/etc/{place}", f"/etc/{place}"]
    prefix = os.path.realpath(sys.base_prefix)
    if not Path(prefix).is_relative_to("/usr"):
        arguments += ["--ro-bind", prefix, prefix]
    return arguments


def sized(limits: Limits) -> list[str]:
    size = str(limits.file_bytes)
    arguments = ["--setenv", "PYTHONHASHSEED", str(limits.hash_seed)]
    arguments += ["--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm"]
    arguments += ["--size", size, "--tmpfs", "/tmp", "--chdir", "/tmp"]
    # bubblewrap's own root and /dev are tmpfs without a limit: written to, they fill the memory.
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--"]
