"""Programs that cheat and programs that mean harm, and what the sandbox says of them.

    python tests/evaluation/hostile.py [--workers 4]

runs all of them at once among good ones and prints a table: what each tried, the verdict, and its
seconds. Ends with code 1 if one passed that must not, or overran its limit by more than a second.
"""

import argparse
import uuid

from codellama_jax.evaluation.sandbox import Limits, Verdict, run_programs
from codellama_jax.writing import aligned

LIMITS = Limits(wall_seconds=2.0, cpu_seconds=2, memory_bytes=128 * 2**20)
TAIL = "\ndef check(candidate):\n    assert candidate(2) == 3\ncheck(f)\n"
WRONG = "def f(x):\n    return 0\n"

# Each is followed by tests that it does not pass. None may be told from a failure.
CHEATS = {
    "wrong": WRONG,
    "leaves before the tests": WRONG + "import os\nos._exit(0)",
    "leaves politely": WRONG + "import sys\nsys.exit(0)",
    "leaves inside the tests": "import os\ndef f(x):\n    os._exit(0)",
    "leaves through a thread": WRONG
    + "import os, threading as t\nt.Thread(target=os._exit, args=(0,)).start()\nwhile True: pass",
    "leaves at exit": WRONG
    + "import atexit, os, sys\natexit.register(os._exit, 0)\nsys.excepthook = lambda *a: None",
    "leaves in its parent": WRONG + "import os\nif os.fork():\n    os._exit(0)",
    "prints a verdict": WRONG + "print('passed 0.001\\n', flush=True)",
    "writes a verdict everywhere": WRONG
    + """
import os
for fd in range(64):
    try: os.write(fd, b'passed 0.001\\n')
    except OSError: pass
os._exit(0)""",
    "writes what it finds in the frames everywhere": WRONG
    + """
import os, sys
frame = sys._getframe()
while frame:
    for value in [*frame.f_locals.values(), *frame.f_globals.values()]:
        if isinstance(value, (bytes, str)):
            data = value if isinstance(value, bytes) else value.encode()
            for fd in range(64):
                try: os.write(fd, data)
                except OSError: pass
    frame = frame.f_back
os._exit(0)""",
    "reloads os": WRONG + "import importlib, os\nimportlib.reload(os)\nos._exit(0)",
    "leaves by posix": WRONG + "import posix\nposix._exit(0)",
    "kills by a shell": WRONG + "import posix\nposix.system('kill -9 1; kill -9 $PPID')",
    "empties the modules": WRONG + "import sys\nsys.modules.clear()",
    "traces the tests away": WRONG
    + """
import sys
def trace(frame, event, argument):
    frame.f_trace_lines = False
    raise SystemExit(0)
sys.settrace(trace)""",
    "closes every descriptor": WRONG + "import os\nos.closerange(0, 64)\nos._exit(0)",
    "replaces check": WRONG + "check = lambda candidate: None",
    "replaces the builtins": WRONG
    + """
import builtins, os, sys
builtins.AssertionError = builtins.BaseException = type('E', (), {})
builtins.exec = builtins.compile = builtins.isinstance = lambda *a: True
os.write = os._exit = os.getpid = lambda *a: 0""",
    "starts again without asserts": """
import os, sys
def f(x):
    os.environ['PYTHONOPTIMIZE'] = '2'
    os.execv(sys.executable, [sys.executable, '-O', '-c', 'assert False'])""",
    "opens a string over the tests": "def f(x):\n    return 0\n'''",
    "kills itself": WRONG + "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "signals its supervisor": WRONG + "import os\nfor n in range(1, 65): os.kill(os.getppid(), n)",
    "raises what cannot be printed": """
class Odd(Exception):
    def __str__(self): raise Odd
    __repr__ = __str__
def f(x): raise Odd""",
    "raises a novel": "def f(x): raise ValueError('\\x1b[2J' + 'x' * 10_000_000)",
}

