"""A phase of training as a value: where it starts, what it reads, how long, at which rates."""

import dataclasses
import re
from collections.abc import Sequence

import gin

from codellama_jax.errors import UserError, check_fields
from codellama_jax.model import LlamaConfig, replace

RESIZINGS = ("mean", "zeros", "drop")


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Phase:
    """One node of the graph of phases (paper section 2 and figure 2).

    Attributes:
      name: of the phase and of its folder in the run.
      mixture: what it reads (data/tasks.py).
      steps: optimizer steps.
      batch_size: rows of the global batch.
      sequence_length: positions of a row.
      parent: the phase whose final parameters it starts from. Without parent and initial_weights
        they are random. The optimizer and the step count start anew in every phase.
      initial_weights: weights outside the run to start from instead: a checkpoint of ours, a
        Hugging Face or Meta folder, or a GGUF file.
      resize_vocabulary: what is done when the weights it starts from have fewer ids than its model,
        whose new rows of embedding and head become the "mean" of the others or "zeros", or more,
        of which it will "drop" the last; None refuses them.
      rope_base: base of the rotary angles, 1e6 from long context on (section 2.4).
      peak_learning_rate: after warm-up; the schedule then falls by a cosine.
      warmup_steps: of linear warm-up (section 2.6: 1,000).
      final_fraction: the last rate as a share of the peak (section 2.6: 1/30).
      purpose: one line for people who read the report.
    """

    name: str = gin.REQUIRED
    mixture: str = gin.REQUIRED
    steps: int = gin.REQUIRED
    batch_size: int = 1024
    sequence_length: int = 4096
    parent: str | None = None
    initial_weights: str | None = None
    resize_vocabulary: str | None = None
    rope_base: float = 1e4
    peak_learning_rate: float = 3e-4
    warmup_steps: int = 1000
    final_fraction: float = 1 / 30
    purpose: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
        for field in ("steps", "batch_size", "sequence_length"):
            if (value := getattr(self, field)) < 1:
                raise UserError(f"phase {self.name!r}: {field} = {value} must be at least 1")
        if not re.fullmatch(r"[A-Za-z_]\w*", self.name):
            raise UserError(
                f"phase name {self.name!r} must be usable as a folder name and as a gin scope:"
                " letters, digits and _, no digit first"
            )
        if self.parent is not None and self.initial_weights is not None:
            raise UserError(
                f"phase {self.name!r} starts from the phase {self.parent!r} and from"
                f" {self.initial_weights!r}: give one of parent and initial_weights"
            )
        if self.resize_vocabulary not in (None, *RESIZINGS):
            raise UserError(
                f"phase {self.name!r}: resize_vocabulary = {self.resize_vocabulary!r}: choose one"
                f" of {', '.join(map(repr, RESIZINGS))}"
            )

    @property
    def tokens(self) -> int:
        """Positions trained on."""
        return self.steps * self.batch_size * self.sequence_length


def model_of(phase: Phase) -> LlamaConfig:
    """The model of a phase; to be called in the gin scope of its name."""
    return replace(LlamaConfig(), rope_base=phase.rope_base)


def in_order(phases: Sequence[Phase]) -> list[Phase]:
    """The phases, each after its parent.

    Raises:
      UserError: a parent that is no phase of the run, a name used twice, or a circle.
    """
    by_name = {phase.name: phase for phase in phases}
    if len(by_name) != len(phases):
        names = [phase.name for phase in phases]
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"two phases of the run are named {twice!r}")
    for phase in phases:
        if phase.parent is not None and phase.parent not in by_name:
            raise UserError(
                f"phase {phase.name!r} starts from {phase.parent!r}, which is no phase of this"
                f" run: its phases are {sorted(by_name)}"
            )
    ordered: list[Phase] = []
    waiting = list(phases)
    while waiting:
        done = {phase.name for phase in ordered}
        ready = [phase for phase in waiting if phase.parent is None or phase.parent in done]
        if not ready:
            # Those that wait descend from a circle; so many steps up is certainly on it.
            name = waiting[0].name
            for _ in waiting:
                name = by_name[name].parent
            raise UserError(f"phase {name!r} is its own ancestor")
        ordered += ready
        waiting = [phase for phase in waiting if phase not in ready]
    return ordered
