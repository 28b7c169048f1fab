"""Measurements of checkpoints: held-out text, infilling, long context, programs; the report."""

from codellama_jax.evaluation.evaluate import evaluate, trained_phases
from codellama_jax.evaluation.report import report

__all__ = ["evaluate", "report", "trained_phases"]
