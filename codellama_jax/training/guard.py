"""What keeps an update that would spoil the parameters from being applied, within the step.

The step computes an update and a condition; where the condition fails, parameters and moments stay
as they were. The losses it compares with are a part of the training state, so that a resumed run
decides as the undisturbed one would, and nothing waits for the host.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import gin
import jax
import jax.numpy as jnp

from codellama_jax.errors import UserError, check_fields


class GuardState(NamedTuple):
    """What the guard remembers; every device holds it whole.

    losses: float32 (W,), the last accepted losses, the oldest overwritten first.
    accepted: int32 (), updates applied. refused: int32 (), steps without one, up to now in a row.
    """

    losses: jax.Array
    accepted: jax.Array
    refused: jax.Array


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Guard:
    """Which updates are not applied, and when the run stops over it.

    An update whose loss or gradient norm is not finite is never applied.

    Attributes:
      nonfinite: what such a step does to the run: "stop" it, or "skip" the batch.
      spike_z: skip a batch whose loss is more than so many standard deviations above the mean of
        the last accepted losses; None lets every finite loss pass.
      window: W, accepted losses that are compared with; until there are so many, none is too high.
      patience: batches skipped in a row after which the run stops, for it no longer learns.
    """

    nonfinite: Literal["stop", "skip"] = "stop"
    spike_z: float | None = None
    window: int = 128
    patience: int = 16

    def __post_init__(self) -> None:
        check_fields(self)
        for field, least in (("window", 2), ("patience", 1)):
            if (value := getattr(self, field)) < least:
                raise UserError(f"Guard.{field} = {value}: give {least} or more")
        if self.spike_z is not None and self.spike_z <= 0:
            raise UserError(f"Guard.spike_z = {self.spike_z}: give more than 0, or None for off")

    def fresh(self) -> GuardState:
        """The state before the first step."""
        none = functools.partial(jnp.zeros, (), jnp.int32)
        return GuardState(jnp.zeros(self.window, jnp.float32), accepted=none(), refused=none())

    def judge(
        self, state: GuardState, loss: jax.Array, gradient_norm: jax.Array
    ) -> tuple[jax.Array, GuardState, dict[str, jax.Array]]:
        """Whether the update of a step is to be applied.

        Args:
          state: before the step.
          loss, gradient_norm: float32 scalars.

        Returns:
          A bool scalar, the state after the step, and metrics, int32 scalars: skipped and spike,
          1 or 0, and skipped_in_row. What is skipped without a spike was not finite.
        """
        finite = jnp.isfinite(loss) & jnp.isfinite(gradient_norm)
        spike = jnp.zeros((), bool)
        if self.spike_z is not None:
            limit = jnp.mean(state.losses) + self.spike_z * jnp.std(state.losses)
            spike = finite & (state.accepted >= self.window) & (loss > limit)
        accept = finite & ~spike
        place = state.accepted % self.window
        losses = state.losses.at[place].set(jnp.where(accept, loss, state.losses[place]))
        refused = jnp.where(accept, 0, state.refused + 1)
        after = GuardState(losses, state.accepted + accept.astype(jnp.int32), refused)
        flags = {"skipped": ~accept, "spike": spike, "skipped_in_row": refused}
        return accept, after, {name: flag.astype(jnp.int32) for name, flag in flags.items()}

    def check(self, step: int, metrics: Mapping[str, Any]) -> str | None:
        """Judges the metrics of a step once they are on the host; to be called for every step.

        Returns:
          None, or one line about a batch that was skipped.

        Raises:
          UserError: the run stops here. The state is whole: the update was not applied.
        """
        if not metrics["skipped"]:
            return None
        loss, norm = float(metrics["loss"]), float(metrics["gradient_norm"])
        found = f"loss {loss:.4g}, gradient norm {norm:.4g}"
        spike, in_row = bool(metrics["spike"]), int(metrics["skipped_in_row"])
        if not spike and self.nonfinite == "stop":
            raise UserError(
                f"the loss or its gradient became nan or infinite between steps {step - 1} and"
                f" {step} ({found}); the update was not applied: lower Phase.peak_learning_rate or"
                " make_optimizer.clip_norm and start again, or leave such batches out with"
                ' Guard.nonfinite = "skip"'
            )
        if in_row >= self.patience:
            raise UserError(
                f"no update was applied between steps {step - in_row} and {step}, {in_row} in a row"
                f" (last {found}): lower Phase.peak_learning_rate, or raise Guard.spike_z or"
                " Guard.patience"
            )
        return f"step {step} skipped: {'a spike' if spike else 'not finite'} ({found})"
