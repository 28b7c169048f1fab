"""A phase's training step under one choice of mesh, remat policy and micro-batches, not yet run."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from codellama_jax.model import LlamaConfig, param_axes
from codellama_jax.parallel import chip_of, compiler_options
from codellama_jax.planning.compile import Compiled, OutOfMemory, Programs
from codellama_jax.planning.held import Held, held_by_step
from codellama_jax.training import Phase
from codellama_jax.training.executables import identity
from codellama_jax.training.guard import Guard
from codellama_jax.training.optimizer import make_optimizer
from codellama_jax.training.program import traced
from codellama_jax.training.state import TrainState, abstract_state
from codellama_jax.training.step import make_train_step


@dataclasses.dataclass(frozen=True)
class Case:
    """The very step that the trainer would run; made in the gin scope of the phase's name.

    Reads no data and allocates nothing.

    Attributes:
      phase: batch and length.
      config: its model.
      mesh: of devices, which need not be on this machine.
      micro_batches: parts that a batch is taken in.
      byte_lengths: of the vocabulary, a constant of the program; None where only shapes matter.
      options: of the compiler, beside the configured ones.
    """

    phase: Phase
    config: LlamaConfig
    mesh: Mesh
    micro_batches: int
    byte_lengths: np.ndarray | None = None
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def state(self) -> TrainState:
        """The state's shapes and shardings."""
        optimizer = make_optimizer(param_axes(self.config))
        return abstract_state(self.config, optimizer, self.mesh, Guard())

    @functools.cached_property
    def traced(self) -> jax.stages.Traced:
        """The step, traced. Raises UserError for what does not divide."""
        config, lengths = self.config, self.byte_lengths
        if lengths is None:
            lengths = np.ones(config.vocab_size, np.int32)
        optimizer = make_optimizer(param_axes(config))
        step = make_train_step(
            config, optimizer, self.mesh, Guard(), lengths, micro_batches=self.micro_batches
        )
        return traced(step, self.state, self.phase, self.mesh)

    @functools.cached_property
    def lowered(self) -> jax.stages.Lowered:
        """The step, ready to be compiled."""
        return self.traced.lower()

    @functools.cached_property
    def identity(self) -> dict[str, str]:
        """By which its executable is found."""
        return identity(self.lowered, self.mesh)

    @functools.cached_property
    def held(self) -> list[Held]:
        """What it keeps in a device's memory, by arithmetic, the largest first."""
        return held_by_step(self.traced.jaxpr.jaxpr, self.state, self.phase, self.config, self.mesh)

    def compiled(self, programs: Programs) -> Compiled | OutOfMemory:
        """The compiler's answer. Raises UserError for what does not divide."""
        return programs.compiled(self.lowered, self.identity, self.phase.name, self.options)

    @property
    def rows_per_device(self) -> float:
        """Of a micro-batch; below 1 where a row is shared out over the context axis."""
        shards = math.prod(self.mesh.shape[axis] for axis in ("data", "fsdp", "context"))
        return self.phase.batch_size / self.micro_batches / shards

    def described(self) -> dict[str, Any]:
        """The choice, for people and JSON."""
        return {
            "mesh": dict(self.mesh.shape),
            "remat": self.config.remat,
            "micro_batches": self.micro_batches,
            "rows_per_device": self.rows_per_device,
            "attention_block": self.config.attention_block,
            "options": dict(self.options),
        }

    @property
    def compiler_options(self) -> dict[str, str]:
        """All that it is compiled with."""
        return {**compiler_options(self.mesh), **self.options}

    def _changed_options(self, scope: str) -> list[str]:
        chip = chip_of(self.mesh.devices.flat[0].device_kind)
        if chip is None or not self.options:
            return []
        return [f"{scope}/compiler_options.of_chip = { ({chip.name: self.compiler_options})!r}"]

    def settings(self, scope: str) -> list[str]:
        """The choice as lines of gin for one phase."""
        sizes = [f"{scope}/make_mesh.{axis} = {size}" for axis, size in self.mesh.shape.items()]
        return [
            *sizes,
            *self._changed_options(scope),
            f'{scope}/LlamaConfig.remat = "{self.config.remat}"',
            f"{scope}/make_train_step.micro_batches = {self.micro_batches}",
            f"{scope}/LlamaConfig.attention_block = {self.config.attention_block}",
        ]
