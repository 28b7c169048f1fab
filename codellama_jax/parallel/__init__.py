"""Device meshes, the table from logical to mesh axes, tables of chips and compiler options."""

from codellama_jax.parallel.chips import CHIPS, Chip, Torus, chip_of
from codellama_jax.parallel.compiler_options import compiler_options
from codellama_jax.parallel.hosts import gathered, is_first, losing_hosts, tell, wait_for_all
from codellama_jax.parallel.mesh import AXES, make_mesh
from codellama_jax.parallel.rules import (
    axis_rules,
    constrain,
    mesh_chip,
    mesh_platform,
    named_sharding,
    on_one_cpu,
    partition_spec,
    replicated,
    tree_shardings,
)
from codellama_jax.parallel.startup import start_devices, tune_host

__all__ = [
    "AXES",
    "CHIPS",
    "Chip",
    "Torus",
    "axis_rules",
    "chip_of",
    "compiler_options",
    "constrain",
    "gathered",
    "is_first",
    "losing_hosts",
    "make_mesh",
    "mesh_chip",
    "mesh_platform",
    "on_one_cpu",
    "named_sharding",
    "partition_spec",
    "replicated",
    "start_devices",
    "tell",
    "tree_shardings",
    "tune_host",
    "wait_for_all",
]
