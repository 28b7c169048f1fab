"""The kernel's limits on a child of the supervisor."""

import _ctypes
import os
import resource

PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36


def prctl(option: int, value: int) -> None:
    function = _ctypes.dlsym(_ctypes.dlopen(None, os.RTLD_NOW), "prctl")
    _ctypes.call_function(function, (option, value, 0, 0, 0))


def set_limit(kind: int, soft: int, hard: int) -> None:
    ceiling = resource.getrlimit(kind)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(kind, (soft, hard))


def restrict(limits: dict) -> None:
    """In the child: its own session, and the limits of the kernel."""
    prctl(PR_SET_DUMPABLE, 1)
    os.setsid()
    set_limit(resource.RLIMIT_CPU, limits["cpu"], limits["cpu"] + 1)
    if not limits.get("reserves"):
        set_limit(resource.RLIMIT_AS, limits["memory"], limits["memory"])
    set_limit(resource.RLIMIT_FSIZE, limits["file"], limits["file"])
    set_limit(resource.RLIMIT_NPROC, limits["processes"], limits["processes"])
    set_limit(resource.RLIMIT_NOFILE, 64, 64)
    set_limit(resource.RLIMIT_CORE, 0, 0)
