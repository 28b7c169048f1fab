"""Batches on their devices: each host computes just the rows its devices hold."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gin
import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding

from codellama_jax.data.rows import features, new_blocks
from codellama_jax.data.stream import RowStream
from codellama_jax.data.workers import RowNumbers, rows_of_workers
from codellama_jax.errors import UserError
from codellama_jax.parallel import named_sharding, partition_spec

Batch = dict[str, jax.Array]
Fill = Callable[[int, np.ndarray], int]  # a row's number, its block -> its task's number


def check_batch(batch_size: int, row_length: int, mesh: Mesh | AbstractMesh) -> NamedSharding:
    """How a batch lies on the mesh; UserError when its rows or positions do not divide over it."""
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    if batch_size % shards:
        raise UserError(
            f"a batch of {batch_size} rows does not divide over data x fsdp = {shards} shards:"
            f" choose a multiple of {shards}"
        )
    shape, axes = (batch_size, row_length), ("batch", "sequence")
    return named_sharding(mesh, shape, axes, "a batch of rows")


@gin.configurable
class HostLoader:
    """Batches of consecutive steps, made ahead by a thread or by processes.

    Batch s holds rows s * batch_size … (s + 1) * batch_size - 1 of the stream, whichever hosts
    and devices there are.

    Args:
      stream: the rows.
      batch_size: B, rows of the global batch.
      mesh: the batch is laid out over its data and fsdp axes, the sequence over context.
      prefetch: batches made ahead.
      workers: processes that make the rows; with 0 the thread makes them, which is enough where a
        step takes much longer than its rows. Batches are the same for any number.

    Raises:
      UserError: fewer than 0 workers, rows or positions that do not divide over the mesh.

    Attributes:
      waited: seconds the training loop has waited for data.
    """

    def __init__(
        self,
        stream: RowStream,
        batch_size: int,
        mesh: Mesh,
        prefetch: int = 4,
        workers: int = 0,
    ):
        if workers < 0:
            raise UserError(f"HostLoader.workers = {workers}: set it to 0 or more")
        self.stream, self.batch_size, self.prefetch = stream, batch_size, prefetch
        self.workers = workers
        self._layout = check_batch(batch_size, stream.row_length, mesh)
        self._rows_layout = NamedSharding(mesh, partition_spec(("batch",)))
        held = self._rows_layout.addressable_devices_indices_map((batch_size,)).values()
        self._held = sorted({n for (span,) in held for n in range(*span.indices(batch_size))})
        self.waited = 0.0

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """Batches of steps first … last - 1, on their devices."""
        ready: queue.Queue[Any] = queue.Queue(maxsize=self.prefetch)
        stopped = threading.Event()

        def offer(item: Any) -> bool:
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=0.2)
                    return True
                except queue.Full:
                    continue
            return False

        def produce() -> None:
            try:
                with self._maker(first, last) as fill:
                    for step in range(first, last):
                        if not offer(self._batch(step, fill)):
                            return
            except BaseException as error:  # handed to the consumer, which raises it
                offer(error)

        thread = threading.Thread(target=produce, name="host-loader", daemon=True)
        thread.start()
        try:
            for _ in range(first, last):
                asked = time.perf_counter()
                batch = ready.get()
                self.waited += time.perf_counter() - asked
                if isinstance(batch, BaseException):
                    raise batch
                yield batch
        finally:
            stopped.set()
            thread.join()

    def _maker(self, first: int, last: int) -> contextlib.AbstractContextManager[Fill]:
        """What writes the rows of these steps that this host holds, asked in their order."""
        stream = self.stream
        if not self.workers:
            return contextlib.nullcontext(lambda number, block: stream.rows.fill(number, block)[0])
        numbers = RowNumbers(first, last, self.batch_size, tuple(self._held))
        return rows_of_workers(stream.rows, numbers, self.workers, stream.count_set_aside)

    def _batch(self, step: int, fill: Fill) -> Batch:
        """The batch of a step on its devices, of one array for each feature of this host's rows."""
        blocks = new_blocks(len(self._held), self.stream.row_length)
        tasks = np.empty(len(self._held), np.int32)
        for n, place in enumerate(self._held):
            tasks[n] = fill(step * self.batch_size + place, blocks[:, n])
        batch = {}
        for name, held in {**features(blocks), "task": tasks}.items():

            def part(index: tuple[slice, ...], held: np.ndarray = held) -> np.ndarray:
                start, stop, _ = index[0].indices(self.batch_size)
                begin = self._held.index(start)
                return held[begin : begin + stop - start, *index[1:]]

            layout = self._layout if held.ndim == 2 else self._rows_layout
            shape = (self.batch_size, *held.shape[1:])
            batch[name] = jax.make_array_from_callback(shape, layout, part)
        return batch
