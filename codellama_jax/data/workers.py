"""Rows made by other processes: the same rows in the same order, however many processes."""

import contextlib
import ctypes
import math
import multiprocessing
import pickle
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np

from codellama_jax.data.rows import FEATURES, MixtureRows
from codellama_jax.errors import UserError

_ROWS_AHEAD = 16  # of each process


@dataclass(frozen=True)
class RowNumbers:
    """Numbers of the rows in `held` places of the batches of steps first … last - 1."""

    first: int
    last: int
    batch_size: int
    held: tuple[int, ...]

    def __iter__(self) -> Iterator[int]:
        for step in range(self.first, self.last):
            for place in self.held:
                yield step * self.batch_size + place


@contextlib.contextmanager
def rows_of_workers(
    rows: MixtureRows,
    numbers: RowNumbers,
    workers: int,
    count_set_aside: Callable[[Counter[str]], None],
) -> Iterator[Callable[[int, np.ndarray], int]]:
    """Processes that make the rows of these numbers; their affinity tells which of them makes each.

    A process writes its rows into slots of memory that it shares with this one, tells which task
    each is of, and hears when a slot is free again. So it ends by itself when nobody reads any
    more, even if this process was killed.

    Args:
      rows: what makes them.
      numbers: which rows.
      workers: processes.
      count_set_aside: is told what records a process could not use, as it goes.

    Yields:
      A function that writes the row of a number into a block, and returns its task's number. It
      must be asked for the numbers in their order. It raises UserError when a process was killed,
      and whatever went wrong in a process.
    """
    # Spawned, not forked: this process holds the threads of JAX and TensorFlow.
    context = multiprocessing.get_context("spawn")
    slots_shape = (_ROWS_AHEAD, len(FEATURES), rows.tasks[0].row_length)
    connections, processes, slots = [], [], []
    read = [0] * workers

    def fill(number: int, block: np.ndarray) -> int:
        worker = rows.affinity(number) % workers
        connection = connections[worker]
        try:
            told = connection.recv()
        except (EOFError, ConnectionError):
            raise _ended(processes[worker], workers) from None
        if isinstance(told, Exception):
            raise told
        task, set_aside = told
        block[:] = slots[worker][read[worker] % _ROWS_AHEAD]
        read[worker] += 1
        with contextlib.suppress(ConnectionError):  # it has ended, having made all its rows
            connection.send_bytes(b"")
        count_set_aside(set_aside)
        return task

    try:
        for worker in range(workers):
            ours, theirs = context.Pipe()
            connections.append(ours)
            memory = context.RawArray("i", math.prod(slots_shape))
            slots.append(np.frombuffer(memory, np.int32).reshape(slots_shape))
            with theirs:
                process = context.Process(
                    target=_write_rows,
                    args=(rows, numbers, worker, workers, memory, theirs),
                    name=f"rows-{worker}",
                    daemon=True,
                )
                process.start()
                processes.append(process)
        yield fill
    finally:
        for connection in connections:
            connection.close()
        for process in processes:
            process.terminate()  # it may not have come to its first row
            process.join()


def _ended(process: BaseProcess, workers: int) -> Exception:
    """What to say of a process that wrote no row and told no error."""
    process.join()
    if process.exitcode >= 0:
        return RuntimeError(f"{process.name} ended with code {process.exitcode}")
    return UserError(
        "a process that makes rows was killed, most often for want of memory: set"
        f" HostLoader.workers below {workers} or RowStream.cache_bytes lower"
    )


def _write_rows(
    rows: MixtureRows,
    numbers: RowNumbers,
    worker: int,
    workers: int,
    memory: ctypes.Array,
    connection: Connection,
) -> None:
    """A worker: writes each row into the next slot, then tells its task and what was set aside."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when its reader does
    slots = np.frombuffer(memory, np.int32).reshape(_ROWS_AHEAD, len(FEATURES), -1)
    told: Counter[str] = Counter()
    mine = (number for number in numbers if rows.affinity(number) % workers == worker)
    with contextlib.suppress(EOFError, ConnectionError):  # nobody reads any more
        for count, number in enumerate(mine):
            if count >= _ROWS_AHEAD:
                connection.recv_bytes()  # a slot is free
            try:
                task, _ = rows.fill(number, slots[count % _ROWS_AHEAD])
            except Exception as error:  # raised again by the reader
                connection.send(_portable(error))
                return
            set_aside = rows.set_aside()
            connection.send((task, set_aside - told))
            told = set_aside


def _portable(error: Exception) -> Exception:
    """The error as it can be read elsewhere, its traceback here among its notes."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class does on that way
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
