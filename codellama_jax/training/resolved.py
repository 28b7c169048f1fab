"""Every setting a phase resolves to, defaults included, by the gin scope it runs in."""

import dataclasses
import inspect
from typing import Any

import gin

from codellama_jax.data import HostLoader, RowStream, rates_of
from codellama_jax.data.encoding import Infill
from codellama_jax.parallel import axis_rules, compiler_options, make_mesh, start_devices
from codellama_jax.training.checkpoints import PhaseCheckpoints
from codellama_jax.training.guard import Guard
from codellama_jax.training.heldout import HeldOut
from codellama_jax.training.loss import batch_losses
from codellama_jax.training.optimizer import make_optimizer
from codellama_jax.training.phase import Phase, model_of
from codellama_jax.training.profile import Profile
from codellama_jax.training.progress import Progress
from codellama_jax.training.step import make_train_step
from codellama_jax.training.watchdog import Watchdog

# What a phase is made of, besides itself and its model.
_PARTS = (
    start_devices,
    make_mesh,
    axis_rules,
    RowStream,
    HostLoader,
    Infill,
    make_optimizer,
    make_train_step,
    compiler_options,
    batch_losses,
    Guard,
    HeldOut,
    PhaseCheckpoints,
    Progress,
    Profile,
    Watchdog,
)


def settings_of(phase: Phase) -> dict[str, Any]:
    """{"LlamaConfig.dim": 4096, …}; to be called in the gin scope of the phase's name.

    What a part is given by the program, not by a person, is left out.

    Raises:
      UserError: a model or a mixture that there is not.
    """
    found = {f"Phase.{name}": value for name, value in dataclasses.asdict(phase).items()}
    model = dataclasses.asdict(model_of(phase))
    found |= {f"LlamaConfig.{name}": value for name, value in model.items()}
    found["mixture_rates"] = rates_of(phase.mixture)
    for part in _PARTS:
        bound = gin.get_bindings(part)
        for name, parameter in inspect.signature(part).parameters.items():
            if name in bound:
                found[f"{part.__name__}.{name}"] = bound[name]
            elif parameter.default not in (inspect.Parameter.empty, gin.REQUIRED):
                found[f"{part.__name__}.{name}"] = parameter.default
    return found
