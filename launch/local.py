"""Starts a program as several processes on this machine, one JAX program over all their devices.

    python launch/local.py --processes 2 --devices 4 -- \\
        codellama-jax train --gin_file=configs/runs/quickstart.gin

A pod's hosts run the same program; here they share the machine and talk over loopback. When one
process is lost the others end, and all are started again; so they are when the program exits with
code 75, which says that it was interrupted and continues. Every other failure is final.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from codellama_jax.errors import RESTART
from codellama_jax.parallel.startup import COORDINATOR, PROCESS, PROCESSES


class Group:
    """The processes of one start.

    Args:
      command: the program and its arguments.
      count: processes.
    """

    def __init__(self, command: Sequence[str], count: int):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        place = {COORDINATOR: address, PROCESSES: str(count)}
        self.processes = [
            subprocess.Popen(
                command,
                env={**os.environ, **place, PROCESS: str(index), "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            for index in range(count)
        ]
        self._relays = [
            threading.Thread(target=_relay, args=(process, index), daemon=True)
            for index, process in enumerate(self.processes)
        ]
        for relay in self._relays:
            relay.start()

    def send(self, number: int) -> None:
        """Sends a signal to all that run."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def wait(self, grace: float) -> list[int]:
        """Exit codes of all; after the first failure the others have `grace` seconds to end."""
        deadline = float("inf")
        while True:
            codes = [process.poll() for process in self.processes]
            if deadline == float("inf") and any(codes):
                # Of several since the last look the one that a signal ended: the others lost it.
                code, index = min((code, i) for i, code in enumerate(codes) if code)
                _say(f"process {index} of {len(codes)} {_told(code)}")
                deadline = time.monotonic() + grace
            if None not in codes:
                break
            if time.monotonic() > deadline:
                left = [index for index, code in enumerate(codes) if code is None]
                _say(f"processes {left} did not end within {grace:.0f} s and are killed")
                self.send(signal.SIGKILL)
                for process in self.processes:
                    process.wait()
            time.sleep(0.05)
        for relay in self._relays:
            relay.join(timeout=1)
        return codes


def _relay(process: subprocess.Popen, index: int) -> None:
    """Copies a process's output; that of all but the first is marked with its number."""
    mark = f"[{index}] " if index else ""
    for line in process.stdout:
        sys.stdout.write(mark + line)
        sys.stdout.flush()


def _say(text: str) -> None:
    print(f"launch: {text}", file=sys.stderr, flush=True)


def _told(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"exited with code {code}"


def _may_restart(codes: Sequence[int]) -> bool:
    return any(codes) and all(code in (0, RESTART) or code < 0 for code in codes)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the program's exit code: 0 when all processes were done."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=2, help="how many; 2")
    parser.add_argument("--devices", type=int, help="virtual CPU devices of each process")
    parser.add_argument("--restarts", type=int, default=10, help="starts after the first; 10")
    parser.add_argument(
        "--grace", type=float, default=60.0, help="seconds to end in when others failed; 60"
    )
    parser.add_argument("command", nargs="+", help="after --: the program and its arguments")
    arguments = parser.parse_args(argv)
    command = list(arguments.command)
    if arguments.devices:
        command.append(f"--gin_bindings=start_devices.cpu_devices = {arguments.devices}")

    group: Group | None = None
    stopping = threading.Event()

    def stop(number: int, _: object) -> None:
        stopping.set()
        if group:
            group.send(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    for start in range(arguments.restarts + 1):
        group = Group(command, arguments.processes)
        codes = group.wait(arguments.grace)
        if stopping.is_set() or not _may_restart(codes):
            break
        if start < arguments.restarts:
            _say(f"starting again ({start + 1} of {arguments.restarts})")
    # A mistake of one process explains the others' ends better than they do.
    final = [code for code in codes if code > 0 and code != RESTART]
    return final[0] if final else RESTART if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
