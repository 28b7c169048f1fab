"""What a mesh would hold, computed without any of it."""

import json
import math
import subprocess
import sys

import gin
import pytest
from helpers import ROOT

from codellama_jax.errors import UserError
from codellama_jax.model import describe


@pytest.fixture(autouse=True)
def _clean_gin():
    yield
    gin.clear_config()


def described(size, devices, **mesh):
    gin.parse_config_file(str(ROOT / f"configs/models/{size}.gin"))
    for axis, count in mesh.items():
        gin.bind_parameter(f"make_mesh.{axis}", count)
    return describe(devices)


def test_parts_make_the_whole():
    found = described("code_llama_70b", 512, fsdp=64, tensor=8)
    totals = found["totals"]
    assert totals["parameters"] == 68_976_910_336 and totals["bytes"] == 4 * totals["parameters"]
    rows = {row["name"]: row for row in found["parameters"]}
    key = rows["layers/attention/key"]
    assert key["shape"] == [80, 8192, 8, 128] and key["device_shape"] == [80, 128, 1, 128]
    assert key["mesh"] == [[], ["fsdp"], ["tensor"], []]
    assert sum(math.prod(row["shape"]) for row in rows.values()) == totals["parameters"]
    assert totals["device_bytes"] == sum(row["device_bytes"] for row in rows.values())
    # All but the norms is shared out over all devices.
    assert totals["device_bytes"] < 1.01 * totals["bytes"] / 512 + 4 * 161 * 8192
    assert "code_llama_70b" in totals["published_sizes"]


def test_what_does_not_divide_is_named():
    message = "layers/attention/key: dimension 'kv_heads' of size 8 does not divide over 16 shards"
    with pytest.raises(UserError, match=message):
        described("code_llama_34b", 32, fsdp=2, tensor=16)
    with pytest.raises(UserError, match="does not divide 30 devices"):
        described("code_llama_34b", 30, fsdp=-1, tensor=8)


def test_the_verb_answers_for_70b(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "codellama_jax.main", "describe", f"--json={tmp_path / 'd.json'}",
         "--gin_file=configs/models/code_llama_70b.gin", "--gin_bindings=describe.devices = 4096"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert "68,976,910,336 parameters (code_llama_70b)" in done.stdout
    assert "layers/mlp/down" in done.stdout
    assert json.loads((tmp_path / "d.json").read_text())["totals"]["mesh"]["fsdp"] == 4096
