"""What does not fit is found in seconds at real sizes: by arithmetic, by the compiler itself."""

import dataclasses

import gin
import helpers  # noqa: F401  (before JAX looks for its devices)
import pytest
from helpers import ROOT

from codellama_jax.model import replace
from codellama_jax.planning.compile import OutOfMemory, Programs
from codellama_jax.planning.fit import largest, milder, surely_too_large
from codellama_jax.planning.held import totals
from codellama_jax.planning.plan import case_of
from codellama_jax.planning.shortage import shortage_of
from codellama_jax.planning.topologies import topology
from codellama_jax.training import in_order, train

pytest.importorskip("libtpu", reason="libtpu is not installed: pip install 'libtpu==0.0.42.*'")


@pytest.mark.parametrize(("size", "slice_name"), [("7b", "v5e-256"), ("70b", "v5p-1024")])
def test_without_remat_nothing_fits(size, slice_name):
    gin.add_config_file_search_path(str(ROOT))
    gin.parse_config_file(f"configs/runs/code_llama_{size}.gin")
    found = topology(slice_name)
    (phase,) = (p for p in in_order(gin.get_bindings(train)["phases"]) if p.name == "code")
    try:
        with gin.config_scope("code"):
            case = case_of(phase, found, found.devices(), exact=False)
            config = replace(case.config, remat="none")
            kept = dataclasses.replace(case, config=config, micro_batches=1)
            limit = found.generation.device_bytes
            assert surely_too_large(kept, limit) and not surely_too_large(case, limit)
            answer = kept.compiled(Programs(None))
            milder_ones = [each for each in milder(kept) if not surely_too_large(each, limit)]
    finally:
        gin.clear_config()
    assert isinstance(answer, OutOfMemory)
    shortage = shortage_of(answer.message)
    assert shortage.available == pytest.approx(limit, rel=0.001)
    # The compiler names the temporaries: without parameters and moments, with room to work in.
    fixed = sum(totals(kept.held)[kind] for kind in ("parameters", "optimizer"))
    assert totals(kept.held)["all"] - fixed == pytest.approx(shortage.needed, rel=0.1)
    assert largest(kept, 1)[0]["kind"] == "activations"
    assert milder_ones and milder_ones[0].config.remat in (
        "projections_offloaded",
        "attention",
        "full",
    )
