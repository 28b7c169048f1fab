"""This project's own checkpoints: reading them, and writing imported weights as one.

Those of training are written by training/checkpoints.py.

<phase>/tokenizer.model                or tokenizer.json
<phase>/checkpoints/<step>/params      the parameter tree
<phase>/checkpoints/<step>/record      JSON: model, data position, lineage, configuration
<phase>/checkpoints/<step>/digests     sizes and checksums (runs/digests.py)
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from codellama_jax import __version__
from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig, Params, param_axes, param_shapes
from codellama_jax.parallel import tree_shardings
from codellama_jax.runs import FOLDER, damage, latest_step, read_beside, write_digests
from codellama_jax.text import Vocabulary, find_tokenizer
from codellama_jax.weights.arrays import restore_arrays


def config_of(record: dict[str, Any]) -> LlamaConfig:
    """The model configuration a checkpoint was trained with."""
    return LlamaConfig(**record["model"])


def load_params(
    phase_directory: str | Path,
    config: LlamaConfig,
    mesh: jax.sharding.Mesh,
    other_ids: bool = False,
) -> Params:
    """Parameters of a phase's last checkpoint, laid out on the mesh.

    Args:
      phase_directory: the phase's folder.
      config: the model.
      mesh: where.
      other_ids: the model has more ids than the checkpoint, whose rows become zeros, or fewer,
        the first of them.

    Raises:
      UserError: no checkpoint there, or one that is damaged or of another shape.
    """
    folder = (Path(phase_directory) / FOLDER / str(latest_step(phase_directory))).absolute()
    shapes = param_shapes(config)
    like = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        tree_shardings(mesh, shapes, param_axes(config)),
    )
    path = folder / "params"
    try:
        params, found = read_beside(
            lambda: damage(folder, ("params",)),
            lambda: restore_arrays(path, like, strict=not other_ids),
        )
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"cannot restore the parameters in {path}: {reason}") from error
    if found:
        raise UserError(f"{found}: remove {folder}, and the checkpoint before it counts")
    return params


def save_checkpoint(
    phase_directory: str | Path,
    config: LlamaConfig,
    params: Params,
    lineage: list[dict[str, Any]],
    operative_config: str,
) -> None:
    """Writes parameters as step 0 of a phase, for other phases to start from.

    The digests are written last: without them the checkpoint does not count.
    """
    folder = (Path(phase_directory) / FOLDER / "0").absolute()
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "params", params)
    record = {
        "model": dataclasses.asdict(config),
        "lineage": lineage,
        "operative_config": operative_config,
        "code_version": __version__,
        "data": {"step": 0, "fingerprint": None},
    }
    (folder / "record").mkdir()
    (folder / "record/metadata").write_text(json.dumps(record))
    write_digests(folder)


def load_vocabulary(phase_directory: str | Path) -> Vocabulary:
    """The tokenizer a phase was trained with; raises UserError when it is not there."""
    path = find_tokenizer(phase_directory)
    if path is None:
        raise UserError(
            f"no tokenizer in {phase_directory}: put its tokenizer.model or tokenizer.json there"
        )
    return Vocabulary.load(path)