# Program → the statuses that are right for it. Ending as "passed" would mean it got what it wanted.
HOSTILE = {
    "fork bomb": (
        "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",
        "failed timeout",
    ),
    "thread bomb": (
        "import threading as t, time\nwhile True: t.Thread(target=time.sleep, args=(9,)).start()",
        "failed memory timeout",
    ),
    "memory bomb": ("x = []\nwhile True: x.append(bytearray(10**7))", "memory"),
    "memory of many processes": (
        "import os, time\nfor _ in range(8):\n  if not os.fork(): break\n"
        "x = bytearray(40_000_000)\ntime.sleep(9)",
        "memory",
    ),
    "endless loop": ("while True: pass", "timeout"),
    "endless output": ("import os\nwhile True: os.write(1, b'x' * 65536)", "timeout"),
    "deaf to signals": (
        "import signal\nfor n in range(1, 65):\n  try: signal.signal(n, signal.SIG_IGN)\n"
        "  except (OSError, ValueError): pass\nwhile True: pass",
        "timeout",
    ),
    "kills all it sees": (
        "import os, signal, time\nos.kill(-1, signal.SIGKILL)\ntime.sleep(9)",
        "failed timeout",
    ),
    "becomes a shell's fork bomb": (
        "import os\nos.execv('/bin/sh', ['sh', '-c', ':(){ :|:& };:'])",
        "failed timeout",
    ),
    "children by posix_spawn": (
        "import os, time\n"
        "while True: os.posix_spawn('/bin/sleep', ['sleep', '100'], {}), time.sleep(0.001)",
        "failed timeout",
    ),
    "races a symlink out of /tmp": (
        """
import os, threading
os.mkdir('/tmp/d')
def swap():
    while True:
        for target in ('/tmp/d', '/usr', '/etc', '/dev', '/'):
            os.symlink(target, '/tmp/n')
            os.rename('/tmp/n', '/tmp/l')
threading.Thread(target=swap, daemon=True).start()
for _ in range(2000):
    try: open('/tmp/l/raced', 'w').close()
    except OSError: pass
assert any(os.path.exists(f'{p}/raced') for p in ('/usr', '/etc', '/dev', '')), 'none'""",
        "failed",
    ),
    "reads environments of others": (
        "import os\n"
        "others = [p for p in os.listdir('/proc') if p.isdigit() and int(p) != os.getpid()]\n"
        "for p in others: assert open(f'/proc/{p}/environ', 'rb').read()\nassert len(others) > 1",
        "failed",
    ),
    "makes a device": ("import os\nos.mknod('/tmp/sda', 0o60666, os.makedev(8, 0))", "failed"),
    "sets the clock": ("import time\ntime.clock_settime(time.CLOCK_REALTIME, 0)", "failed"),
    "connects to the world": (
        "import socket\nsocket.create_connection(('192.0.2.1', 53), 1)",
        "failed",
    ),
    "endless waiting": ("import time\ntime.sleep(10**6)", "timeout"),
    "waits for input": ("input()", "failed"),
    "deep recursion": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef g(x): return g([x])\ng(0)",
        "failed memory timeout",
    ),
    "deep nesting": ("x = " + "(" * 5000 + ")" * 5000, "failed memory"),
    "huge integer": ("print(9 ** 9 ** 9 ** 9)", "timeout memory"),
    "fills /tmp": (
        "for n in range(100): open(f'/tmp/{n}', 'wb').write(bytes(10**6))",
        "failed",
    ),
    "one large file": ("open('/tmp/x', 'wb').write(bytes(11 * 10**6))", "failed"),
    "fills /dev/shm": (
        "for n in range(100): open(f'/dev/shm/{n}', 'wb').write(bytes(10**6))",
        "failed",
    ),
    "writes to /": ("open('/x', 'w')", "failed"),
    "writes to /dev": ("open('/dev/x', 'w')", "failed"),
    "writes to /usr": ("open('/usr/x', 'w')", "failed"),
    "writes to the interpreter": (
        "import os, sys\nopen(os.path.join(sys.prefix, 'x'), 'w')",
        "failed",
    ),
    "writes kernel settings": ("open('/proc/sys/vm/overcommit_memory', 'w')", "failed"),
    "symlink out of /tmp": (
        "import os\nos.symlink('/etc/passwd', '/tmp/x')\nopen('/tmp/x').read()",
        "failed",
    ),
    "reads memory of the supervisor": ("open('/proc/1/mem', 'rb')", "failed"),
    "opens descriptors of the supervisor": (
        "import os\nfor fd in range(3): os.open(f'/proc/1/fd/{fd}', os.O_RDWR)",
        "failed",
    ),
    "traces the supervisor": (
        "import ctypes\nassert ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0",
        "failed",
    ),
    "mounts": (
        "import ctypes\nassert ctypes.CDLL(None).mount(b'x', b'/tmp', b'tmpfs', 0, 0) == 0",
        "failed",
    ),
    "makes a user namespace": (
        "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0",
        "failed",
    ),
    "becomes root": ("import os\nos.setuid(0)", "failed"),
    "chroots": ("import os\nos.chroot('/tmp')", "failed"),
    "raises its limits": (
        "import resource\nr = resource.RLIMIT_AS\nresource.setrlimit(r, (2**40, 2**40))",
        "failed",
    ),
    "inherited descriptors": (
        "import os\nfds = [os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')\n"
        "       if os.path.islink(f'/proc/self/fd/{n}')]\n"
        "assert any(not name.startswith(('/dev/null', 'pipe:')) for name in fds), fds",
        "failed",
    ),
    "reads the home directory": (  # of which the interpreter alone may be seen
        "import os, sys\nfound = []\nfor home in ('/root', '/home'):\n"
        "  for folder, below, files in os.walk(home):\n"
        "    if folder == sys.base_prefix: below.clear()\n"
        "    else: found += files\nassert found",
        "failed",
    ),
    "reads secrets of the system": (
        "import glob\nassert open('/etc/shadow').read() or glob.glob('/var/run/secrets/*')",
        "failed",
    ),
    "daemonises and lives on": (
        "import os, time\nif os.fork(): time.sleep(9)\nos.setsid()\nif os.fork(): os._exit(0)\n"
        "while True: time.sleep(1)",
        "timeout",
    ),
    "stops itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "timeout"),
    "signals every pid": (
        "import os\ndone = 0\nfor pid in range(2, 70000):\n  if pid != os.getpid():\n"
        "    try: os.kill(pid, 9); done += 1\n    except OSError: pass\nassert done",
        "failed",
    ),
    "asks a name server": ("import socket\nsocket.getaddrinfo('example.com', 80)", "failed"),
    "serves on every interface": (
        "import socket\ns = socket.create_server(('192.168.1.1', 8080))",
        "failed",
    ),
    "makes raw packets": (
        "import socket\nsocket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "failed",
    ),
    "calls services by their sockets": (
        "import socket\ns = socket.socket(socket.AF_UNIX)\n"
        "for p in ('/var/run/docker.sock', '/run/dbus/system_bus_socket', '/tmp/.X11-unix/X0'):\n"
        "  try: s.connect(p)\n  except OSError: continue\n  break\nelse: raise SystemExit(1)",
        "failed",
    ),
    "hard link to a program of the system": (
        "import os\nos.link('/usr/bin/env', '/tmp/env')\nopen('/usr/bin/env', 'ab')",
        "failed",
    ),
    "makes its file belong to root": (
        "import os\nopen('/tmp/x', 'w').close()\nos.chown('/tmp/x', 0, 0)",
        "failed",
    ),
    "loads a kernel module": (
        "import ctypes\nassert ctypes.CDLL(None).syscall(175, b'', 0, b'') == 0",
        "failed",
    ),
    "reboots": (
        "import ctypes\nassert ctypes.CDLL(None).reboot(0x01234567) == 0",
        "failed",
    ),
    "takes real-time priority": (
        "import os\nos.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))",
        "failed",
    ),
    "jumps the queue": ("import os\nos.setpriority(os.PRIO_PROCESS, 0, -20)", "failed"),
    "regular expression without end": (
        "import re\nre.match('(a*)*b', 'a' * 40)",
        "timeout",
    ),
    "one enormous text": ("x = 'x' * 10**12", "memory"),
    "files of memory": (
        "import os\nfds = [os.memfd_create(str(n)) for n in range(50)]\n"
        "for fd in fds:\n  for _ in range(11): os.write(fd, bytes(10**6))",
        "failed",
    ),
    "opens files until none are left": (
        "x = []\nwhile True: x.append(open('/dev/null'))",
        "failed",
    ),
    "dumps its core": ("import ctypes\nctypes.string_at(0)", "failed"),
}
GOOD = {f"good {n}": f"def f(x):\n    return x + {n}\nassert f(1) == {n + 1}" for n in range(10)}
EXPECTED = {
    **{name: ("failed", "timeout") for name in CHEATS},
    **{name: tuple(statuses.split()) for name, (_, statuses) in HOSTILE.items()},
    **{name: ("passed",) for name in GOOD},
}


