"""Watches a child until it ends or overruns a limit, and says which."""

import _signal
import os
import resource
import select
import time

from codellama_jax.evaluation.sandbox.inside.complaints import Complaints

POLL_SECONDS = 0.02
MESSAGE_BYTES = 4096  # below the size of a pipe, so that the candidate's one write never blocks


def usage() -> tuple[int, int]:
    """Processes alive in this pid namespace beside the supervisor, and their private bytes."""
    count = pages = 0
    own = str(os.getpid())
    for name in os.listdir("/proc"):
        if not name.isdigit() or name == own:
            continue
        try:
            with open(f"/proc/{name}/statm", "rb", 0) as file:
                fields = file.read(200).split()
        except OSError:
            continue
        count += 1
        pages += int(fields[1]) - int(fields[2])
    return count, pages * resource.getpagesize()


def reap(child: int) -> int | None:
    """Collects what has ended, orphans too; the child's wait status once it is among them."""
    ended = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        if pid == child:
            ended = status


def verdict_of(status: int, message: bytes, token: bytes, cpu: int) -> tuple[str, str]:
    code = os.waitstatus_to_exitcode(status)
    if code == 0 and message == token:
        return "passed", ""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = used.ru_utime + used.ru_stime >= cpu
    if code == -_signal.SIGXCPU or (code == -_signal.SIGKILL and spent):
        return "timeout", "used up its CPU time"
    if code < 0:
        return "failed", f"killed by signal {-code}"
    text = message.decode("utf-8", "replace")
    if code == 1 and text.startswith(("failed ", "memory ")):
        kind, _, detail = text.partition(" ")
        return kind, detail
    return "failed", f"ended with exit code {code} before its tests ended"


def watch(
    child: int,
    limits: dict,
    report: int,
    token: bytes,
    complaints: Complaints | None = None,
    ended_well: bool = False,
) -> tuple[str, str]:
    """The verdict on a child; `ended_well`: exit code 0 is all that is asked."""
    deadline = time.monotonic() + limits["wall"]
    poller = select.poll()
    poller.register(os.pidfd_open(child), select.POLLIN)
    counts = limits["contained"] and os.path.exists("/proc/self/statm")
    while True:
        left = deadline - time.monotonic()
        poller.poll(max(0.0, min(POLL_SECONDS, left)) * 1000)
        status = reap(child)
        if complaints is not None:
            complaints.drain()
        if status is not None:
            break
        if left <= 0:
            return "timeout", f"still running after {limits['wall']:g} s"
        if counts:
            # The kernel's limits are per process, and it refuses the host's root no process.
            count, size = usage()
            if count > limits["processes"]:
                return "failed", f"started more than {limits['processes']} processes"
            if size > limits["memory"]:
                return "memory", f"its processes together use more than {limits['memory']} bytes"
    os.set_blocking(report, False)  # a process left behind may hold the other end open
    try:
        message = os.read(report, MESSAGE_BYTES + 1)
    except BlockingIOError:
        message = b""
    if complaints is None:
        return verdict_of(status, message, token, limits["cpu"])
    if ended_well and os.waitstatus_to_exitcode(status) == 0:
        return "passed", ""
    if complaints.failed:
        return "failed", complaints.line()
    kind, detail = verdict_of(status, message, token, limits["cpu"])
    return kind, (complaints.line() or detail) if kind == "failed" else detail


def kill_descendants() -> None:
    """Without a pid namespace: what the program leaves behind becomes our child, and is killed."""
    for _ in range(10_000):
        with open(f"/proc/self/task/{os.getpid()}/children", "rb", 0) as file:
            left = file.read().split()
        if not left:
            return
        for pid in left:
            os.kill(int(pid), _signal.SIGKILL)
        reap(0)
        time.sleep(0.001)
