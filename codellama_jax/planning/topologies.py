"""Slices of TPU chips by the names that clouds give them, and their devices without the chips.

A name is a generation and a size: v5e-256, v5p-128, 7x-256; before it, how many such slices:
2xv5e-256. The size counts TensorCores for v4, v5p and 7x, which have two a chip, and chips for v5e
and v6e. A shape can stand in its place: v5p-4x4x12.
"""

import dataclasses
import difflib
import importlib.util
import math
import os
import re
from typing import TYPE_CHECKING

from codellama_jax.errors import UserError
from codellama_jax.parallel import CHIPS, Chip, start_devices

if TYPE_CHECKING:
    import jax

_CUBES = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4), (4, 4, 4), (4, 4, 8), (4, 8, 8), (8, 8, 8),
          (8, 8, 16), (8, 16, 16), (16, 16, 16), (16, 16, 24))  # fmt: skip
_SQUARES = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
_DOCS = "https://cloud.google.com/tpu/docs/"


@dataclasses.dataclass(frozen=True)
class Generation:
    """What the slices of one kind of chip have in common.

    Attributes:
      chip: its name in parallel/chips.py.
      libtpu: its name in libtpu.
      cores: of a chip, where the size in a slice's name counts cores.
      shapes: of the slices that are on offer, chips along each axis.
      closing: an axis of a multiple of so many chips has links from its last chip to its first.
      device_bytes: what a program can have of the memory of a JAX device, as libtpu 0.0.42 says
        when it runs out of it.
      aliases: other names.
      options: of libtpu, which make it show devices as the cloud's machines do.
      source: of shapes and links.
    """

    chip: str
    libtpu: str
    cores: int
    shapes: tuple[tuple[int, ...], ...]
    closing: int
    device_bytes: float
    aliases: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    source: str = ""


GENERATIONS = (
    Generation("v4", "v4", 2, _CUBES[:-2], 4, 30.75 * 2**30, (),
               (("chip_config_name", "megacore"),), f"{_DOCS}v4"),
    Generation("v5e", "v5e", 1, _SQUARES, 16, 15.75 * 2**30, ("v5litepod",), (), f"{_DOCS}v5e"),
    Generation("v5p", "v5p", 2, _CUBES, 4, 95.74 * 2**30, (), (), f"{_DOCS}v5p"),
    Generation("v6e", "v6e", 1, _SQUARES, 16, 31.25 * 2**30, (), (), f"{_DOCS}v6e"),
    Generation("7x", "tpu7x", 2, _CUBES[:-1], 4, 94.75 * 2**30, ("tpu7x",), (), f"{_DOCS}tpu7x"),
)  # fmt: skip

_NAME = re.compile(r"(?:(\d+)x)?([a-z0-9]+)-(\d+(?:x\d+){0,2})")


@dataclasses.dataclass(frozen=True)
class Topology:
    """Slices of chips.

    Attributes:
      name: as the cloud says.
      generation: of the chips.
      shape: chips of a slice along each axis.
      slices: how many, joined by the data centre's network.
    """

    name: str
    generation: Generation
    shape: tuple[int, ...]
    slices: int = 1

    @property
    def chip(self) -> Chip:
        """What a chip can do."""
        return next(chip for chip in CHIPS if chip.name == self.generation.chip)

    @property
    def chips(self) -> int:
        """Of all slices."""
        return self.slices * math.prod(self.shape)

    @property
    def hosts(self) -> int:
        """Machines; each has four chips, or the one of a slice of one."""
        return max(self.chips // 4, self.slices)

    @property
    def wrap(self) -> tuple[bool, ...]:
        """Which axes are rings: their last chip has a link to their first."""
        return tuple(size % self.generation.closing == 0 for size in self.shape)

    @property
    def libtpu_name(self) -> str:
        """Of a slice."""
        return f"{self.generation.libtpu}:{'x'.join(map(str, self.shape))}"

    def devices(self) -> "list[jax.Device]":
        """Its JAX devices, for programs to be compiled for; nothing can be computed on them.

        Raises:
          UserError: no libtpu, or one that knows no such slice.
        """
        prepare_compiler()
        from jax.errors import JaxRuntimeError
        from jax.experimental import topologies

        options = dict(self.generation.options)
        options["wrap"] = (*self.wrap, False)[:3]
        if self.chips == self.slices:
            options["chips_per_host_bounds"] = (1, 1, 1)
        if self.slices > 1:
            options["num_slices"] = self.slices
        try:
            described = topologies.get_topology_desc(
                platform="tpu", topology_name=self.libtpu_name, **options
            )
        except JaxRuntimeError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"libtpu has no slice {self.libtpu_name}: {reason}") from error
        return list(described.devices)


def topology(name: str) -> Topology:
    """The slices of a name such as v5e-256, 2xv5e-256 or v5p-4x4x12.

    Raises:
      UserError: no such slice; names those that resemble it.
    """
    match = _NAME.fullmatch(name.strip().lower())
    slices, kind, size = match.groups() if match else (None, "", "")
    slices = int(slices or 1)
    for generation in GENERATIONS:
        if kind not in (generation.chip, *generation.aliases) or slices < 1:
            continue
        if "x" in size:
            shape = tuple(map(int, size.split("x")))
            if len(shape) == len(generation.shapes[0]) and min(shape) > 0:
                return Topology(name, generation, shape, slices)
        for shape in generation.shapes:
            if int(size.split("x")[0]) == math.prod(shape) * generation.cores and "x" not in size:
                return Topology(name, generation, shape, slices)
    known = [name for generation in GENERATIONS for name in names_of(generation)]
    near = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
    same = next((names_of(g) for g in GENERATIONS if kind in (g.chip, *g.aliases)), None)
    raise UserError(
        f"no TPU slice {name!r}: did you mean {', '.join(near or same or known[:4])}? There are"
        f" {', '.join(same) if same else ', '.join(f'{g.chip}-…' for g in GENERATIONS)}; other"
        " shapes as v5p-4x4x12, several slices as 2xv5e-256"
    )


def names_of(generation: Generation) -> list[str]:
    """Names of the slices on offer, small ones first."""
    return [f"{generation.chip}-{math.prod(s) * generation.cores}" for s in generation.shapes]


def resized(found: Topology, chips: int) -> Topology | None:
    """The slice of the same generation with so many chips, or None; one larger than any is
    several of the largest."""
    sizes = {math.prod(shape): shape for shape in found.generation.shapes}
    slices = max(1, chips // max(sizes))
    shape = sizes.get(chips // slices)
    if shape is None or chips % slices:
        return None
    name = f"{found.generation.chip}-{chips // slices * found.generation.cores}"
    return Topology(f"{slices}x{name}" if slices > 1 else name, found.generation, shape, slices)


def prepare_compiler() -> None:
    """Sets what libtpu must find when it is loaded on a machine without TPUs.

    Raises:
      UserError: libtpu is not installed.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            "the TPU compiler, libtpu, is not installed: pip install 'codellama-jax[tpu-aot]'"
        )
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def start_compiler() -> None:
    """Starts JAX on this machine's CPU with the compiler of TPUs beside it, before any other use.

    Raises:
      UserError: libtpu is not installed.
    """
    prepare_compiler()  # before JAX looks for it
    start_devices(platform="cpu", cpu_devices=None, compilation_cache=None, hosts="one")


_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",  # no question to a cloud's metadata server
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # no lock: several programs compile at once
    "TPU_WORKER_HOSTNAMES": "localhost",  # what it would complain of not knowing
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
}
