"""Batches on eight devices."""

import threading

import helpers  # noqa: F401  (eight virtual devices)
import jax
import numpy as np
import pytest

from codellama_jax.data import HostLoader, RowStream
from codellama_jax.errors import UserError
from codellama_jax.parallel import make_mesh

from .conftest import ROW


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "host-loader"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not threads()


MESHES = [{"fsdp": 8}, {"data": 8, "fsdp": 1}, {"data": 2, "fsdp": 2, "context": 2}]
MESHES += [{"fsdp": 1, "context": 4, "tensor": 2}]


@pytest.mark.parametrize("sizes", MESHES, ids=str)
def test_batches_are_the_rows_whatever_the_mesh(stream, sizes):
    mesh = make_mesh(**sizes)
    loader = HostLoader(stream, 8, mesh)
    batches = list(loader.batches(2, 5))
    assert len(batches) == 3
    for step, batch in enumerate(batches, 2):
        rows = [stream.row(step * 8 + n) for n in range(8)]
        assert batch.keys() == rows[0].keys()
        for name, array in batch.items():
            expected = np.stack([row[name] for row in rows])
            assert isinstance(array, jax.Array) and array.dtype == expected.dtype
            np.testing.assert_array_equal(array, expected)
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    inputs, task = batches[0]["inputs"], batches[0]["task"]
    assert inputs.sharding.shard_shape(inputs.shape) == (8 // shards, ROW // mesh.shape["context"])
    assert task.sharding.shard_shape(task.shape) == (8 // shards,)
    assert loader.waited >= 0


def test_more_rows_than_shards(stream):
    (batch,) = HostLoader(stream, 24, make_mesh()).batches(1, 2)
    expected = np.stack([stream.row(24 + n)["targets"] for n in range(24)])
    np.testing.assert_array_equal(batch["targets"], expected)


def test_beginning_anywhere_gives_the_same_batches(stream):
    loader = HostLoader(stream, 8, make_mesh(), prefetch=1)
    straight = [np.asarray(batch["inputs"]) for batch in loader.batches(0, 6)]
    resumed = [np.asarray(batch["inputs"]) for batch in loader.batches(4, 6)]
    np.testing.assert_array_equal(straight[4:], resumed)
    assert list(loader.batches(6, 6)) == []


def test_errors_of_the_thread_are_raised_in_the_loop(prepared, monkeypatch):
    """A disk that goes away under the thread, in step 2."""
    stream = RowStream("code_llama", ROW, 0, corpus=prepared)
    fill = stream.rows.fill

    def failing(number, block):
        if number >= 16:
            raise OSError("the disk is gone")
        return fill(number, block)

    monkeypatch.setattr(stream.rows, "fill", failing)
    found = []
    with pytest.raises(OSError, match="the disk is gone"):
        for batch in HostLoader(stream, 8, make_mesh()).batches(0, 10):
            found.append(batch)
    assert len(found) == 2


@pytest.mark.parametrize("prefetch", [1, 4])
def test_leaving_the_loop_early_stops_the_thread(stream, prefetch):
    batches = HostLoader(stream, 8, make_mesh(), prefetch).batches(0, 1_000_000)
    next(batches)
    assert len(threads()) == 1
    batches.close()
    assert not threads()


def test_an_error_in_the_loop_stops_the_thread(stream):
    batches = HostLoader(stream, 8, make_mesh()).batches(0, 1_000_000)

    def loop():
        for _ in batches:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    del loop
    batches.close()
    assert not threads()


def test_batch_that_does_not_divide(stream):
    with pytest.raises(UserError, match="batch of 12 rows .* data x fsdp = 8 .* a multiple of 8"):
        HostLoader(stream, 12, make_mesh())


def test_rows_that_do_not_divide_over_context(prepared):
    stream = RowStream("code_llama", 254, 0, corpus=prepared)
    with pytest.raises(
        UserError, match="dimension 'sequence' of size 254 does not divide over 4 shards.*'context'"
    ):
        HostLoader(stream, 8, make_mesh(fsdp=2, context=4))
