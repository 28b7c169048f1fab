"""Worker processes whose results come back in the order of the work."""

import collections
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from codellama_jax.errors import UserError


class Workers:
    """Maps a function over batches, in this process when `count` is 1.

    Args:
      count: processes; None for as many as this process may use cores.
    """

    def __init__(self, count: int | None = None):
        count = len(os.sched_getaffinity(0)) if count is None else count
        if count < 1:
            raise UserError(f"workers={count}: at least 1 is needed")
        self.count = count
        self._pool = None
        if count > 1:
            # Spawned, not forked: the caller may hold the threads of numerical libraries.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(count, context, initializer=_end_with_parent)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, function: Callable, batches: Iterable, *arguments: Any) -> Iterator:
        """`function(batch, *arguments)` of each batch, in order.

        Only a few batches are taken ahead of the one whose result is yielded, so that a consumer
        that has enough may stop.
        """
        if self._pool is None:
            yield from (function(batch, *arguments) for batch in batches)
            return
        ahead = collections.deque()
        try:
            for batch in batches:
                ahead.append(self._pool.submit(function, batch, *arguments))
                if len(ahead) > 2 * self.count:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process was killed, most often for want of memory: set prepare.workers=1"
            ) from error
        finally:
            for future in ahead:
                future.cancel()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever; this ends it."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
