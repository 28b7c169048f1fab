"""The report of a run, and what reports are made of."""

from codellama_jax.evaluation.report.run import report

__all__ = ["report"]
