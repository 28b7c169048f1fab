"""Options of libtpu: which a chip's programs are compiled with, by planner and trainer alike."""

import gin
import helpers  # noqa: F401  (before JAX looks for its devices)
import jax
import pytest

from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig
from codellama_jax.parallel import compiler_options, make_mesh
from codellama_jax.planning.case import Case
from codellama_jax.planning.compile import Programs
from codellama_jax.planning.topologies import topology
from codellama_jax.training import Phase
from codellama_jax.training.executables import identity

CONFIG = LlamaConfig(
    vocab_size=512, dim=256, num_layers=2, num_heads=2, num_kv_heads=2, ffn_dim=256, remat="full"
)
PHASE = Phase(name="code", mixture="code_llama", steps=1, batch_size=4, sequence_length=256)
LIMIT = "xla_tpu_scoped_vmem_limit_kib"


@pytest.fixture(autouse=True)
def settings():
    yield
    gin.clear_config()


def mesh_of(name):
    pytest.importorskip("libtpu", reason="libtpu is not installed: pip install 'libtpu==0.0.42.*'")
    return make_mesh(devices=topology(name).devices())


def test_each_chip_has_its_own():
    assert compiler_options(mesh_of("v5e-4")) == {LIMIT: "32768"}
    assert compiler_options(mesh_of("v5p-8"))[LIMIT] == "32768"
    assert compiler_options(make_mesh(devices=jax.devices()[:1])) == {}


def test_a_row_of_the_table_is_replaced():
    gin.bind_parameter("compiler_options.of_chip", {"v5e": {}})
    assert compiler_options(mesh_of("v5e-4")) == {}
    assert compiler_options(mesh_of("v5p-8"))
    gin.bind_parameter("compiler_options.of_chip", {"H100": {}})
    with pytest.raises(UserError, match="no TPU 'H100'"):
        compiler_options(mesh_of("v5e-4"))


def test_executables_are_told_apart_by_them():
    mesh, lowered = mesh_of("v5e-4"), jax.jit(lambda x: x + 1).lower(1.0)
    before = identity(lowered, mesh)
    gin.bind_parameter("compiler_options.of_chip", {"v5e": {LIMIT: "49152"}})
    after = identity(lowered, mesh)
    assert {name for name in after if after[name] != before[name]} == {"compiler_options"}


def test_the_step_is_compiled_with_them():
    gin.bind_parameter("compiler_options.of_chip", {"v5e": {"xla_tpu_no_such_option": "1"}})
    case = Case(PHASE, CONFIG, mesh_of("v5e-4"), micro_batches=1)
    with pytest.raises(UserError, match="compiler_options.of_chip.*xla_tpu_no_such_option"):
        case.compiled(Programs(None))
