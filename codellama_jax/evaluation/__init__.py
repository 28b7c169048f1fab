"""Measurements of checkpoints: held-out text and the paper's benchmarks, programs; the reports."""

from codellama_jax.evaluation.checkpoints import evaluate_checkpoints, score_samples
from codellama_jax.evaluation.evaluate import evaluate, trained_phases
from codellama_jax.evaluation.functional import functional_correctness
from codellama_jax.evaluation.heldout import (
    bits_per_byte,
    compressed_bits_per_byte,
    heldout_texts,
)
from codellama_jax.evaluation.positions import long_documents, loss_by_position
from codellama_jax.evaluation.report import report
from codellama_jax.evaluation.report.plots import retrieval_maps
from codellama_jax.evaluation.retrieval import key_retrieval

__all__ = [
    "bits_per_byte",
    "compressed_bits_per_byte",
    "evaluate",
    "evaluate_checkpoints",
    "functional_correctness",
    "heldout_texts",
    "key_retrieval",
    "long_documents",
    "loss_by_position",
    "report",
    "retrieval_maps",
    "score_samples",
    "trained_phases",
]
