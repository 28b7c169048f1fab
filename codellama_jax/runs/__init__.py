"""What runs leave on disk, read without JAX; lists of runs, comparisons of two."""

from codellama_jax.runs.card import card
from codellama_jax.runs.compare import compare_runs
from codellama_jax.runs.curves import figure_svg, loss_figure
from codellama_jax.runs.digests import damage, read_beside, write_digests
from codellama_jax.runs.lines import read_lines
from codellama_jax.runs.listing import list_runs, tree
from codellama_jax.runs.lock import holder, locked
from codellama_jax.runs.metrics import METRICS, read_metrics
from codellama_jax.runs.records import FOLDER, latest_step, read_record, saved_steps
from codellama_jax.runs.settings import bindings, differences, planned_phases

__all__ = [
    "FOLDER",
    "METRICS",
    "bindings",
    "card",
    "compare_runs",
    "damage",
    "differences",
    "figure_svg",
    "holder",
    "latest_step",
    "list_runs",
    "locked",
    "loss_figure",
    "planned_phases",
    "read_beside",
    "read_lines",
    "read_metrics",
    "read_record",
    "saved_steps",
    "tree",
    "write_digests",
]
