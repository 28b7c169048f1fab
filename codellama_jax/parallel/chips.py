"""What the chips of TPU pods and GPU clusters can do at most.

JAX knows a chip by its device_kind, a cloud by its own name. A chip may be two JAX devices (TPU7x)
or two cores behind one device (v4 and v5p in megacore mode, JAX's only one). Rates are dense: what
NVIDIA gives "with sparsity" is halved.
"""

import dataclasses

MIB, GIB = 2**20, 2**30


@dataclasses.dataclass(frozen=True)
class Torus:
    """What a TPU chip's programs are timed with.

    Attributes:
      clock: Hz, of the cycles that XLA counts.
      dimensions: of the torus of chips; each has two links a chip.
      link_bandwidth: bytes/s of one link in one direction.
      network_bandwidth: bytes/s a chip sends to other slices, through its host's network cards.
      vector_memory: bytes, of one core, on the chip.
    """

    clock: float
    dimensions: int
    link_bandwidth: float
    network_bandwidth: float
    vector_memory: int


@dataclasses.dataclass(frozen=True)
class Chip:
    """One chip.

    Attributes:
      name: as its cloud or maker says.
      device_kinds: as JAX says; the libtpu topologies and the driver's product names.
      bf16_flops: peak dense bfloat16 FLOP/s.
      memory_bytes: of high-bandwidth memory, as specified; programs get a little less.
      memory_bandwidth: bytes/s.
      source: of the numbers.
      devices: JAX devices it shows as.
      torus: clock and links, of TPUs.
    """

    name: str
    device_kinds: tuple[str, ...]
    bf16_flops: float
    memory_bytes: int
    memory_bandwidth: float
    source: str
    devices: int = 1
    torus: Torus | None = None


_TPU = "https://cloud.google.com/tpu/docs/"
_NVIDIA = "https://www.nvidia.com/en-us/data-center/"

# The clock is the peak over the multipliers of a chip: matrix units x side^2 x 2 (v4 and v5p 8
# units of 128, v5e 4 of 128, v6e 4 of 256, 7x 8 of 256). Links are the documents' bandwidth "per
# chip, bidirectional" over links and directions; a chip's part of the network is its pod's over
# its chips. The networks of v4 and 7x are assumed to be those of v5p and v6e.
# Vector memory is what JAX says of a chip (`pltpu.get_tpu_info_for_chip`).
CHIPS = (
    Chip(
        "v4", ("TPU v4",), 275e12, 32 * GIB, 1200e9, f"{_TPU}v4",
        torus=Torus(1.05e9, 3, 50e9, 6.25e9, 16 * MIB),
    ),
    Chip(
        "v5e", ("TPU v5 lite", "TPU v5e"), 197e12, 16 * GIB, 819e9, f"{_TPU}v5e",
        torus=Torus(1.5e9, 2, 50e9, 3.125e9, 128 * MIB),
    ),
    Chip(
        "v5p", ("TPU v5", "TPU v5p"), 459e12, 95 * GIB, 2765e9, f"{_TPU}v5p",
        torus=Torus(1.75e9, 3, 100e9, 6.25e9, 64 * MIB),
    ),
    Chip(
        "v6e", ("TPU v6 lite", "TPU v6e"), 918e12, 32 * GIB, 1638e9, f"{_TPU}v6e",
        torus=Torus(1.75e9, 2, 100e9, 12.5e9, 128 * MIB),
    ),
    Chip(
        "7x", ("TPU7x",), 2307e12, 192 * GIB, 7380e9, f"{_TPU}tpu7x", devices=2,
        torus=Torus(2.2e9, 3, 100e9, 12.5e9, 64 * MIB),
    ),
    Chip(
        "A100-40GB", ("NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB"),
        312e12, 40 * GIB, 1555e9, f"{_NVIDIA}a100",
    ),
    Chip("A100-80GB", ("NVIDIA A100-SXM4-80GB",), 312e12, 80 * GIB, 2039e9, f"{_NVIDIA}a100"),
    Chip("A100-80GB-PCIe", ("NVIDIA A100 80GB PCIe",), 312e12, 80 * GIB, 1935e9, f"{_NVIDIA}a100"),
    Chip("H100-SXM", ("NVIDIA H100 80GB HBM3",), 989.4e12, 80 * GIB, 3350e9, f"{_NVIDIA}h100"),
    Chip("H100-PCIe", ("NVIDIA H100 PCIe",), 756.5e12, 80 * GIB, 2000e9, f"{_NVIDIA}h100"),
)  # fmt: skip

_BY_KIND = {kind: chip for chip in CHIPS for kind in chip.device_kinds}


def chip_of(device_kind: str) -> Chip | None:
    """The chip behind a JAX device, or None for one not in the table, such as a CPU.

    Args:
      device_kind: `jax.Device.device_kind`.
    """
    return _BY_KIND.get(device_kind)
