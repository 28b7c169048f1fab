"""Encoders that go wrong, where processes that make rows can import them without JAX."""

import os
import signal

from codellama_jax.data.encoding import LeftToRight


class Unreadable(LeftToRight):
    """A disk that goes away."""

    draws = True

    def encode_whole(self, record, key, positions):
        raise OSError("the disk is gone")


class Killed(LeftToRight):
    """A machine that has no memory left for this process."""

    draws = True

    def encode_whole(self, record, key, positions):
        os.kill(os.getpid(), signal.SIGKILL)
