"""Checkpoints beside each other and beside the paper's rows."""

from codellama_jax.evaluation.comparison.report import benchmarks_report, results_text

__all__ = ["benchmarks_report", "results_text"]
