"""The sandbox itself: what bubblewrap shows a program, and how it starts on this machine."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from codellama_jax.evaluation.sandbox.limits import Limits
from codellama_jax.evaluation.sandbox.process import ENVIRONMENT, execute

_NOBODY = "65534"
_ASIDE = "/mnt"  # covered in a mount namespace of ours alone


@functools.cache
def launcher() -> tuple[tuple[str, ...], str | None]:
    """The command that starts a sandbox on this machine, found by trying, or why there is none."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return (), "bubblewrap is not installed; install it with: apt-get install bubblewrap"
    told = subprocess.run([bwrap, "--help"], capture_output=True, text=True)
    if "--disable-userns" not in told.stdout + told.stderr:
        return (), f"{bwrap} is too old; install bubblewrap 0.8 or newer"
    # Read-only, because root may write to its /proc/sys. Containers may forbid a new /proc, and
    # programs do without.
    procs = (["--proc", "/proc", "--remount-ro", "/proc"], [])
    limits = Limits(wall_seconds=20.0, cpu_seconds=20)
    failures = []
    trials = (
        (*before, bwrap, *_containment(found), *proc) for before, found in _ways() for proc in procs
    )
    for trial in trials:
        verdict = execute([*trial, *sized(limits)], "assert 1", limits, contained=True)
        if verdict.passed:
            return trial, None
        failures.append(verdict.detail)
    return (), (
        f"bubblewrap does not work here ({failures[-1]}); allow user namespaces: "
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0 user.max_user_namespaces=10000, "
        "or in a container --security-opt seccomp=unconfined"
    )


def _prefix() -> str:
    return os.path.realpath(sys.base_prefix)


def _ways() -> Iterator[tuple[list[str], str]]:
    """What to start bubblewrap with, the safest first, and where it then finds the prefix."""
    # Root gives up being root first: what stays root's is root's on the host, and the kernel
    # refuses it no process (the supervisor counts too, but on a busy machine it comes too late).
    if os.geteuid() == 0 and shutil.which("setpriv"):
        yield ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"], _prefix()
    if os.geteuid() == 0 and (place := _mounted_aside()):
        # It clears the groups as well.
        yield ["nsenter", f"--mount={place}", f"--setuid={_NOBODY}", f"--setgid={_NOBODY}"], _ASIDE
    yield [], _prefix()


@functools.cache
def _mounted_aside() -> str | None:
    """A mount namespace that shows the interpreter's prefix at `_ASIDE`, if root may make one.

    An interpreter below /root cannot be reached by others otherwise. An open descriptor holds the
    namespace, so that it is gone with this process.
    """
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        return None
    # A slave: what the host unmounts later is not kept busy.
    command = ["unshare", "--mount", "--propagation", "slave", "sh", "-c"]
    command += [f'mount --bind "$0" {_ASIDE} && echo bound && read -r _', _prefix()]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as holder:
        if not holder.stdout.readline():
            return None
        held = os.open(f"/proc/{holder.pid}/ns/mnt", os.O_RDONLY)
    return f"/proc/{os.getpid()}/fd/{held}"


def _containment(found: str) -> list[str]:
    """bubblewrap's arguments but for those that depend on the limits or on this machine.

    `found`: where the interpreter's prefix can be reached.
    """
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
    if not Path(_prefix()).is_relative_to("/usr"):
        arguments += ["--ro-bind", found, _prefix()]
    return arguments


def sized(limits: Limits) -> list[str]:
    size = str(limits.file_bytes)
    arguments = ["--setenv", "PYTHONHASHSEED", str(limits.hash_seed)]
    arguments += ["--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm"]
    arguments += ["--size", size, "--tmpfs", "/tmp", "--chdir", "/tmp"]
    # bubblewrap's own root and /dev are tmpfs without a limit: written to, they fill the memory.
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--"]
