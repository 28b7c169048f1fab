"""Entering a phase: the parameters it starts from, and whether they are those it can start from."""

from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from codellama_jax.data import infills
from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig, Params, init_params, param_axes, param_shapes
from codellama_jax.parallel import tell, tree_shardings
from codellama_jax.text import Vocabulary
from codellama_jax.training.phase import Phase
from codellama_jax.weights import Origin, load_origin, open_origin, origin_entry

# What of a model its weights are made for; the vocabulary has a check of its own.
_SHAPE = (
    "dim", "num_layers", "num_heads", "num_kv_heads", "ffn_dim", "key_size", "norm_eps", "tied",
)  # fmt: skip


def enter_phase(
    phase: Phase,
    config: LlamaConfig,
    mesh: Mesh,
    parent: Path | None,
    vocabulary: Vocabulary,
    seed: int,
) -> tuple[Params, list[dict[str, Any]]]:
    """The parameters a phase starts from, laid out on the mesh, and the lineage they bring.

    They are random, those of the parent phase, or read from `phase.initial_weights`; optimizer and
    step start anew.

    Args:
      phase: what is entered.
      config: its model.
      mesh: where.
      parent: the parent phase's folder, if it has one.
      vocabulary: of the data it reads.
      seed: of random parameters.

    Raises:
      UserError: weights that are not there, or of another model or vocabulary.
    """
    path = parent or phase.initial_weights
    if path is None:
        shardings = tree_shardings(mesh, param_shapes(config), param_axes(config))
        return jax.jit(lambda: init_params(config, seed), out_shardings=shardings)(), []
    origin = open_origin(path)
    check_model(phase, str(path), origin.config, config)
    check_tokenizer(origin, vocabulary)
    growth = "zeros" if phase.resize_vocabulary == "zeros" else "mean"
    params = load_origin(origin, config, mesh, growth)
    lineage = origin.lineage or [
        origin_entry(origin.path.name, path, origin.format, origin.config, origin.length)
    ]
    source = "" if parent else f" in {path} ({origin.format})"
    tell(f"{phase.name}: starts from the parameters of {lineage[-1]['phase']}{source}")
    return params, lineage


def check_model(phase: Phase, place: str, have: LlamaConfig, config: LlamaConfig) -> None:
    """Raises UserError, naming what differs, when the phase cannot start from this model.

    Args:
      phase: what is entered.
      place: where the weights are, for the message.
      have: the model they are of.
      config: the phase's model.
    """
    differing = [
        f"{name} {getattr(have, name)} instead of {getattr(config, name)}"
        for name in _SHAPE
        if getattr(have, name) != getattr(config, name)
    ]
    if differing:
        raise UserError(
            f"phase {phase.name!r} cannot start from {place}: its model has"
            f" {', '.join(differing)}; set LlamaConfig to it or start from other weights"
        )
    resizing, ids = phase.resize_vocabulary, (have.vocab_size, config.vocab_size)
    if ids[0] < ids[1] and resizing not in ("mean", "zeros"):
        remedy = f'{phase.name}/Phase.resize_vocabulary = "mean" grows them'
    elif ids[0] > ids[1] and resizing != "drop":
        remedy = f'{phase.name}/Phase.resize_vocabulary = "drop" takes the first of them'
    else:
        return
    raise UserError(
        f"phase {phase.name!r} cannot start from {place}: it has {ids[0]:,} ids, the phase's model"
        f" {ids[1]:,}; {remedy}"
    )


def check_vocabulary(phase: Phase, vocabulary: Vocabulary, tasks: list[str], size: int) -> None:
    """Raises UserError when the tokenizer of the data does not fit the model's number of ids.

    Without infilling the model may do without the ids of the sentinels, as 34B and the Python
    models do.

    Args:
      phase: that reads the data.
      vocabulary: its tokenizer.
      tasks: names of the tasks of its mixture.
      size: ids of the model.
    """
    infilled = sorted(filter(infills, tasks))
    fitting = {vocabulary.size} if infilled else {vocabulary.size, vocabulary.text_size}
    if size not in fitting:
        known = " or ".join(f"{ids:,}" for ids in sorted(fitting))
        why = f" for {infilled[0]}" if infilled and size == vocabulary.text_size else ""
        raise UserError(
            f"phase {phase.name!r}: the corpus's tokenizer has {known} ids{why}, the model"
            f" {size:,}: set LlamaConfig.vocab_size"
        )


def check_tokenizer(origin: Origin, vocabulary: Vocabulary) -> None:
    """Raises UserError when the ids of the weights mean other pieces than those of the data."""
    if origin.tokenizer is None:
        return
    theirs = Vocabulary.load(origin.tokenizer)
    for token in range(min(theirs.text_size, vocabulary.text_size)):
        pieces = theirs.piece(token), vocabulary.piece(token)
        if pieces[0] != pieces[1]:
            raise UserError(
                f"{origin.tokenizer} is not the tokenizer of the corpus: id {token} is"
                f" {pieces[0]!r} there and {pieces[1]!r} here; prepare the corpus with"
                f' prepare.tokenizer_path = "{origin.tokenizer}"'
            )
