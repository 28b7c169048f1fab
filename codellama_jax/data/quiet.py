"""seqio, and the TensorFlow behind it, without the latter's notes about drivers that are not there.

Modules take both from here, so that whichever is imported first is quiet.
"""

import os


def _import_tensorflow() -> None:
    """Imports it with the process's standard error turned away; a failure still raises."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow  # noqa: F401
        import tensorflow_text  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


_import_tensorflow()

import seqio  # noqa: E402
import tensorflow as tf  # noqa: E402

__all__ = ["seqio", "tf"]
