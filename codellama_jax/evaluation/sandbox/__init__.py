"""Runs programs that models wrote."""

from codellama_jax.evaluation.sandbox.limits import Limits, Verdict
from codellama_jax.evaluation.sandbox.programs import available, run_program, run_programs

__all__ = ["Limits", "Verdict", "available", "run_program", "run_programs"]
