"""Weights of another project's files, read a tensor at a time straight into their sharding."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig, Params, param_axes, param_shapes, replace
from codellama_jax.parallel import named_sharding
from codellama_jax.weights.growth import Growth, fill_new_ids
from codellama_jax.weights.layout import Tensor, file_shape, read_slice
from codellama_jax.weights.names import Place
from codellama_jax.weights.paths import flat

# Tables that follow from the configuration; some files carry them.
_DERIVED = re.compile(r"(^|\.)(rotary_emb\.inv_freq|rope\.freqs|rope_freqs\.weight)$")


@dataclasses.dataclass(frozen=True)
class WeightSource:
    """Files of one model.

    Attributes:
      path: for messages.
      format: "hugging face", "meta" or "gguf".
      config: as the files state it.
      places: names and kinds of the tensors.
      shapes: of every tensor in the files, by name.
      tensors: to be sliced, by name.
      tokenizer: the tokenizer file beside them, if there is one.
      length: positions that the model is meant for, if the files say.
    """

    path: Path
    format: str
    config: LlamaConfig
    places: Mapping[str, Place]
    shapes: Mapping[str, tuple[int, ...]]
    tensors: Mapping[str, Tensor]
    tokenizer: Path | None
    length: int | None


def load_source(
    source: WeightSource, config: LlamaConfig, mesh: jax.sharding.Mesh, growth: Growth = "mean"
) -> Params:
    """The parameters, laid out on the mesh in `config.param_dtype`.

    Of each tensor a host reads only what its devices hold, one layer at a time; what is in memory
    at once is the parameters and one tensor.

    Args:
      source: the files.
      config: the model wanted; it may have more ids than the files (Llama 2's 32,000 grown to
        Code Llama's 32,016) or fewer, the first of them.
      mesh: where.
      growth: what the rows of new ids are: the mean of the rows there, or zeros.

    Raises:
      UserError: a missing, superfluous or misshapen tensor.
    """
    ids = source.config.vocab_size
    check_tensors(source, replace(config, vocab_size=ids))
    axes = flat(param_axes(config))
    loaded: dict[str, jax.Array] = {}
    for path, shape in flat(param_shapes(config)).items():
        place = source.places[path]
        if path.startswith("layers/"):
            loaded[path] = _stacked(source, place, shape, axes[path], mesh, path)
            continue
        tensor = source.tensors[place.name]
        if "vocab" in axes[path] and config.vocab_size > ids:
            tensor = _Padded(tensor, ids)
        sharding = named_sharding(mesh, shape.shape, axes[path], path)
        loaded[path] = _read(place, tensor, shape.shape, shape.dtype, sharding)
    params = unflatten_dict(loaded, sep="/")
    return fill_new_ids(params, config, ids, growth) if config.vocab_size > ids else params


def check_tensors(source: WeightSource, config: LlamaConfig) -> None:
    """Raises UserError naming a tensor that is missing, too many, or of another shape."""
    wanted: dict[str, tuple[int, ...]] = {}
    for path, shape in flat(param_shapes(config)).items():
        place, of = source.places[path], shape.shape
        if path.startswith("layers/"):
            for layer in range(config.num_layers):
                wanted[place.name.format(layer=layer)] = file_shape(place.kind, of[1:])
        else:
            wanted[place.name] = file_shape(place.kind, of)
    have = {name for name in source.shapes if not _DERIVED.search(name)}
    if config.tied:  # some writers keep the transposed copy
        have -= {source.places["head"].name}
    if missing := sorted(set(wanted) - have):
        raise UserError(
            f"{source.path}: {len(missing)} of {len(wanted)} tensors are missing, the first is"
            f" {missing[0]!r}: are all files there?"
        )
    if extra := sorted(have - set(wanted)):
        raise UserError(
            f"{source.path}: {len(extra)} tensors too many, the first is {extra[0]!r}: this is no"
            f" plain Llama of {config.num_layers} layers"
        )
    for name, shape in wanted.items():
        if (found := tuple(source.shapes[name])) != shape:
            raise UserError(
                f"{source.path}: tensor {name!r} has shape {found}, the configuration wants {shape}"
            )


class _Padded:
    """A tensor with rows of zeros appended for ids that the files do not have."""

    def __init__(self, tensor: Tensor, rows: int):
        self._tensor, self._rows = tensor, rows

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        rows, columns = index
        stop = min(rows.stop, self._rows)
        old = np.asarray(self._tensor[slice(min(rows.start, stop), stop), columns])
        return np.pad(old, ((0, rows.stop - rows.start - len(old)), (0, 0)))


def _read(
    place: Place,
    tensor: Tensor,
    shape: tuple[int, ...],
    dtype: Any,
    sharding: jax.sharding.NamedSharding,
) -> jax.Array:
    def part(index: tuple[slice, ...]) -> np.ndarray:
        return np.ascontiguousarray(read_slice(place.kind, tensor, shape, index).astype(dtype))

    return jax.make_array_from_callback(shape, sharding, part)


def _stacked(
    source: WeightSource,
    place: Place,
    shape: jax.ShapeDtypeStruct,
    axes: tuple[str, ...],
    mesh: jax.sharding.Mesh,
    path: str,
) -> jax.Array:
    """All layers of a parameter: an empty array is filled layer by layer, in place."""
    whole = named_sharding(mesh, shape.shape, axes, path)
    one = named_sharding(mesh, shape.shape[1:], axes[1:], path)
    empty = jax.jit(lambda: jnp.zeros(shape.shape, shape.dtype), out_shardings=whole)
    put = jax.jit(
        lambda stack, value, layer: jax.lax.dynamic_update_index_in_dim(stack, value, layer, 0),
        donate_argnums=0,
        out_shardings=whole,
    )
    stack = empty()
    for layer in range(shape.shape[0]):
        tensor = source.tensors[place.name.format(layer=layer)]
        stack = put(stack, _read(place, tensor, shape.shape[1:], shape.dtype, one), layer)
        stack.block_until_ready()  # or the tensors of layers to come would pile up
    return stack