def run_all(workers: int = 4) -> dict[str, Verdict]:
    """Verdicts by name, of all at once in a mixed order: harm done to a neighbour would show."""
    programs = {name: text + TAIL for name, text in CHEATS.items()}
    programs |= {name: text for name, (text, _) in HOSTILE.items()} | GOOD
    order = sorted(programs, key=lambda name: uuid.uuid5(uuid.NAMESPACE_OID, name))
    return dict(zip(order, run_programs([programs[name] for name in order], LIMITS, workers)))


def contained(name: str, verdict: Verdict) -> bool:
    """Whether the verdict is a right one and came in time."""
    return verdict.status in EXPECTED[name] and verdict.seconds <= LIMITS.wall_seconds + 1


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=4)
    verdicts = run_all(parser.parse_args().workers)
    right = 0
    rows = []
    for kind, names in (("harm", HOSTILE), ("cheat", CHEATS), ("good", GOOD)):
        for name in names:
            found = verdicts[name]
            right += contained(name, found)
            told = found.detail[:60] if contained(name, found) else "<- WRONG"
            rows.append([kind, name, found.status, f"{found.seconds:.2f}", told])
    print("\n".join(aligned([["", "program", "verdict", "s", "detail"], *rows], labels=5)))
    slowest = max(verdict.seconds for verdict in verdicts.values())
    print(
        f"{right} of {len(rows)} right: {len(HOSTILE)} that mean harm, {len(CHEATS)} that cheat,"
        f" {len(GOOD)} good; slowest {slowest:.2f} s with a limit of {LIMITS.wall_seconds:g} s"
    )
    return 0 if right == len(rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
