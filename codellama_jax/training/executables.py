"""Steps compiled ahead of time: the planner writes them, the trainer loads those that fit exactly.

An executable belongs to one program on certain devices, compiled by certain versions. All of that
is its key, so that one of an older program is not found rather than run. Loading one runs what its
file says: the folder must be one's own.
"""

import hashlib
import importlib.metadata
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from codellama_jax.parallel import compiler_options, tell
from codellama_jax.training.phase import Phase
from codellama_jax.training.program import traced
from codellama_jax.training.state import TrainState
from codellama_jax.training.step import TrainStep


def identity(lowered: jax.stages.Lowered, mesh: Mesh) -> dict[str, str]:
    """What an executable must agree in: the program's hash, devices, versions, options."""
    devices = list(mesh.devices.flat)
    places = [
        (device.id, *(getattr(device, name, None) for name in ("coords", "slice_index")))
        for device in devices
    ]
    order = hashlib.sha256(str(places).encode()).hexdigest()[:8]
    compilers = ("jax", "jaxlib", *(("libtpu",) if devices[0].platform == "tpu" else ()))
    return {
        "program": hashlib.sha256(lowered.as_text().encode()).hexdigest(),
        "devices": f"{len(devices)} {devices[0].device_kind}, laid out as {order}",
        **{name: importlib.metadata.version(name) for name in compilers},
        "compiler_options": json.dumps(compiler_options(mesh), sort_keys=True),
    }


def key_of(about: Mapping[str, Any]) -> str:
    """A short name of what it describes."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def save_executable(
    compiled: jax.stages.Compiled, about: Mapping[str, str], phase: str, folder: Path
) -> Path:
    """Writes an executable and, beside it, what it is of.

    Args:
      compiled: of a lowered step.
      about: `identity` of that.
      phase: its name, for people.
      folder: where.

    Returns:
      Its file.
    """
    from jax.experimental.serialize_executable import serialize

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key_of(about)}.executable"
    partial = path.with_suffix(".partial")
    partial.write_bytes(serialize(compiled)[0])
    partial.replace(path)
    path.with_suffix(".json").write_text(json.dumps({"phase": phase, **about}, indent=1) + "\n")
    return path


def loaded_step(
    step: TrainStep, state: TrainState, phase: Phase, mesh: Mesh, folder: str | Path
) -> TrainStep:
    """The step as compiled ahead of time, or `step` itself where the folder has no such executable.

    Args:
      step: of `make_train_step`.
      state: what it will be given, or its shapes.
      phase: whose batches it will be given.
      mesh: where it runs.
      folder: of executables.
    """
    from jax.experimental.serialize_executable import deserialize_and_load

    lowered = traced(step, state, phase, mesh).lower()
    about = identity(lowered, mesh)
    path = Path(folder) / f"{key_of(about)}.executable"
    if not path.is_file():
        tell(f"{phase.name}: compiles its step: {_difference(about, phase.name, Path(folder))}")
        return step
    devices = list(mesh.devices.flat)
    inputs = jax.tree.structure(lowered.args_info)
    try:
        loaded = deserialize_and_load(
            path.read_bytes(), inputs, lowered.out_tree, devices[0].client, devices
        )
    except (jax.errors.JaxRuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())
        tell(f"{phase.name}: compiles its step: {path} cannot be loaded: {reason}")
        return step
    tell(f"{phase.name}: step loaded from {path}")
    return loaded


def _difference(about: Mapping[str, str], phase: str, folder: Path) -> str:
    """What the folder's executables of that phase do not agree in."""
    stored = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    of_phase = [found for found in stored if found["phase"] == phase]
    if not of_phase:
        return f"{folder} has no executable of this phase"
    nearest = min(of_phase, key=lambda found: sum(found.get(k) != about[k] for k in about))
    unlike = [
        "another program"
        if name == "program"
        else f"{name} {nearest.get(name)}, here {about[name]}"
        for name in about
        if nearest.get(name) != about[name]
    ]
    return f"the executable in {folder} is of {'; '.join(unlike)}"
