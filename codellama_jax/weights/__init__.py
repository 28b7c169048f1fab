"""Weights in and out: our checkpoints, Hugging Face, Meta, GGUF."""

from codellama_jax.runs import FOLDER, latest_step, read_record
from codellama_jax.weights.checkpoint import config_of, load_params, load_vocabulary
from codellama_jax.weights.convert import convert, open_weights
from codellama_jax.weights.source import WeightSource, load_source

__all__ = [
    "FOLDER",
    "WeightSource",
    "config_of",
    "convert",
    "latest_step",
    "load_params",
    "load_source",
    "load_vocabulary",
    "open_weights",
    "read_record",
]
