"""The best way to lay a phase out on a slice: batch a chip × remat policy × mesh, then blocks.

Every combination is tried in mind first: what exceeds the memory by arithmetic is dropped, and what
is left is ordered by a rough time, so that the compiler, which takes a minute for each, sees the
promising ones first. The best of them is tried with other blocks of attention, of which arithmetic
says nothing. What the compiler says is kept: a search continues where it was interrupted.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gin
import jax

from codellama_jax.errors import UserError
from codellama_jax.model import replace
from codellama_jax.parallel import make_mesh, tell
from codellama_jax.planning.case import Case
from codellama_jax.planning.compile import Compiled, Programs
from codellama_jax.planning.figures import figures_of
from codellama_jax.planning.fit import REMATS
from codellama_jax.planning.held import bytes_on
from codellama_jax.planning.meshes import meshes
from codellama_jax.planning.topologies import Topology

# Forward and backward are three passes of products; what is recomputed of a fourth.
_RECOMPUTED = {"none": 0.0, "dots": 0.0, "projections": 0.05, "projections_offloaded": 0.1,
               "attention": 0.9, "full": 1.0}  # fmt: skip

_PRICED = tuple(remat for remat in REMATS if remat != "projections_offloaded")
# Rows of a tile of a TPU's memory (libtpu 0.0.42).
_TILE = 8
_LOOKS = 4


@gin.configurable
def search(
    case: Case,
    found: Topology,
    devices: Sequence[jax.Device],
    programs: Programs,
    compiles: int = 8,
    micro_batches: Sequence[int] = (1, 2, 4, 8),
    remats: Sequence[str] = _PRICED,
    tensors: Sequence[int] = (1, 2, 4, 8),
    contexts: Sequence[int] = (1, 2, 4, 8, 16),
    replicas: Sequence[int] = (1, 2),
    attention_blocks: Sequence[int] = (512, 1024),
    compiler_options: Sequence[Mapping[str, str]] = (),
) -> tuple[Case, list[dict[str, Any]]]:
    """Looks for the case of the most tokens a second; to be called in the gin scope of its phase.

    Args:
      case: as it is configured, which is compiled, too.
      found: the slice.
      devices: its devices.
      programs: compiles.
      compiles: programs that are compiled at most, the configured one included, before blocks.
        Four times as many are looked at, as those that do not fit take seconds.
      micro_batches: parts of the batch.
      remats: policies. "projections_offloaded" must be asked for, as the estimate leaves out what
        moves between devices and their host.
      tensors, contexts: sizes of these axes.
      replicas: of the model on a slice, which data takes with the slices; fsdp takes the rest.
      attention_blocks: tried with the best of all that.
      compiler_options: further ones, each tried with the best of all that, and kept by what
        follows where it gains.

    Returns:
      The best case, and what was found of each that was looked at, the best first.

    Raises:
      UserError: no mesh takes the batch; none fits.
    """
    limit = found.generation.device_bytes
    grid = list(_cases(case, found, devices, micro_batches, remats, tensors, contexts, replicas))
    if not grid:
        raise UserError(
            f"no mesh of {len(devices)} devices takes {case.phase.batch_size} rows: raise"
            " search.contexts or search.tensors, or Phase.batch_size"
        )
    any_mesh = grid[0].mesh  # the configured one need not take the batch
    once = {}
    for remat in remats:
        config = replace(case.config, remat=remat)
        alone = dataclasses.replace(case, mesh=any_mesh, config=config, micro_batches=1)
        once[remat] = alone.held
    possible = [
        each
        for each in grid
        if bytes_on(once[each.config.remat], any_mesh, each.mesh, each.micro_batches) <= limit
    ]
    too_large = len(grid) - len(possible)
    possible.sort(key=lambda each: _rough_seconds(each, found))
    tell(
        f"{case.phase.name}: {len(grid):,} cases, {too_large:,} too large by arithmetic;"
        f" compiles {min(compiles, len(possible) + 1)}"
    )
    rows: list[tuple[Case, dict[str, Any]]] = []
    others = [each for each in possible if each.described() != case.described()]
    for each in [case, *others][: _LOOKS * compiles]:
        if sum(row["fits"] for _, row in rows) == compiles:
            break
        rows += _looked_at(each, found, programs)
    if not any(row["fits"] for _, row in rows):
        raise UserError(
            f"none of {len(rows)} cases fits {found.name}: take a larger slice, or raise"
            " search.compiles"
        )
    for block in attention_blocks:
        best = max(rows, key=_rate)[0]
        if block != best.config.attention_block:
            config = replace(best.config, attention_block=block)
            rows += _looked_at(dataclasses.replace(best, config=config), found, programs)
    for options in compiler_options:
        best = max(rows, key=_rate)[0]
        more = dataclasses.replace(best, options={**best.options, **options})
        rows += _looked_at(more, found, programs)
    rows.sort(key=_rate, reverse=True)
    return rows[0][0], [row for _, row in rows]


def _looked_at(
    case: Case, found: Topology, programs: Programs
) -> list[tuple[Case, dict[str, Any]]]:
    """A case with what the compiler says, told; nothing for one that cannot be."""
    try:
        row = _measured(case, found, programs)
    except UserError as error:  # heads or vocabulary do not divide
        tell(f"  {_setting(case.described())}: {error}")
        return []
    tell(f"  {_line(row)}")
    return [(case, row)]


def _rate(found: tuple[Case, dict[str, Any]]) -> float:
    """Tokens a second of a chip; less than any where it does not fit."""
    return found[1].get("tokens_per_second_per_chip", -1.0)


def _cases(
    case: Case,
    found: Topology,
    devices: Sequence[jax.Device],
    micro_batches: Sequence[int],
    remats: Sequence[str],
    tensors: Sequence[int],
    contexts: Sequence[int],
    replicas: Sequence[int],
) -> Iterator[Case]:
    for tensor, parts, copies in itertools.product(tensors, micro_batches, replicas):
        rows, rest = divmod(case.phase.batch_size, parts)
        if rest:
            continue
        for sizes in meshes(len(devices), found.slices * copies, rows, tensor):
            if sizes["context"] not in contexts:
                continue
            mesh = make_mesh(**sizes, devices=devices)
            for remat in remats:
                config = replace(case.config, remat=remat)
                yield dataclasses.replace(case, mesh=mesh, config=config, micro_batches=parts)


def _measured(case: Case, found: Topology, programs: Programs) -> dict[str, Any]:
    answer = case.compiled(programs)
    row = {**case.described(), "fits": isinstance(answer, Compiled)}
    if isinstance(answer, Compiled):
        row |= figures_of(case, found, answer)
    return row


def _rough_seconds(case: Case, found: Topology) -> float:
    """A step's time, good enough to say which case is worth compiling first."""
    config, mesh, chip = case.config, case.mesh, found.chip
    tokens = case.phase.batch_size * case.phase.sequence_length / mesh.size
    passes = 1 + _RECOMPUTED[config.remat] / 3
    flops = config.flops_per_token(case.phase.sequence_length) * tokens * passes
    compute = flops * chip.devices / chip.bf16_flops
    link = chip.torus.link_bandwidth * 2 * chip.torus.dimensions
    # Parameters are gathered forward and backward, their gradients scattered, for each part.
    weights = config.num_parameters / mesh.shape["tensor"] * (2 + 2 + 4) * case.micro_batches
    shards = mesh.shape["fsdp"]
    gathered = weights * (shards - 1) / shards
    # Twice forward and twice backward a layer's activations are added up over tensor, and keys and
    # values gathered over context.
    tensor, context = mesh.shape["tensor"], mesh.shape["context"]
    width = 8 * config.dim * (tensor - 1) + 6 * config.num_kv_heads * config.key_size * (
        context - 1
    )
    exchanged = config.num_layers * tokens * 2 * width
    seconds = max(compute, gathered / link) + exchanged / link
    # What was gathered from shards that do not fill the tiles of memory is copied before it is
    # used; so is its gradient.
    if config.dim % (_TILE * shards):
        seconds += 2 * weights / chip.memory_bandwidth
    return seconds


def _setting(row: dict[str, Any]) -> str:
    mesh = " × ".join(f"{axis} {size}" for axis, size in row["mesh"].items() if size > 1)
    return (
        f"{mesh or 'one device'}, remat {row['remat']}, micro-batches {row['micro_batches']},"
        f" blocks of {row['attention_block']}"
        + "".join(f", {name}={value}" for name, value in row["options"].items())
    )


def _line(row: dict[str, Any]) -> str:
    setting = _setting(row)
    if not row["fits"]:
        return f"{setting}: does not fit"
    return (
        f"{setting}: {row['tokens_per_second_per_chip']:,.0f} tokens/s a chip,"
        f" MFU {row['mfu']:.1%}, {row['memory']['peak'] / 2**30:.1f} GiB"
    )
