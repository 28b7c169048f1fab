"""The verb `plan`, on the smallest slice, with the TPU's own compiler."""

import contextlib
import io
import json
import sys
import threading

import gin
import helpers  # noqa: F401  (before JAX looks for its devices)
import pytest
from helpers import ROOT
from tiny_run import CONFIG

from codellama_jax.main import main
from codellama_jax.planning.compile import Programs
from codellama_jax.planning.facts import facts_of
from codellama_jax.planning.plan import case_of
from codellama_jax.planning.topologies import topology
from codellama_jax.training import in_order, train

pytest.importorskip("libtpu", reason="libtpu is not installed: pip install 'libtpu==0.0.42.*'")


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A plan of a run whose corpus is not here: phase `code` fits, `long` does not."""
    folder = tmp_path_factory.mktemp("plan")
    text = CONFIG.format(root=ROOT, corpus=folder / "nothing", cache=folder / "cache")
    huge = [
        "long/LlamaConfig.dim = 4096",
        "long/LlamaConfig.num_layers = 48",
        "long/LlamaConfig.ffn_dim = 22016",
        "nearest_that_fits.tries = 0",
        'long/LlamaConfig.remat = "full"',
        'LlamaConfig.attention = "blocked"',
        "Phase.batch_size = 8",
        f'plan.cache = "{folder / "plans"}"',
    ]
    (folder / "run.gin").write_text("\n".join([text, *huge]))
    return folder, *(plan(folder) for _ in range(2))


def plan(folder, *arguments):
    """The verb, in this process: its exit code, what it printed and complained of, its JSON."""
    command = ["plan", f"--gin_file={folder}/run.gin", f"--json={folder}/plan.json"]
    given = arguments or ("--topology=v5e-4", f"--html={folder}/plan.html")
    said, complained = io.StringIO(), io.StringIO()
    hooks = threading.excepthook, sys.unraisablehook
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            code = main([*command, *given])
    finally:
        gin.clear_config()
        threading.excepthook, sys.unraisablehook = hooks
    result = json.loads((folder / "plan.json").read_text()) if not code else {}
    return code, said.getvalue(), complained.getvalue(), result


def test_a_phase_that_fits(planned):
    _, (_, said, _, result), _ = planned
    code = result["phases"][0]
    assert code["fits"] and code["mesh"] == {"data": 1, "fsdp": 4, "context": 1, "tensor": 1}
    assert 0 < code["memory"]["peak"] < code["device_bytes"]
    assert code["host_memory"] > 2**28 and code["compile_seconds"] > 0
    assert 0 < code["mfu"] < 1 and code["chip_hours"] > 0 and code["dollars"] > 0
    assert sum(code["parts"].values()) == pytest.approx(code["step_seconds"])
    assert {"all-gather"} <= set(code["estimate"]["collectives"])
    assert "code" in said and "estimates" in said


def test_out_of_memory_is_an_answer(planned):
    _, (code, said, _, result), _ = planned
    refused = result["phases"][1]
    assert code == 0 and not refused["fits"] and not result["total"]["complete"]
    assert "of memory" in refused["out_of_memory"]["message"]
    assert refused["largest"][0]["bytes"] > 1e8
    assert "long does not fit" in said and "layers/mlp" in said


def test_what_is_not_planned_is_told_with_its_reason(planned):
    code, said, complained, _ = plan(
        planned[0], "--topology=v5e-4", "--gin_bindings=make_train_step.micro_batches = 3"
    )
    assert code == 2, complained
    assert "not planned: phase 'code': " in said and "micro_batches = 3" in said
    assert "programs:" not in said


def test_asked_again_nothing_is_compiled(planned):
    _, (*_, first), (*_, again) = planned
    assert all(phase["cached"] for phase in again["phases"])
    assert not any(phase["cached"] for phase in first["phases"])
    assert again["phases"][0]["estimate"] == first["phases"][0]["estimate"]


def test_what_the_program_does(planned):
    """As in test_facts.py, for a model that compiles in seconds."""
    folder = planned[0]
    gin.parse_config_file(str(folder / "run.gin"))
    (phase, _) = in_order(gin.get_bindings(train)["phases"])
    found = topology("v5e-4")
    with gin.config_scope("code"):
        case = case_of(phase, found, found.devices(), exact=False)
    gin.clear_config()
    answer = case.compiled(Programs(str(folder / "plans")))
    assert answer.cached  # the very program that was planned
    facts = facts_of(answer.text, length=phase.sequence_length, floor=2**12)
    assert facts.collectives == {
        "": {"all-gather": 3, "all-to-all": 2, "reduce-scatter": 1},
        "jit(step)/jvp()/while x 2": {"all-gather": 3},  # small weights are gathered together
        # The gradient of `down` is reduced by itself, as it is computed first.
        "jit(step)/transpose(jvp())/while x 2": {"all-gather": 3, "all-reduce": 3},
    }
    assert not facts.kernels


@pytest.fixture(scope="module")
def searched(planned):
    """A search among what two rows a device leave, and the same once more."""
    bindings = (
        "search.compiles = 2",
        "search.micro_batches = (1, 16)",  # 16 do not divide 8 rows
        'search.remats = ("none", "full")',
        "search.tensors = (1,)",
        "search.contexts = (1, 2)",
        "search.attention_blocks = (64,)",
    )
    arguments = ("--topology=v5e-4", "--phases", "code", "--search", "--decode")
    given = (*arguments, *(f"--gin_bindings={binding}" for binding in bindings))
    return [plan(planned[0], *given) for _ in range(2)]


def test_the_best_that_a_search_finds_is_planned(searched):
    code, said, complained, result = searched[0]
    rows, (phase,) = result["search"]["code"], result["phases"]
    assert code == 0 and len(rows) == 3 and all(row["fits"] for row in rows)
    rates = [row["tokens_per_second_per_chip"] for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert phase["tokens_per_second_per_chip"] == rates[0] and phase["mesh"] == rows[0]["mesh"]
    assert {row["attention_block"] for row in rows} == {64, 512}
    assert "8 cases, 0 too large by arithmetic" in complained + said
    assert all(line in said for line in phase["settings"])


def test_a_search_asked_again_compiles_nothing(searched):
    first, again = (found[3] for found in searched)
    assert again["phases"][0]["cached"] and again["decoding"]["cached"]
    assert again["search"] == first["search"]


def test_decoding_reads_weights_and_cache(searched):
    found = searched[0][3]["decoding"]
    assert found["fits"] and found["mesh"]["data"] == 4 and found["slots"] == 64
    assert 0 < found["needed"]["parameters"] < found["memory"]["peak"] and not found["unpriced"]
    assert found["bytes_moved"] > 0 and found["tokens_per_second"] > 0
    assert found["step_seconds"] >= found["reading_seconds"]


def test_the_page_opens_offline(planned):
    pytest.importorskip("jinja2")
    page = (planned[0] / "plan.html").read_text()
    assert page.count("<svg") == 2 and "does not fit" in page and 'src="http' not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--topology=v5e-5",), "no TPU slice 'v5e-5': did you mean"),
        (("--topology=v5e-4", "--phases", "cod"), "no phase 'cod' in this run"),
    ],
)
def test_mistakes_are_one_line(planned, arguments, message):
    code, _, complained, _ = plan(planned[0], *arguments)
    assert code == 2 and message in complained and len(complained.splitlines()) == 1
