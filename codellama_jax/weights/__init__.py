"""Weights in and out: our checkpoints, Hugging Face, Meta, GGUF."""

from codellama_jax.runs import FOLDER, latest_step, read_record
from codellama_jax.weights.arrays import restore_arrays
from codellama_jax.weights.checkpoint import config_of, load_params, load_vocabulary
from codellama_jax.weights.convert import convert
from codellama_jax.weights.origin import (
    Origin,
    check_files,
    load_origin,
    open_origin,
    open_weights,
    origin_entry,
)
from codellama_jax.weights.source import WeightSource, load_source

__all__ = [
    "FOLDER",
    "Origin",
    "WeightSource",
    "check_files",
    "config_of",
    "convert",
    "latest_step",
    "load_origin",
    "load_params",
    "load_source",
    "load_vocabulary",
    "open_origin",
    "open_weights",
    "origin_entry",
    "read_record",
    "restore_arrays",
]
