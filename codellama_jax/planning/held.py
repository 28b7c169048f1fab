"""What a step keeps in a device's memory, by arithmetic: the first sieve, before any compiling.

Arguments by the name of their parameter, and by the line that computes it what the forward pass
leaves for the backward one. That is nearly all that grows with the batch; working room, such as one
layer's activations computed anew, comes on top, so that what exceeds a device here never fits.
"""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from codellama_jax.model import LlamaConfig, product
from codellama_jax.parallel import axis_rules, constrain
from codellama_jax.training import Phase
from codellama_jax.training.state import TrainState

# What a remat policy adds to a value that it keeps: a name to know it by, and a fence.
_KEEPING = ("name", "reduce_precision")
# What many lines call: the value is told by the line that called it.
_CALLED = (constrain.__name__, product.__name__)
_PACKAGE = str(Path(__file__).resolve().parent.parent)


@dataclasses.dataclass(frozen=True)
class Held:
    """A buffer.

    Attributes:
      name: what it is.
      bytes: on one device.
      kind: "parameters", "optimizer", "gradients" or "activations".
      axes: logical axes by which devices share it.
    """

    name: str
    bytes: float
    kind: str
    axes: tuple[str, ...]


def held_by_step(
    jaxpr: Any, state: TrainState, phase: Phase, config: LlamaConfig, mesh: Mesh
) -> list[Held]:
    """The buffers of a traced step, the largest first.

    Args:
      jaxpr: of the step.
      state: its state, by shapes and shardings.
      phase: whose batches it takes.
      config: of its model.
      mesh: where.
    """
    held = [
        *_leaves(state.params, "parameters"),
        *_leaves(state.optimizer, "optimizer"),
        *_leaves(state.params, "gradients"),
        *_kept(jaxpr, phase, config, mesh),
    ]
    return sorted(held, key=lambda buffer: -buffer.bytes)


def totals(held: list[Held]) -> dict[str, float]:
    """Bytes of each kind, and of all."""
    kinds = dict.fromkeys(buffer.kind for buffer in held)
    found = {kind: sum(b.bytes for b in held if b.kind == kind) for kind in kinds}
    return {**found, "all": sum(found.values())}


def bytes_on(held: list[Held], old: Mesh, new: Mesh, parts: int) -> float:
    """What buffers that were counted on one mesh, a batch in one part, take on another one.

    Args:
      held: of `held_by_step`.
      old: where they were counted.
      new: where they are wanted.
      parts: micro-batches there.
    """
    return sum(
        buffer.bytes * _shards(buffer.axes, old) / _shards(buffer.axes, new)
        / (parts if buffer.kind == "activations" else 1)
        for buffer in held
    )  # fmt: skip


def _leaves(tree: Any, kind: str) -> Iterator[Held]:
    for path, leaf in jax.tree.leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        size = math.prod(leaf.sharding.shard_shape(leaf.shape)) * np.dtype(leaf.dtype).itemsize
        yield Held(f"{kind}: {name}", size, kind, ("embed", "heads"))  # as matrices are


def _kept(jaxpr: Any, phase: Phase, config: LlamaConfig, mesh: Mesh) -> Iterator[Held]:
    """What scans over layers stack up for their way back, and what scans inside these do."""
    for equation in jaxpr.eqns:
        inner = [found for found in map(_jaxpr, _parameters(equation)) if found is not None]
        if equation.primitive.name == "scan" and not equation.params["reverse"]:
            carried = equation.params["num_carry"]
            body = inner[0]
            for stacked, one in zip(equation.outvars[carried:], body.outvars[carried:]):
                aval = stacked.aval
                if "Host" in str(getattr(aval, "memory_space", "")):
                    continue
                if _by_device(one, body):  # what each device keeps, one after the other
                    axes, shards = _axes_within(aval, config), mesh.size
                elif _of_rows(aval.shape, phase):
                    axes = _axes(aval.shape, config)
                    shards = _shards(axes, mesh)
                else:
                    continue
                size = aval.size * aval.dtype.itemsize / shards
                shape = "×".join(map(str, aval.shape))
                name = f"{_origin(one, body)}, {aval.dtype} {shape}"
                yield Held(name, size, "activations", axes)
        for found in inner:
            yield from _kept(found, phase, config, mesh)


def _parameters(equation: Any) -> list[Any]:
    values = equation.params.values()
    return jax.tree.leaves(list(values), is_leaf=lambda value: _jaxpr(value) is not None)


def _jaxpr(value: Any) -> Any:
    value = getattr(value, "jaxpr", value)
    return value if hasattr(value, "eqns") else None


def _of_rows(shape: tuple[int, ...], phase: Phase) -> bool:
    """Whether it stacks activations, (layers, rows of a micro-batch, …), not cast weights."""
    return len(shape) > 3 and phase.sequence_length in shape[2:] and not phase.batch_size % shape[1]


def _by_device(variable: Any, jaxpr: Any) -> bool:
    """Whether a value comes out of a part of the program that is written for one device."""
    return any(
        equation.primitive.name == "shard_map" and variable in equation.outvars
        for equation in jaxpr.eqns
    )


def _axes_within(aval: Any, config: LlamaConfig) -> tuple[str, ...]:
    """The axes that share out what the attention of one device keeps: (layers, rows, heads,
    sequence, size) of keys and values, of which it has the whole sequence, else of queries."""
    keys = len(aval.shape) == 5 and aval.shape[-1] == config.key_size
    return ("batch", "kv_heads") if keys else ("batch", "sequence", "kv_heads")


def _axes(shape: tuple[int, ...], config: LlamaConfig) -> tuple[str, ...]:
    """The axes that share out a stack (layers, rows, sequence, …) of activations."""
    if len(shape) > 4:
        return ("batch", "sequence", "kv_heads")
    return ("batch", "sequence", "ffn") if shape[-1] == config.ffn_dim else ("batch", "sequence")


def _shards(axes: tuple[str, ...], mesh: Mesh) -> int:
    rules = axis_rules()
    return math.prod(mesh.shape[name] for axis in axes for name in rules[axis])


def _origin(variable: Any, jaxpr: Any) -> str:
    """Where in the package a value is computed: file, line, function, and a product's axes."""
    makers = {made: equation for equation in jaxpr.eqns for made in equation.outvars}
    equation = makers.get(variable)
    while equation is not None:
        if equation.primitive.name in _KEEPING:
            equation = makers.get(equation.invars[0])
            continue
        for frame in (
            equation.source_info.traceback.frames if equation.source_info.traceback else ()
        ):
            if frame.file_name.startswith(_PACKAGE) and frame.function_name not in _CALLED:
                place = f"{Path(frame.file_name).name}:{frame.line_num} {frame.function_name}"
                axes = str(equation.source_info.name_stack)
                return f"{place} ({axes})" if axes else place
        equation = makers.get(equation.invars[0]) if equation.invars else None
    return "each layer's input"
