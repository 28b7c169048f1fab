"""Corpora of any size from record files, directories and TFDS, on datatrove's engine."""

from codellama_jax.corpus.files.prepare import prepare_files
from codellama_jax.corpus.files.settings import FilesSettings

__all__ = ["FilesSettings", "prepare_files"]
