"""The processes of a job: which one speaks, and what they know together."""

import contextlib
import re
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from codellama_jax.errors import Interrupted

# What collectives, barriers and the coordination service say of a partner that is gone.
_LOST = re.compile(
    r"connection (closed|reset|refused)|gloo|heartbeat|barrier|unavailable|deadline.exceeded"
    r"|unhealthy|preempted|socket closed",
    re.IGNORECASE,
)


def is_first() -> bool:
    """Whether this is the process that prints and writes for all of them."""
    return jax.process_index() == 0


def tell(text: str) -> None:
    """Prints a line once for all processes."""
    if is_first():
        print(text, flush=True)


def gathered(value: int) -> list[int]:
    """The value that each process gives, in their order; all of them wait for all."""
    if jax.process_count() == 1:
        return [value]
    return np.asarray(multihost_utils.process_allgather(np.int32(value))).ravel().tolist()


def wait_for_all(place: str) -> None:
    """Returns when every process has come to this place."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(place)


@contextlib.contextmanager
def losing_hosts() -> Iterator[None]:
    """Turns what JAX raises when another process is gone into `Interrupted`."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError, TimeoutError) as error:
        words = " ".join(str(error).split())
        if jax.process_count() == 1 or not _LOST.search(words):
            raise
        raise Interrupted(
            f"process {jax.process_index()} of {jax.process_count()} has lost another one:"
            f" {words[:150]}"
        ) from error
