"""Imports TensorFlow, for seqio, without its notes about drivers that are not there."""

import os


def import_tensorflow() -> None:
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
