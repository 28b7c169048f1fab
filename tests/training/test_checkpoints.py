"""Checkpoints of a phase: which ones are kept, and what becomes of damaged ones."""

import json

import helpers  # noqa: F401 - before JAX
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig, param_axes
from codellama_jax.parallel import make_mesh
from codellama_jax.training import PhaseCheckpoints
from codellama_jax.training.guard import Guard
from codellama_jax.training.optimizer import make_optimizer
from codellama_jax.training.resuming import newest_whole
from codellama_jax.training.state import abstract_state, init_state
from codellama_jax.weights import load_params

# Two megabytes of embeddings, as files below one count as small.
CONFIG = LlamaConfig(
    vocab_size=32768, dim=16, num_layers=2, num_heads=2, num_kv_heads=2, ffn_dim=32, dtype="float32"
)


@pytest.fixture(scope="module")
def mesh():
    return make_mesh(devices=jax.devices()[:4], fsdp=2, tensor=2)


@pytest.fixture(scope="module")
def states(mesh):
    """A state whose values tell its step."""
    optimizer = make_optimizer(param_axes(CONFIG))
    first = init_state(CONFIG, optimizer, mesh, Guard(), 0)
    scale = jax.jit(
        lambda state, step: jax.tree.map(lambda x: (x * 0 + step).astype(x.dtype), state),
        out_shardings=jax.tree.map(lambda x: x.sharding, first),
    )
    return lambda step: scale(first, jnp.float32(step))


def saved(directory):
    return sorted(int(path.name) for path in (directory / "checkpoints").iterdir())


def save(checkpoints, states, *steps, losses=None):
    for step in steps:
        metrics = {"heldout_loss": losses[step]} if losses else None
        record = {"model": {}, "lineage": [{"settings": {}}], "data": {"step": step}}
        checkpoints.save(step, states(step), record, metrics)
    checkpoints.close()


def newest(directory, mesh, fits=lambda record: None, **settings):
    like = abstract_state(CONFIG, make_optimizer(param_axes(CONFIG)), mesh, Guard())
    return newest_whole(directory, like, fits, **{"last": 100} | settings)


def assert_all(state, value):
    for leaf in jax.tree.leaves(state):
        np.testing.assert_array_equal(np.asarray(leaf), np.full(leaf.shape, value, leaf.dtype))


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, [50, 60]),
        ({"keep": 3}, [40, 50, 60]),
        ({"permanent_every": 30}, [30, 50, 60]),
        ({"permanent_hours": 1.0}, [10, 50, 60]),
        ({"best": 2}, [20, 40, 50, 60]),
    ],
)
def test_what_is_kept(tmp_path, states, settings, kept):
    losses = {10: 5.0, 20: 3.0, 30: 4.0, 40: 3.5, 50: 6.0, 60: 7.0}
    save(PhaseCheckpoints(tmp_path, save_every=10, **settings), states, *losses, losses=losses)
    assert saved(tmp_path) == kept
    for step in kept:
        digests = json.loads((tmp_path / f"checkpoints/{step}/digests/0.json").read_text())
        assert digests["processes"] == 1 and "record/metadata" in digests["files"]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


DAMAGES = {
    "a flipped bit": (flip, "is not what was written (its checksum differs)"),
    "a truncated file": (truncate, "bytes instead of"),
    "a lost file": (lambda path: path.unlink(), "No such file"),
}


def largest(folder):
    return max(
        (path for path in folder.rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("item", ["params", "optimizer", "record"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_counts(
    tmp_path, states, mesh, capsys, damage, item
):
    save(PhaseCheckpoints(tmp_path), states, 10, 20)
    hurt = largest(tmp_path / "checkpoints/20" / item)
    act, words = DAMAGES[damage]
    act(hurt)
    found = newest(tmp_path, mesh)
    assert found.step == found.record["data"]["step"] == 10
    assert_all(found.state, 10)
    (line,) = capsys.readouterr().out.strip().splitlines()
    assert line.startswith(str(hurt)) and words in line
    assert line.endswith("the checkpoint is put aside, the one before counts")
    # Training goes on over the damaged one's step.
    save(PhaseCheckpoints(tmp_path), states, 20)
    assert newest(tmp_path, mesh).step == 20
    assert [path.name for path in (tmp_path / "damaged").iterdir()] == ["20.1"]


def test_of_the_last_step_no_state_is_read_nor_trusted_files(tmp_path, states, mesh):
    save(PhaseCheckpoints(tmp_path), states, 10, 20)
    assert newest(tmp_path, mesh, last=20).state is None
    flip(largest(tmp_path / "checkpoints/20/params"))
    assert newest(tmp_path, mesh, last=20, trust_last=True).step == 20
    truncate(largest(tmp_path / "checkpoints/20/optimizer"))
    assert newest(tmp_path, mesh, last=20, trust_last=True).step == 10
    flip(largest(tmp_path / "checkpoints/10/params"))
    assert newest(tmp_path, mesh, last=10) is None


def test_a_record_that_does_not_fit_stops_before_the_state_is_read(tmp_path, states, mesh):
    save(PhaseCheckpoints(tmp_path), states, 10)

    def fits(record):
        raise UserError(f"step {record['data']['step']} is of another run")

    with pytest.raises(UserError, match="step 10 is of another run"):
        newest(tmp_path, mesh, fits)
    assert saved(tmp_path) == [10]


def test_a_checkpoint_without_its_digests_was_not_finished(tmp_path, states, mesh, capsys):
    save(PhaseCheckpoints(tmp_path), states, 10, 20)
    (tmp_path / "checkpoints/20/digests/0.json").unlink()
    assert newest(tmp_path, mesh).step == 10
    assert "checkpoints/20 was not written to its end" in capsys.readouterr().out


def test_nothing_whole_starts_anew(tmp_path, states, mesh, capsys):
    save(PhaseCheckpoints(tmp_path), states, 10, 20)
    for step in (10, 20):
        truncate(largest(tmp_path / "checkpoints" / str(step)))
    assert newest(tmp_path, mesh) is None
    assert capsys.readouterr().out.count("is put aside") == 2


def test_readers_of_a_damaged_checkpoint_are_told_the_file(tmp_path, states, mesh):
    save(PhaseCheckpoints(tmp_path), states, 10, 20)
    hurt = largest(tmp_path / "checkpoints/20/params")
    flip(hurt)
    with pytest.raises(UserError, match=rf"^{hurt} is not what was written .* remove .*/20, and"):
        load_params(tmp_path, CONFIG, mesh)


@pytest.mark.parametrize("axes", [{"fsdp": 8}, {"tensor": 2, "fsdp": 1}, {"fsdp": 1}])
def test_a_state_is_restored_onto_another_mesh(tmp_path, states, axes):
    save(PhaseCheckpoints(tmp_path), states, 10)
    size = int(np.prod(list(axes.values())))
    mesh = make_mesh(devices=jax.devices()[:size], **axes)
    restored = newest(tmp_path, mesh).state
    wanted = abstract_state(CONFIG, make_optimizer(param_axes(CONFIG)), mesh, Guard())
    for leaf, asked in zip(jax.tree.leaves(restored), jax.tree.leaves(wanted)):
        assert leaf.sharding == asked.sharding
    assert_all(restored, 10)


def test_one_checkpoint_is_too_few(tmp_path):
    with pytest.raises(UserError, match="PhaseCheckpoints.keep = 1: keep 2 at least"):
        PhaseCheckpoints(tmp_path, keep=1)
