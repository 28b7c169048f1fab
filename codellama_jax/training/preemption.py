"""SIGTERM: the machine will be taken away soon, so save and end."""

import signal
import threading

import jax
from jax.experimental import multihost_utils


class Preemption:
    """Learns of a SIGTERM to this process or, with several, to any of them.

    Several processes must save the same step. JAX's preemption service listens for the signal in
    each of them and names a moment that all will reach.
    """

    def __init__(self):
        self._told, self._asked = threading.Event(), 0
        self._alone = not jax.distributed.is_initialized()
        # Only a program's main thread may listen to signals.
        if self._alone and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: self._told.set())

    def reached(self) -> bool:
        """Whether to save and end now; every process asks after every step."""
        # Counted over all phases: it is the moment's name, and steps start anew in each.
        self._asked += 1
        if not self._alone and multihost_utils.reached_preemption_sync_point(self._asked):
            self._told.set()
        return self._told.is_set()
