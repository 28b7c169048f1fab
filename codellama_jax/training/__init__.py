"""Loss, optimizer, train step, checkpoints, the phases of a run."""

from codellama_jax.runs import read_metrics
from codellama_jax.training.checkpoints import PhaseCheckpoints
from codellama_jax.training.loss import cross_entropy
from codellama_jax.training.phase import Phase, in_order
from codellama_jax.training.resolved import settings_of
from codellama_jax.training.run import train

__all__ = [
    "Phase",
    "PhaseCheckpoints",
    "cross_entropy",
    "in_order",
    "read_metrics",
    "settings_of",
    "train",
]
