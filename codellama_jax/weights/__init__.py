"""Weights in and out; so far this project's own checkpoints."""

from codellama_jax.weights.checkpoint import (
    FOLDER,
    TOKENIZER,
    config_of,
    latest_step,
    load_params,
    load_vocabulary,
    read_record,
)

__all__ = [
    "FOLDER",
    "TOKENIZER",
    "config_of",
    "latest_step",
    "load_params",
    "load_vocabulary",
    "read_record",
]
