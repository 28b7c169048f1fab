"""The verb `plan`: every phase of a run on a slice of TPUs that is not here."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gin
import jax
import numpy as np

from codellama_jax.errors import UserError
from codellama_jax.planning.case import Case
from codellama_jax.planning.compile import Compiled, Programs
from codellama_jax.planning.decoding import planned_decoding
from codellama_jax.planning.figures import cost_of, figures_of, totals_of
from codellama_jax.planning.fit import largest, nearest_that_fits, parted
from codellama_jax.planning.held import totals
from codellama_jax.planning.meshes import mesh_of
from codellama_jax.planning.plan_page import plan_page
from codellama_jax.planning.plan_text import text_of
from codellama_jax.planning.published import deviation
from codellama_jax.planning.search import search
from codellama_jax.planning.shortage import shortage_of
from codellama_jax.planning.topologies import Topology, resized, topology
from codellama_jax.training import Phase, in_order, train
from codellama_jax.training.phase import model_of
from codellama_jax.training.step import make_train_step


@gin.configurable
def plan(
    topology_name: str = gin.REQUIRED,
    phases: Sequence[str] = (),
    cache: str | None = "runs/.plans",
    executables: str | None = None,
    scaling: Sequence[int] = (),
    searching: bool = False,
    decoding: bool = False,
    html: str | None = None,
) -> dict[str, Any]:
    """Compiles each phase of gin's run for a slice and prints what it would take there.

    Args:
      topology_name: of the slice: v5p-128, 2xv5e-256.
      phases: names of those to plan; none is all of them.
      cache: folder of what the compiler said; a program is compiled once. None keeps nothing.
      executables: folder to leave programs in for the trainer (train.executables).
      scaling: numbers of chips that the first phase is compiled for as well.
      searching: look for the best batch a chip, remat policy and mesh of each phase (`search`).
      decoding: compile the engine's decoding with the last phase's model, too
        (`planned_decoding`).
      html: path of a page with plots.

    Returns:
      {"topology", "phases": a dictionary each, "total", "scaling", "search": rows by phase,
      "decoding": a dictionary or None, "problems": lines}.

    Raises:
      UserError: a slice or a phase that there is not; no libtpu.
    """
    found = topology(topology_name)
    devices = found.devices()
    programs = Programs(cache, executables)
    chosen = _chosen(phases)
    planned, problems, searched = [], [], {}
    for phase in chosen:
        with gin.config_scope(phase.name):
            try:
                case = case_of(phase, found, devices, executables is not None)
                if searching:
                    case, searched[phase.name] = search(case, found, devices, programs)
                planned.append(planned_phase(case, found, programs))
            except UserError as error:
                problems.append(f"phase {phase.name!r}: {error}")
    result = {
        "topology": _described(found),
        "phases": planned,
        "total": totals_of(planned),
        "scaling": _scaled(chosen[0], found, scaling, programs, problems),
        "search": searched,
        "decoding": _decoded(chosen[-1], found, devices, programs, problems) if decoding else None,
        "problems": problems,
    }
    print(text_of(result), flush=True)
    if html:
        Path(html).write_text(plan_page(result), encoding="utf-8")
    return result


def case_of(phase: Phase, found: Topology, devices: Sequence[jax.Device], exact: bool) -> Case:
    """The step of a phase as it is configured; to be called in the gin scope of its name.

    Args:
      phase: of a run.
      found: the slice.
      devices: its devices.
      exact: give it the corpus's vocabulary, a constant of the program: only then the trainer's
        program is the same to the last bit.

    Raises:
      UserError: a mesh that does not divide; no vocabulary where it is asked for.
    """
    mesh = mesh_of(phase, devices, found.slices)
    micro_batches = gin.get_bindings(make_train_step).get("micro_batches", 1)
    lengths = _byte_lengths() if exact else None
    return Case(phase, model_of(phase), mesh, micro_batches, lengths)


def planned_phase(case: Case, found: Topology, programs: Programs) -> dict[str, Any]:
    """What a phase takes on the slice; to be called in the gin scope of its name.

    Args:
      case: its step.
      found: the slice.
      programs: compiles.

    Returns:
      Its settings, memory and, where it fits, time and cost; else "out_of_memory".
    """
    phase, limit = case.phase, found.generation.device_bytes
    result: dict[str, Any] = {
        "name": phase.name,
        "steps": phase.steps,
        "batch_size": phase.batch_size,
        "sequence_length": phase.sequence_length,
        "parameters": case.config.num_parameters,
        **case.described(),
        "settings": case.settings(phase.name),
        "compiler_options": case.compiler_options,
        "device_bytes": limit,
        "held": totals(case.held),
        "largest": largest(case),
    }
    answer = case.compiled(programs)
    result |= {
        "compile_seconds": answer.seconds,
        "host_memory": answer.host_memory,
        "cached": answer.cached,
    }
    if isinstance(answer, Compiled):
        figures = figures_of(case, found, answer)
        beside = deviation(case.config, found, figures)
        return {**result, "fits": True, **figures, **cost_of(phase, found, figures), **beside}
    shortage = shortage_of(answer.message)
    milder, told = nearest_that_fits(case, limit, programs)
    return {
        **result,
        "fits": False,
        "out_of_memory": {
            "message": " ".join(answer.message.split("\n", 1)[0].split()),
            "shortage": shortage and dataclasses.asdict(shortage),
            "nearest": milder and milder.settings(phase.name),
            "looked_at": told,
        },
    }


def _chosen(names: Sequence[str]) -> list[Phase]:
    bound = gin.get_bindings(train)
    if "phases" not in bound:
        raise UserError("no run to plan: name one, --gin_file=configs/runs/code_llama_7b.gin")
    ordered = in_order(bound["phases"])
    known = [phase.name for phase in ordered]
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"plan.phases: no phase {unknown[0]!r} in this run: it has {known}")
    return [phase for phase in ordered if not names or phase.name in names]


def _byte_lengths() -> np.ndarray:
    """Of the corpus's tokenizer, which must be here."""
    from codellama_jax.data import RowStream, corpus_vocabulary

    corpus = gin.get_bindings(RowStream).get("corpus")
    if corpus is None:
        raise UserError(
            "plan.executables: name the corpus, RowStream.corpus: the program holds the"
            " bytes of each id of its tokenizer"
        )
    return corpus_vocabulary(corpus).byte_lengths()


