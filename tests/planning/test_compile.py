"""What is compiled once, what a program keeps, what does not fit: on CPU devices, no libtpu."""

import dataclasses
import functools

import helpers  # noqa: F401  (eight virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig, replace
from codellama_jax.parallel import CHIPS, make_mesh
from codellama_jax.planning.case import Case
from codellama_jax.planning.compile import Compiled, Programs
from codellama_jax.planning.fit import REMATS, milder, nearest_that_fits, surely_too_large
from codellama_jax.planning.held import bytes_on, totals
from codellama_jax.planning.meshes import meshes
from codellama_jax.planning.prices import chip_price
from codellama_jax.training import Phase

CONFIG = LlamaConfig(
    vocab_size=512, dim=64, num_layers=3, num_heads=4, num_kv_heads=2, ffn_dim=96, dtype="float32"
)
PHASE = Phase(name="code", mixture="code_llama", steps=10, batch_size=8, sequence_length=128)


@functools.cache  # with what it has traced
def case(remat="none", micro_batches=1, **sizes):
    mesh = make_mesh(**(sizes or {"fsdp": 2}), devices=jax.devices()[:2])
    return Case(PHASE, replace(CONFIG, remat=remat), mesh, micro_batches)


def test_a_program_is_compiled_once(tmp_path):
    lowered = jax.jit(lambda x: x @ x).lower(jax.ShapeDtypeStruct((8, 8), jnp.float32))
    programs, about = Programs(str(tmp_path)), {"program": "a"}
    first = programs.compiled(lowered, about, "code")
    again = Programs(str(tmp_path)).compiled(lowered, about, "code")
    assert isinstance(first, Compiled) and not first.cached and again.cached
    assert again.text == first.text and again.memory == first.memory
    assert not programs.compiled(lowered, {"program": "b"}, "code").cached
    (stored, _) = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime)
    stored.write_bytes(b"torn")
    with pytest.raises(UserError, match="damaged, delete it"):
        programs.compiled(lowered, about, "code")


def test_the_identity_is_the_programs():
    assert case().identity == case.__wrapped__().identity  # traced anew
    assert case("full").identity["program"] != case().identity["program"]
    assert case(data=2, fsdp=1).identity["program"] != case().identity["program"]


@pytest.mark.parametrize("remat", ["none", "projections", "attention", "full"])
def test_what_a_step_keeps(remat):
    kept = totals(case(remat).held)
    weights = CONFIG.num_parameters * 4
    assert np.isclose(kept["parameters"], weights / 2, rtol=0.01)
    assert np.isclose(kept["optimizer"], weights, rtol=0.01)
    layer_input = CONFIG.num_layers * 4 * 128 * CONFIG.dim * 4
    assert kept["activations"] >= layer_input
    if remat == "full":
        assert kept["activations"] < 1.5 * layer_input


def test_less_is_kept_the_more_is_recomputed_and_the_smaller_the_parts():
    kept = [
        totals(case(remat).held)["activations"]
        for remat in ("none", "projections", "attention", "full")
    ]
    assert kept == sorted(kept, reverse=True)
    halved = totals(case("full", micro_batches=2).held)["activations"]
    assert np.isclose(halved, kept[-1] / 2)


def test_the_largest_buffer_is_named_by_the_line_that_computes_it():
    activations = [held for held in case("projections").held if held.kind == "activations"]
    assert any("MLP.__call__ (BSD,DF->BSF)" in held.name for held in activations[:3])
    names = [held.name for held in case().held]
    assert "parameters: layers/mlp/gate" in names and "optimizer: 1/mu/embedding" in names


def test_what_is_kept_on_another_mesh_follows_from_one_trace():
    once = case("projections")
    other = case("projections", micro_batches=2, fsdp=1, tensor=2)
    counted = bytes_on(once.held, once.mesh, other.mesh, 2)
    assert np.isclose(counted, totals(other.held)["all"], rtol=0.02)


@pytest.mark.parametrize("sizes", [{"fsdp": 2, "context": 2}, {"fsdp": 2, "tensor": 2}])
def test_what_kernels_keep_is_counted_on_every_mesh(sizes):
    """Flash attention keeps its inputs; over the context axis keys and values are whole."""
    config, devices = replace(CONFIG, attention="splash"), jax.devices()[:4]
    phase = dataclasses.replace(PHASE, sequence_length=512)
    once, there = (
        Case(phase, config, make_mesh(**mesh, devices=devices), 1) for mesh in ({"fsdp": 4}, sizes)
    )
    kept = [held for held in there.held if held.name.startswith("packed.py")]
    rows, heads = 8 // sizes["fsdp"], CONFIG.num_kv_heads // sizes.get("tensor", 1)
    keys = CONFIG.num_layers * rows * heads * 512 * CONFIG.key_size * 4
    assert [held.bytes for held in kept].count(keys) >= 2
    counted = bytes_on(once.held, once.mesh, there.mesh, 1)
    assert np.isclose(counted, totals(there.held)["all"], rtol=0.02)


def test_milder_cases_come_in_the_order_of_their_cost():
    found = [(each.config.remat, each.micro_batches) for each in milder(case("dots"))]
    assert found == [*((remat, 1) for remat in REMATS[2:]), ("full", 2), ("full", 4)]


def test_the_nearest_that_fits_is_tried():
    one, limit = case("none"), totals(case("full", micro_batches=2).held)["all"] * 1.01
    assert surely_too_large(one, limit)
    found, told = nearest_that_fits(one, limit, Programs(None))
    assert (found.config.remat, found.micro_batches) == ("full", 2)
    assert "too large by arithmetic" in told[0] and "fits" in told[-1]
    last = case("full", micro_batches=2)
    nothing, _ = nearest_that_fits(last, 1.0, Programs(None))
    assert nothing is None


def test_meshes_put_slices_along_data_and_rows_before_context():
    found = list(meshes(devices=512, slices=2, rows=128, tensor=1))
    assert found[0] == {"data": 2, "fsdp": 64, "context": 4, "tensor": 1}
    assert all(np.prod(list(sizes.values())) == 512 for sizes in found)
    assert not list(meshes(devices=8, slices=1, rows=8, tensor=3))


def test_every_tpu_has_a_price_that_can_be_replaced():
    for chip in CHIPS:
        assert (chip_price(chip.name) is None) == (chip.torus is None)
    assert chip_price("v5p", {"v5p": 2.0}).dollars == 2.0
    with pytest.raises(UserError, match="chip_price.prices: 'v9': 1"):
        chip_price("v5p", {"v9": 1.0})
