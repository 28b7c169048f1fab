"""A step compiled by one process, loaded by another: the same numbers, or a line says why not."""

import json
import os
import shutil
import subprocess
import sys

import helpers
import jax
import numpy as np
import pytest

from codellama_jax.model import LlamaConfig, param_axes
from codellama_jax.parallel import make_mesh
from codellama_jax.training import Phase
from codellama_jax.training.executables import identity, loaded_step, save_executable
from codellama_jax.training.guard import Guard
from codellama_jax.training.optimizer import make_optimizer
from codellama_jax.training.program import abstract_batch, traced
from codellama_jax.training.state import abstract_state, init_state
from codellama_jax.training.step import make_train_step

CONFIG = LlamaConfig(
    vocab_size=64, dim=16, num_layers=1, num_heads=2, num_kv_heads=1, ffn_dim=32, dtype="float32"
)
PHASE = Phase(name="code", mixture="code_llama", steps=3, batch_size=4, sequence_length=32)


def parts(config=CONFIG):
    mesh = make_mesh(devices=jax.devices()[:2])
    optimizer, guard = make_optimizer(param_axes(config)), Guard()
    step = make_train_step(config, optimizer, mesh, guard, np.ones(64, np.int32))
    return mesh, step, abstract_state(config, optimizer, mesh, guard)


def losses(step):
    """Of three steps over one batch."""
    mesh, _, _ = parts()
    generator = np.random.default_rng(0)
    batch = {
        name: jax.device_put(
            generator.integers(1, 2, shape.shape).astype(shape.dtype), shape.sharding
        )
        for name, shape in abstract_batch(4, 32, mesh).items()
    }
    with jax.set_mesh(mesh):
        state = init_state(CONFIG, make_optimizer(param_axes(CONFIG)), mesh, Guard(), 0)
        found = []
        for _ in range(PHASE.steps):
            state, metrics = step(state, batch, np.float32(1e-2))
            found.append(float(metrics["loss"]))
    return found


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder with the executable, and the losses of the step that was compiled."""
    folder = tmp_path_factory.mktemp("executables")
    mesh, step, state = parts()
    lowered = traced(step, state, PHASE, mesh).lower()
    compiled = lowered.compile()
    save_executable(compiled, identity(lowered, mesh), PHASE.name, folder)
    return folder, losses(compiled)


def test_another_process_loads_it(stored):
    folder, expected = stored
    program = f"import test_executables as t; print(t.loaded_losses({str(folder)!r}))"
    paths = [str(helpers.ROOT / "tests"), str(helpers.ROOT / "tests/training"), str(helpers.ROOT)]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths}; {program}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told, found = done.stdout.splitlines()[-2:]
    assert told.startswith("code: step loaded from")
    assert json.loads(found) == expected


def loaded_losses(folder):
    mesh, step, state = parts()
    return losses(loaded_step(step, state, PHASE, mesh, folder))


def test_another_program_is_compiled_and_said(stored, capsys):
    other = LlamaConfig(**{**vars(CONFIG), "norm_eps": 1e-4})
    mesh, step, state = parts(other)
    assert loaded_step(step, state, PHASE, mesh, stored[0]) is step
    assert "code: compiles its step: the executable in" in capsys.readouterr().out


@pytest.mark.parametrize("field", ["jax", "devices"])
def test_what_differs_is_named(stored, field, tmp_path, capsys):
    (about,) = stored[0].glob("*.json")
    changed = {**json.loads(about.read_text()), field: "another"}
    (tmp_path / about.name).write_text(json.dumps(changed))
    mesh, step, state = parts()
    assert loaded_step(step, state, PHASE, mesh, tmp_path) is step
    assert f"is of {field} another, here" in capsys.readouterr().out


def test_an_empty_folder_and_a_torn_file(stored, tmp_path, capsys):
    mesh, step, state = parts()
    assert loaded_step(step, state, PHASE, mesh, tmp_path) is step
    assert "has no executable of this phase" in capsys.readouterr().out
    (whole,) = stored[0].glob("*.executable")
    (tmp_path / whole.name).write_bytes(whole.read_bytes()[:1000])
    assert loaded_step(step, state, PHASE, mesh, tmp_path) is step
    assert "cannot be loaded" in capsys.readouterr().out


ELSEWHERE = """
from codellama_jax.planning.topologies import start_compiler, topology
start_compiler()
from codellama_jax.model import LlamaConfig
from codellama_jax.parallel import make_mesh
from codellama_jax.planning.case import Case
from codellama_jax.training import Phase
config = LlamaConfig(vocab_size=64, dim=256, num_layers=1, num_heads=2, num_kv_heads=1, ffn_dim=64)
phase = Phase(name="code", mixture="code_llama", steps=3, batch_size=4, sequence_length=256)
case = Case(phase, config, make_mesh(devices=topology("v5e-4").devices()), micro_batches=1)
assert "tpu_custom_call" in case.lowered.as_text()
print(case.identity["program"])
"""


def test_a_program_with_kernels_is_the_same_wherever_the_code_lies(tmp_path):
    """The machine that compiles need not have the pod's folders."""
    pytest.importorskip("libtpu", reason="libtpu is not installed: pip install 'libtpu==0.0.42.*'")
    copied = tmp_path / "other/place"
    shutil.copytree(helpers.ROOT / "codellama_jax", copied / "codellama_jax")
    programs = [
        subprocess.run(
            [sys.executable, "-c", ELSEWHERE],
            env={**os.environ, "PYTHONPATH": str(place)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()[-1]
        for place in (helpers.ROOT, copied)
    ]
    assert programs[0] == programs[1] and len(programs[0]) == 64
