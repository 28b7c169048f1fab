"""What the programs here that compile for slices share: arguments, start, and one phase's step."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codellama_jax.planning.case import Case
    from codellama_jax.planning.topologies import Topology


def arguments_of(description: str) -> argparse.ArgumentParser:
    """A parser of --gin_bindings, for all that is compiled, and --cache."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--gin_bindings", action="append", default=[])
    parser.add_argument("--cache", default="runs/.plans", help="folder of compiled programs")
    return parser


def start() -> None:
    """JAX and libtpu on this machine's CPU; configurations by their paths in the repository."""
    from codellama_jax.planning.topologies import start_compiler

    start_compiler()
    import gin

    gin.add_config_file_search_path(str(Path(__file__).resolve().parent.parent))


def step_on(
    slice_name: str, phase_name: str, files: Sequence[str], bindings: Sequence[str]
) -> "tuple[Case, Topology]":
    """A phase's step, not compiled yet, and the slice.

    Args:
      slice_name: as of `plan --topology`.
      phase_name: of the run that these describe:
      files: of gin.
      bindings: of gin.
    """
    import gin

    from codellama_jax.planning.plan import case_of
    from codellama_jax.planning.topologies import topology
    from codellama_jax.training import in_order, train

    gin.clear_config()
    gin.parse_config_files_and_bindings(list(files), list(bindings))
    found = topology(slice_name)
    phases = in_order(gin.get_bindings(train)["phases"])
    (phase,) = (each for each in phases if each.name == phase_name)
    with gin.config_scope(phase_name):
        return case_of(phase, found, found.devices(), exact=False), found
