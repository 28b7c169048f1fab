"""What the compiled steps of the shipped runs do on their slices, apart from how fast.

A change of the model, of the meshes or of the compiler that changes these facts must say so here.
Each step is compiled in full, for one to several minutes.
"""

import re

import gin
import helpers  # noqa: F401  (before JAX looks for its devices)
import pytest
from helpers import ROOT

from codellama_jax.model import LlamaConfig
from codellama_jax.parallel import make_mesh
from codellama_jax.planning.case import Case
from codellama_jax.planning.compile import Compiled, Programs
from codellama_jax.planning.facts import facts_of
from codellama_jax.planning.plan import case_of
from codellama_jax.planning.topologies import topology
from codellama_jax.training import Phase, in_order, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# Collectives of 1 MiB and more by loop: "" is outside of any, "micro-batch" runs once for each,
# "forward" and "backward" once a layer; the loop of the loss has none. Seven weights are gathered
# for each pass over a layer. All-to-alls are the embedding's alone: devices hold some of its
# columns and exchange those of their tokens. The context axis adds keys and values, gathered
# forward, reduced backward; a data axis reduces what was scattered over fsdp once more.
FACTS = {
    "7b code": (
        "7b", "v5e-256", "code",
        {
            "": {"all-gather": 1},
            "micro-batch": {"all-gather": 1, "all-to-all": 1, "all-reduce": 2},
            "forward": {"all-gather": 7},
            "backward": {"all-gather": 7, "all-reduce": 4, "reduce-scatter": 4},
        },
    ),
    "13b code": (
        "13b", "v5e-256", "code",
        {
            "": {"all-gather": 2, "all-to-all": 1, "all-reduce": 2},
            "forward": {"all-gather": 7},
            # Under "full" the compiler gathers three of attention's weights once more.
            "backward": {"all-gather": 10, "all-reduce": 4, "reduce-scatter": 3},
        },
    ),
    "34b code": (
        "34b", "v5p-1024", "code",
        {
            "": {"all-gather": 2, "all-to-all": 2, "all-reduce": 1},
            "forward": {"all-gather": 7},
            "backward": {"all-gather": 7, "all-reduce": 6},
        },
    ),
    "34b long_context": (
        "34b", "v5p-1024", "long_context",
        {
            "": {"all-gather": 4, "all-to-all": 3, "all-reduce": 3},
            "forward": {"all-gather": 9},
            "backward": {"all-gather": 9, "all-reduce": 6, "reduce-scatter": 5},
        },
    ),
    "70b code": (
        "70b", "v5p-1024", "code",
        {
            "": {"all-gather": 1},
            "micro-batch": {"all-gather": 1, "all-to-all": 2, "all-reduce": 1},
            "forward": {"all-gather": 7},
            "backward": {"all-gather": 7, "all-reduce": 6},
        },
    ),
    "70b long_context": (
        "70b", "v5p-1024", "long_context",
        {
            "": {"all-gather": 4, "all-to-all": 3, "all-reduce": 3},
            "forward": {"all-gather": 9},
            "backward": {"all-gather": 9, "reduce-scatter": 7, "all-reduce": 4},
        },
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def settings():
    yield
    gin.clear_config()


@pytest.mark.parametrize(
    ("size", "slice_name", "phase_name", "expected"), FACTS.values(), ids=FACTS
)
def test_what_a_step_does(size, slice_name, phase_name, expected):
    pytest.importorskip("libtpu", reason="libtpu is not installed: pip install 'libtpu==0.0.42.*'")
    gin.add_config_file_search_path(str(ROOT))
    gin.parse_config_file(f"configs/runs/code_llama_{size}.gin")
    phases = in_order(gin.get_bindings(train)["phases"])
    (phase,) = (phase for phase in phases if phase.name == phase_name)
    found = topology(slice_name)
    with gin.config_scope(phase.name):
        case = case_of(phase, found, found.devices(), exact=False)
    answer = case.compiled(Programs(None))
    assert isinstance(answer, Compiled), answer.message
    facts, layers = facts_of(answer.text, phase.sequence_length), case.config.num_layers
    found_by = {_part(loop, layers): kinds for loop, kinds in facts.collectives.items()}
    assert found_by == expected
    passes, runs = 2 if case.config.remat == "full" else 1, layers * case.micro_batches
    assert facts.kernels == {"splash fwd": passes * runs, "attention_backward": runs}
    if phase.sequence_length != case.config.dim:  # or weights would be taken for scores
        assert not facts.squares


def _part(loop, layers):
    if loop.endswith(f"transpose(jvp())/while x {layers}"):
        return "backward"
    if loop.endswith(f"/jvp()/while x {layers}"):
        return "forward"
    if re.fullmatch(r"jit\(step\)/while x \d+", loop):
        return "micro-batch"
    return "loss" if loop else ""


def test_the_attention_kernel_runs_once_where_its_results_are_kept():
    """A model of seconds, on a slice small enough: what is kept depends on no size."""
    pytest.importorskip("libtpu", reason="libtpu is not installed: pip install 'libtpu==0.0.42.*'")
    sizes = {"dim": 512, "num_heads": 4, "num_kv_heads": 4, "ffn_dim": 1408, "vocab_size": 2048}
    config = LlamaConfig(**sizes, num_layers=6, remat="projections", attention_block=256)
    phase = Phase(
        name="code", mixture="code_llama", steps=1, batch_size=32, sequence_length=1024
    )  # fmt: skip
    mesh = make_mesh(devices=topology("v5p-2x2x4").devices())
    case = Case(phase, config, mesh, micro_batches=1)
    answer = case.compiled(Programs(None))
    kernels = facts_of(answer.text, phase.sequence_length).kernels
    assert kernels == {"splash fwd": 6, "attention_backward": 6}
