"""What is found of a checkpoint's files, by which process, and when only their sizes are asked."""

import os

import pytest

from codellama_jax.runs import damage, write_digests

LARGE, SMALL = "params/ocdbt.process_1/d/values", "record/metadata"


@pytest.fixture
def folder(tmp_path):
    """A checkpoint of two processes."""
    for name, size in ((LARGE, 3 << 20), (SMALL, 1000), ("params/manifest.ocdbt", 100)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(range(256)) * (size // 256) + b"end")
    for process in (0, 1):
        write_digests(tmp_path, process, 2)
    return tmp_path


def flip(path):
    content = bytearray(path.read_bytes())
    content[-2] ^= 4
    path.write_bytes(content)


def test_whole(folder):
    assert damage(folder) == "" and damage(folder, contents=False) == ""


def test_each_process_looks_at_its_own_and_all_of_them_at_everything(folder):
    flip(folder / LARGE)
    flip(folder / SMALL)
    ours, theirs = (damage(folder, process=(number, 2)) for number in (0, 1))
    assert SMALL in ours and LARGE in theirs
    # Three processes continue what two began: the third has nothing to look at.
    assert damage(folder, process=(2, 3)) == ""
    assert LARGE in damage(folder, process=(1, 3))


def test_only_the_parts_asked_for(folder):
    flip(folder / SMALL)
    assert damage(folder, ("params",)) == "" and damage(folder, ("record",))


def test_sizes_alone_find_what_is_short_and_small_files_are_read_all_the_same(folder):
    flip(folder / LARGE)
    assert "checksum differs" in damage(folder)
    assert damage(folder, contents=False) == ""
    flip(folder / SMALL)
    assert SMALL in damage(folder, contents=False)
    flip(folder / SMALL)
    os.truncate(folder / LARGE, 1 << 20)
    assert "has 1,048,576 bytes instead of 3,145,731" in damage(folder, contents=False)
    (folder / LARGE).unlink()
    assert "No such file" in damage(folder, contents=False)
