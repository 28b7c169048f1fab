"""Where parameters come from: a checkpoint of ours or another project's files, headers first."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from codellama_jax import __version__
from codellama_jax.errors import UserError
from codellama_jax.model import SIZES, LlamaConfig, Params, param_shapes, recognise
from codellama_jax.runs import FOLDER, latest_step, read_record
from codellama_jax.text import find_tokenizer
from codellama_jax.weights.checkpoint import config_of, load_params
from codellama_jax.weights.gguf import open_gguf
from codellama_jax.weights.growth import Growth, fill_new_ids
from codellama_jax.weights.hugging_face import CONFIG, open_hugging_face
from codellama_jax.weights.meta import SETTINGS, open_meta
from codellama_jax.weights.paths import flat
from codellama_jax.weights.source import WeightSource, check_tensors, load_source

OURS = "codellama-jax"


@dataclasses.dataclass(frozen=True)
class Origin:
    """Weights of any known format, of which nothing but headers is read yet.

    Attributes:
      path: as it was given.
      format: "codellama-jax", "hugging face", "meta" or "gguf".
      config: the model, as the files state it.
      lineage: of a checkpoint of ours, from the first generation to its own; else empty.
      tokenizer: the file beside the weights, if there is one.
      source: another project's tensors; None for ours.
      length: longest sequence that the model is meant for: as the files state it, or as any of a
        lineage's phases was trained; else the published size's.
    """

    path: Path
    format: str
    config: LlamaConfig
    lineage: list[dict[str, Any]]
    tokenizer: Path | None
    source: WeightSource | None
    length: int


def open_origin(path: str | Path) -> Origin:
    """The weights at a path, by what is there.

    Raises:
      UserError: none of any known format, or unreadable.
    """
    path = Path(path)
    if (path / FOLDER).is_dir():
        record = read_record(path)
        config, lineage = config_of(record), record["lineage"]
        lengths = [entry["settings"].get("sequence_length", 0) for entry in lineage]
        length = max(lengths, default=0) or _published_length(config)
        return Origin(path, OURS, config, lineage, find_tokenizer(path), None, length)
    source = open_weights(path)
    length = source.length or _published_length(source.config)
    return Origin(path, source.format, source.config, [], source.tokenizer, source, length)


def open_weights(path: str | Path) -> WeightSource:
    """Another project's weights, by what is there: a Hugging Face or Meta folder or a GGUF file.

    Raises:
      UserError: none of these, or unreadable.
    """
    path = Path(path)
    if path.is_file() and path.suffix == ".gguf":
        return open_gguf(path)
    if (path / SETTINGS).is_file():
        return open_meta(path)
    if (path / CONFIG).is_file():
        return open_hugging_face(path)
    raise UserError(
        f"no weights in {path}: a phase's folder, a Hugging Face folder (config.json), a Meta"
        " folder (params.json) or a .gguf file is wanted"
    )


def check_files(origin: Origin) -> None:
    """Raises UserError when the tensors, by their headers, are not those of `origin.config`."""
    if origin.source is not None:
        check_tensors(origin.source, origin.config)
        return
    path = (origin.path / FOLDER / str(latest_step(origin.path)) / "params").absolute()
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            tree = checkpointer.metadata(path).item_metadata.tree
    except (ValueError, OSError, KeyError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"cannot read the parameters in {path}: {reason}") from error
    have = {name: tuple(leaf.shape) for name, leaf in flat(tree).items()}
    for name, shape in flat(param_shapes(origin.config)).items():
        if have.get(name) != shape.shape:
            raise UserError(
                f"{path}: {name} has shape {have.get(name)}, its record's model {shape.shape}:"
                " take another checkpoint"
            )


def load_origin(
    origin: Origin, config: LlamaConfig, mesh: jax.sharding.Mesh, growth: Growth = "mean"
) -> Params:
    """The parameters, read straight into their layout on the mesh, in `config.param_dtype`.

    Args:
      origin: from `open_origin`.
      config: the origin's, but for settings that are no part of the weights, and the number of ids:
        if it has more, they are grown, if it has fewer, the first of them are taken.
      mesh: where.
      growth: what the rows of new ids are.
    """
    if origin.source is not None:
        return load_source(origin.source, config, mesh, growth)
    ids = origin.config.vocab_size
    params = load_params(origin.path, config, mesh, other_ids=config.vocab_size != ids)
    return fill_new_ids(params, config, ids, growth) if config.vocab_size > ids else params


def origin_entry(
    name: str, path: str | Path, kind: str, config: LlamaConfig, length: int
) -> dict[str, Any]:
    """A generation of a lineage that was not trained here: weights that were read from `path`."""
    settings = {
        "name": name,
        "source": str(path),
        "format": kind,
        "sequence_length": length,
        "rope_base": config.rope_base,
    }
    return {"phase": name, "settings": settings, "seed": None, "code_version": __version__}


def _published_length(config: LlamaConfig) -> int:
    """Positions that a published size was trained on; Llama 2's for any other."""
    names = recognise(config)
    return SIZES[names[0]].length if names else 4096
