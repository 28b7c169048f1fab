"""Speed of a compiled TPU program, from its text alone.

The compiler's own `optimal_seconds` leaves links and kernels out and takes a loop's body once. Here
the program is run on paper: cycles that the compiler states for every operation, turns of loops,
collectives on the links of the torus. It holds for any program that XLA compiled for a TPU.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import gin

from codellama_jax.errors import UserError
from codellama_jax.parallel import Chip
from codellama_jax.planning.collectives import KINDS, Network
from codellama_jax.planning.hlo import Program, parse
from codellama_jax.planning.timeline import Run, Timeline, Transfer


@dataclasses.dataclass(frozen=True)
class Traffic:
    """The collectives of one kind in one step.

    Attributes:
      count: how many run.
      wire_bytes: a device sends.
      seconds: on the links; exposed: of these, compute waits.
      asynchronous: how many run beside compute.
    """

    count: int
    wire_bytes: float
    seconds: float
    exposed: float
    asynchronous: int


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One step, as one device runs it.

    Attributes:
      seconds: of the step.
      matmul, other, kernels: seconds of compute: operations with a matrix product, without one,
        hand-written kernels.
      exposed: seconds in which compute waits for collectives.
      hidden: seconds of collectives beside compute.
      flops: of executed matrix products, kernel_flops those of kernels.
      bytes: read from and written to the device's large memory.
      collectives: by kind.
      kernels: calls of each kernel.
      peak_flops: of a device, FLOP/s.
      devices: of the program.
      unpriced: what the estimate leaves out: kernels and loops that say nothing of themselves.
    """

    seconds: float
    matmul: float
    other: float
    kernels: float
    exposed: float
    hidden: float
    flops: int
    kernel_flops: int
    bytes: int
    collectives: dict[str, Traffic]
    kernel_calls: dict[str, int]
    peak_flops: float
    devices: int
    unpriced: tuple[str, ...]

    @property
    def compute(self) -> float:
        """Seconds of what the compiler states cycles for: all but kernels and collectives."""
        return self.matmul + self.other

    @property
    def wire_bytes(self) -> float:
        """Bytes that a device sends in collectives."""
        return sum(traffic.wire_bytes for traffic in self.collectives.values())

    def mfu(self, model_flops: float) -> float:
        """Part of the peak that the model's own operations make up.

        Args:
          model_flops: of the whole step on all devices (`LlamaConfig.flops_per_token` a token).
        """
        return model_flops / (self.seconds * self.peak_flops * self.devices)

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return dataclasses.asdict(self) | {"compute": self.compute, "wire_bytes": self.wire_bytes}


@gin.configurable
def estimate(
    text: str,
    chip: Chip,
    rings: Sequence[bool] | None = None,
    slices: int = 1,
    kernel_efficiency: float = 0.5,
    link_efficiency: float = 0.9,
    turns: int | None = None,
) -> Estimate:
    """Estimates one run of a compiled program.

    Args:
      text: of `compiled.as_text()`.
      chip: the program was compiled for.
      rings: of each dimension of a slice's torus, whether its ends are joined; None: all are.
      slices: of the job.
      kernel_efficiency: part of the peak that attention kernels reach, of which the compiler
        says nothing.
      link_efficiency: part of a link's bandwidth that collectives reach.
      turns: of loops that end by what they compute, as decoding does; None takes one and says so.

    Raises:
      UserError: the chip is no TPU; the text is no scheduled program.
    """
    if chip.torus is None:
        raise UserError(f"{chip.name} is no TPU: its programs state no cycles to estimate from")
    program = _parsed(text)
    network = Network(
        chip, tuple(rings or (True,) * chip.torus.dimensions), program.devices, slices
    )
    peak = chip.bf16_flops / chip.devices
    timeline = Timeline(
        program,
        chip.torus.clock,
        lambda collective: network.seconds(collective) / link_efficiency,
        lambda kernel: kernel.flops / (peak * kernel_efficiency),
        turns,
    )
    run = timeline.run(program.entry)
    return _estimate(run, peak, program.devices)


def _parsed(text: str) -> Program:
    try:
        return parse(text)
    except ValueError as error:
        raise UserError(str(error)) from error


def _estimate(run: Run, peak: float, devices: int) -> Estimate:
    traffic = {
        kind: _traffic([each for each in run.transfers if each.collective.kind == kind])
        for kind in KINDS
    }
    exposed = sum(each.exposed for each in traffic.values())
    return Estimate(
        seconds=run.seconds,
        **run.parts,
        exposed=exposed,
        hidden=sum(each.seconds for each in traffic.values()) - exposed,
        flops=run.flops,
        kernel_flops=run.kernel_flops,
        bytes=run.bytes,
        collectives={kind: each for kind, each in traffic.items() if each.count},
        kernel_calls=run.kernels,
        peak_flops=peak,
        devices=devices,
        unpriced=tuple(dict.fromkeys(run.unpriced)),
    )


def _traffic(transfers: list[Transfer]) -> Traffic:
    return Traffic(
        count=sum(each.times for each in transfers),
        wire_bytes=sum(each.times * each.collective.wire_bytes for each in transfers),
        seconds=sum(each.times * each.seconds for each in transfers),
        exposed=sum(each.times * each.exposed for each in transfers),
        asynchronous=sum(each.times for each in transfers if each.asynchronous),
    )
