"""Measurements of checkpoints: held-out text, infilling, long context, programs; the report."""

from codellama_jax.evaluation.evaluate import evaluate, trained_phases

__all__ = ["evaluate", "trained_phases"]
