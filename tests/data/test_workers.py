"""Rows made by processes."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import gin
import helpers
import numpy as np
import pytest

from codellama_jax.data import HostLoader, RowStream
from codellama_jax.errors import UserError
from codellama_jax.parallel import make_mesh

from .conftest import ROW
from .faults import Killed, Unreadable


@pytest.fixture(autouse=True)
def _no_process_is_left():
    yield
    assert not multiprocessing.active_children()


def batches(stream, workers, first, last):
    made = HostLoader(stream, 8, make_mesh(), workers=workers).batches(first, last)
    return [{name: np.asarray(array) for name, array in batch.items()} for batch in made]


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_do_not_depend_on_the_workers(prepared, workers):
    gin.bind_parameter("Infill.rate", 0.6)  # what gin set here holds there
    stream = RowStream("code_llama", ROW, 0, corpus=prepared)
    for first in (0, 1_000_000):
        expected = batches(stream, 0, first, first + 3)
        found = batches(stream, workers, first, first + 3)
        assert len(found) == 3
        for ours, theirs in zip(found, expected):
            assert ours.keys() == theirs.keys()
            for name, array in theirs.items():
                np.testing.assert_array_equal(ours[name], array, err_msg=name)
                assert ours[name].dtype == array.dtype


def test_leaving_the_loop_early_ends_them(stream):
    made = HostLoader(stream, 8, make_mesh(), workers=2).batches(0, 1_000_000)
    next(made)
    assert len(multiprocessing.active_children()) == 2
    made.close()


def broken(prepared, encoder):
    stream = RowStream("code", ROW, 0, corpus=prepared)
    stream.tasks[0].encoder = encoder(stream.vocabulary)
    return stream


def test_an_error_there_is_raised_here(prepared):
    with pytest.raises(OSError) as caught:
        batches(broken(prepared, Unreadable), 2, 0, 100)
    assert str(caught.value) == "the disk is gone"
    assert "in encode_whole" in caught.value.__notes__[0]


def test_one_that_is_killed(prepared):
    with pytest.raises(UserError, match="was killed, .* set HostLoader.workers below 2"):
        batches(broken(prepared, Killed), 2, 0, 100)


def test_fewer_than_none(stream):
    with pytest.raises(UserError, match="HostLoader.workers = -1: set it to 0 or more"):
        HostLoader(stream, 8, make_mesh(), workers=-1)


def test_records_set_aside_there_are_counted_here(prepared, tmp_path):
    copy = tmp_path / "corpus"
    shutil.copytree(prepared, copy)
    path = copy / "code" / "train.lengths.npy"
    lengths = np.load(path)
    short = int(np.argmax(lengths))
    lengths[short] = 3
    np.save(path, lengths)
    counts = []
    for workers in (0, 2):
        stream = RowStream("code", ROW, 0, corpus=str(copy))
        steps = -(-len(stream.tasks[0].rows) // 8)
        batches(stream, workers, 0, steps)
        counts.append(stream.set_aside())
    ((place, count),) = counts[1].items()
    assert f"record {short}: longer than lengths.npy says" in place and count >= 1
    assert counts[0] == counts[1]


PARENT = """
    import json, multiprocessing, sys, time
    from codellama_jax.data.encoding import LeftToRight
    from codellama_jax.data.records import Records
    from codellama_jax.data.rows import MixtureRows, TaskRows, new_blocks
    from codellama_jax.data.workers import RowNumbers, rows_of_workers
    from codellama_jax.text import Vocabulary

    if __name__ == "__main__":
        corpus = sys.argv[1]
        encoder = LeftToRight(Vocabulary.load(f"{corpus}/tokenizer.model"))
        task = TaskRows("code", encoder, Records(corpus, "code", "train"), 256, 0, 0)
        numbers = RowNumbers(0, 1_000_000, 8, (0, 1))
        rows = MixtureRows({"code": 1.0}, [task])
        with rows_of_workers(rows, numbers, 2, lambda _: None) as fill:
            fill(0, new_blocks(256))
            children = [child.pid for child in multiprocessing.active_children()]
            print(json.dumps(children), flush=True)
            time.sleep(600)
"""


def test_they_end_when_their_parent_is_killed(prepared, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT))
    environment = {**os.environ, "PYTHONPATH": str(helpers.ROOT)}
    parent = subprocess.Popen(
        [sys.executable, str(script), prepared],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    children = json.loads(parent.stdout.readline())
    assert len(children) == 2 and all(map(_runs, children))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    for _ in range(600):
        if not any(map(_runs, children)):
            return
        time.sleep(0.1)
    raise AssertionError("processes that nobody reads from are still there")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
