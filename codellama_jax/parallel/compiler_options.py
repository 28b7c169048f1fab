"""Options of libtpu, the compiler of TPUs, by chip: the training step is compiled with them."""

from collections.abc import Mapping

import gin
from jax.sharding import Mesh

from codellama_jax.errors import UserError
from codellama_jax.parallel.chips import CHIPS, chip_of

Options = Mapping[str, str]

# A fusion may take 16 of a core's 128 MiB of vector memory by default; with more, products take
# larger tiles. A weight's gradient of 7B on v5e takes 8.35, 8.01 and 7.9 ms at 16, 32 and 96 MiB
# (7.5 at the peak), but generating code for the last takes many times as long (libtpu 0.0.42,
# docs/planning.md).
_VECTOR_MEMORY = "xla_tpu_scoped_vmem_limit_kib"

# Gathers beside compute, which v5e has without being asked (MaxText's "CF_FOR_ALL_GATHER").
_ASYNCHRONOUS_GATHERS = dict.fromkeys(
    (
        "xla_enable_async_all_gather",
        "xla_tpu_enable_async_collective_fusion",
        "xla_tpu_enable_async_collective_fusion_fuse_all_gather",
        "xla_tpu_enable_async_collective_fusion_multiple_steps",
        "xla_tpu_overlap_compute_collective_tc",
    ),
    "true",
)
_DEFAULTS: dict[str, Options] = {
    "v5e": {_VECTOR_MEMORY: "32768"},
    "v5p": {_VECTOR_MEMORY: "32768", **_ASYNCHRONOUS_GATHERS},
}


@gin.configurable
def compiler_options(mesh: Mesh, of_chip: Mapping[str, Options] | None = None) -> dict[str, str]:
    """Options that a program for a mesh is to be compiled with; none but on TPUs.

    Args:
      mesh: of devices, which need not be on this machine.
      of_chip: replaces the options of the chips it names, such as {"v5e": {}} for none on v5e.

    Raises:
      UserError: a chip that is no TPU.
    """
    table = {**_DEFAULTS, **(of_chip or {})}
    known = [chip.name for chip in CHIPS if chip.torus]
    if unknown := [name for name in table if name not in known]:
        raise UserError(f"compiler_options.of_chip: no TPU {unknown[0]!r}: there are {known}")
    chip = chip_of(mesh.devices.flat[0].device_kind)
    return dict(table.get(chip.name, {})) if chip else {}