def _described(found: Topology) -> dict[str, Any]:
    chip = dataclasses.asdict(found.chip)
    return {
        "name": found.name,
        "libtpu": found.libtpu_name,
        "shape": list(found.shape),
        "wrap": list(found.wrap),
        "slices": found.slices,
        "chips": found.chips,
        "hosts": found.hosts,
        "chip": chip,
        "device_bytes": found.generation.device_bytes,
        "source": found.generation.source,
    }


def _decoded(
    phase: Phase,
    found: Topology,
    devices: Sequence[jax.Device],
    programs: Programs,
    problems: list[str],
) -> dict[str, Any] | None:
    """The engine's decoding with a phase's model."""
    with gin.config_scope(phase.name):
        try:
            return planned_decoding(model_of(phase), found, devices, programs)
        except UserError as error:
            problems.append(f"decoding: {error}")
    return None


def _scaled(
    phase: Phase, found: Topology, chips: Sequence[int], programs: Programs, problems: list[str]
) -> list[dict[str, Any]]:
    """A phase on slices of other sizes with its own batch: fsdp takes the chips, and micro-batches
    keep the rows of a device at what they are on the slice that is planned."""
    rows = []
    with gin.config_scope(phase.name):
        most = case_of(phase, found, found.devices(), exact=False).rows_per_device
    for count in chips:
        other = resized(found, count)
        if other is None:
            problems.append(f"plan.scaling: no slice of {count} chips of {found.chip.name}")
            continue
        with gin.config_scope(phase.name):
            try:
                case = case_of(phase, other, other.devices(), exact=False)
                case = next((c for c in parted(case) if c.rows_per_device <= most), case)
                rows.append({"chips": count, **planned_phase(case, other, programs)})
            except UserError as error:
                problems.append(f"{other.name}: {error}")
    return rows
