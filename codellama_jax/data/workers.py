"""Rows made by other processes: the same rows in the same order, however many processes."""

import contextlib
import fcntl
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

from codellama_jax.data.rows import FEATURES, MixtureRows, features
from codellama_jax.errors import UserError

_PIPE_BYTES = 1 << 20  # rows that a process makes ahead wait in its pipe; Linux's limit for users


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


def rows_of_workers(
    rows: MixtureRows,
    numbers: RowNumbers,
    workers: int,
    count_set_aside: Callable[[Counter[str]], None],
) -> Iterator[dict[str, np.ndarray]]:
    """Rows of these numbers, in order; their affinity tells which process makes each.

    The processes take no orders, they only write to their pipes. So they end by themselves when
    nobody reads any more, even if this process was killed.

    Args:
      rows: what makes them.
      numbers: which rows.
      workers: processes.
      count_set_aside: is told what records a process could not use, as it goes.

    Raises:
      UserError: a process was killed.
      Exception: what went wrong in a process.
    """
    # Spawned, not forked: this process holds the threads of JAX and TensorFlow.
    context = multiprocessing.get_context("spawn")
    readers, processes = [], []
    row_length = rows.tasks[0].row_length
    try:
        for worker in range(workers):
            reader, writer = context.Pipe(duplex=False)
            with writer:
                readers.append(reader)
                with contextlib.suppress(OSError):  # fewer rows ahead
                    fcntl.fcntl(writer.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
                process = context.Process(
                    target=_write_rows,
                    args=(rows, numbers, worker, workers, writer),
                    name=f"rows-{worker}",
                    daemon=True,
                )
                process.start()
                processes.append(process)
        for number in numbers:
            worker = rows.affinity(number) % workers
            reader = readers[worker]
            try:
                told = reader.recv()
                if isinstance(told, Exception):
                    raise told
                task, set_aside = told
                block = np.empty((len(FEATURES), row_length), np.int32)
                reader.recv_bytes_into(block.reshape(-1))
            except EOFError:
                raise _ended(processes[worker], workers) from None
            count_set_aside(set_aside)
            yield {**features(block), "task": np.int32(task)}
    finally:
        for reader in readers:
            reader.close()
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
    rows: MixtureRows, numbers: RowNumbers, worker: int, workers: int, writer: Connection
) -> None:
    """A worker: for each row its task and what was newly set aside, then its block."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when its reader does
    told: Counter[str] = Counter()
    with contextlib.suppress(BrokenPipeError):
        try:
            for number in numbers:
                if rows.affinity(number) % workers != worker:
                    continue
                task, block, _ = rows.block(number)
                set_aside = rows.set_aside()
                writer.send((task, set_aside - told))
                writer.send_bytes(block)
                told = set_aside
        except BrokenPipeError:
            raise
        except Exception as error:  # raised again by the reader
            writer.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """The error as it can be read elsewhere, its traceback here among its notes."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class does on that way
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
