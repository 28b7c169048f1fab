"""Meta's files, both ways. Their layout is checked against real weights with a known output."""

import json
import os
import struct
from pathlib import Path

import helpers  # noqa: F401  (virtual devices)
import jax
import numpy as np
import pytest
import torch
from helpers import SHARED
from model.reference import random_params, tiny

from codellama_jax.errors import UserError
from codellama_jax.generation import Engine, Sampling
from codellama_jax.model import replace
from codellama_jax.parallel import make_mesh
from codellama_jax.weights import load_source, open_weights
from codellama_jax.weights.meta import write_meta

STORIES = SHARED / "data/stories260K"


def torch_tensors(folder: Path) -> list[dict[str, torch.Tensor]]:
    return [torch.load(p, weights_only=True) for p in sorted(folder.glob("*.pth"))]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_there_and_back_changes_no_bit(dtype, ranks, tmp_path):
    config = tiny(num_kv_heads=2, rope_base=1e6)
    one, two = tmp_path / "one", tmp_path / "two"
    write_meta(one, config, random_params(config), dtype=dtype, ranks=ranks)
    source = open_weights(one)
    assert replace(source.config, dtype="float32") == config
    write_meta(
        two, source.config, load_source(source, source.config, make_mesh()), None, dtype, ranks
    )
    before, after = torch_tensors(one), torch_tensors(two)
    assert len(before) == len(after) == ranks
    for old, new in zip(before, after):
        assert old.keys() == new.keys()
        for name in old:
            assert old[name].dtype == getattr(torch, dtype) and torch.equal(old[name], new[name])
    assert json.loads((one / "params.json").read_text()) == json.loads(
        (two / "params.json").read_text()
    )


def test_ranks_are_merged_on_any_mesh(tmp_path):
    config = tiny(num_kv_heads=2)
    params = random_params(config)
    write_meta(tmp_path, config, params, dtype="float32", ranks=2)
    read = load_source(open_weights(tmp_path), config, make_mesh(fsdp=4, tensor=2))
    jax.tree.map(np.testing.assert_array_equal, read, params)


@pytest.mark.parametrize("dim, ffn", [(4096, 11_008), (8192, 22_016), (8192, 28_672), (64, 172)])
def test_meta_computes_our_ffn_width(dim, ffn, tmp_path):
    config = tiny(dim=64, num_layers=1, num_kv_heads=4, ffn_dim=ffn // (dim // 64) or ffn)
    write_meta(tmp_path, config, random_params(config))
    values = json.loads((tmp_path / "params.json").read_text())
    hidden = int(2 * (4 * values["dim"]) / 3)  # as in Meta's model.py
    if values["ffn_dim_multiplier"] is not None:
        hidden = int(values["ffn_dim_multiplier"] * hidden)
    multiple = values["multiple_of"]
    assert multiple * ((hidden + multiple - 1) // multiple) == config.ffn_dim


@pytest.mark.skipif(not STORIES.is_dir(), reason="no real weights at hand (../shared/data)")
def test_real_weights_tell_their_story(tmp_path):
    binary = STORIES / "stories260K.bin"
    data = binary.read_bytes()
    dim, ffn, layers, heads, kv_heads, vocab, _ = struct.unpack("7i", data[:28])
    vocab = abs(vocab)
    values = np.frombuffer(data[28:], np.float32)
    size, kv = dim // heads, kv_heads * dim // heads
    at = 0

    def take(*shape: int) -> torch.Tensor:
        nonlocal at
        count = int(np.prod(shape))
        at += count
        return torch.tensor(values[at - count : at].reshape(shape))

    tensors = {"tok_embeddings.weight": take(vocab, dim)}
    for name, shape in (
        ("attention_norm", (dim,)),
        ("attention.wq", (dim, dim)),
        ("attention.wk", (kv, dim)),
        ("attention.wv", (kv, dim)),
        ("attention.wo", (dim, dim)),
        ("ffn_norm", (dim,)),
        ("feed_forward.w1", (ffn, dim)),
        ("feed_forward.w2", (dim, ffn)),
        ("feed_forward.w3", (ffn, dim)),
    ):
        stacked = take(layers, *shape)
        for n in range(layers):
            tensors[f"layers.{n}.{name}.weight"] = stacked[n].clone()
    tensors["norm.weight"] = take(dim)
    assert size == 8
    torch.save(tensors, tmp_path / "consolidated.00.pth")
    settings = {"dim": dim, "n_layers": layers, "n_heads": heads, "n_kv_heads": kv_heads,
                "vocab_size": -1, "multiple_of": 4, "norm_eps": 1e-5}  # fmt: skip
    (tmp_path / "params.json").write_text(json.dumps(settings))
    source = open_weights(tmp_path)
    config = replace(source.config, dtype="float32")
    assert config.num_parameters == 260_032 and config.tied and config.vocab_size == 512
    params = load_source(source, config, make_mesh(devices=jax.devices()[:1]))
    (new,) = Engine(config, params).generate([[1]], [2], Sampling(temperature=0, max_new_tokens=19))
    golden = "403 407 261 378 432 383 286 261 376 298 315 421 395 317 426 338 401 396 267"
    assert new == [int(token) for token in golden.split()]


class _Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_file_is_not_run(tmp_path):
    config = tiny()
    write_meta(tmp_path, config, random_params(config))
    torch.save({"tok_embeddings.weight": _Evil(tmp_path / "ran")}, tmp_path / "consolidated.00.pth")
    with pytest.raises(UserError, match="cannot read the weights in .*consolidated.00.pth"):
        open_weights(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_ranks_that_do_not_divide_or_differ_are_named(tmp_path):
    config = tiny(num_kv_heads=2)
    with pytest.raises(UserError, match="ranks = 4 does not divide num_kv_heads = 2"):
        write_meta(tmp_path, config, random_params(config), ranks=4)
    write_meta(tmp_path, config, random_params(config), ranks=2)
    torch.save({}, tmp_path / "consolidated.01.pth")
    with pytest.raises(UserError, match=r"consolidated.01.pth has no tensor"):
        open_weights(tmp_path)
    for path in tmp_path.glob("*.pth"):
        path.unlink()
    with pytest.raises(UserError, match="no consolidated"):
        open_weights(tmp_path)


def test_what_params_json_cannot_say_is_refused(tmp_path):
    for config in (tiny(rope_scaling="linear", rope_factor=2.0), tiny(head_dim=10)):
        with pytest.raises(UserError, match="params.json knows neither"):
            write_meta(tmp_path / "new", config, random_params(config))
    assert not (tmp_path / "new").exists()
    write_meta(tmp_path, tiny(), random_params(tiny()))
    settings = json.loads((tmp_path / "params.json").read_text())
    (tmp_path / "params.json").write_text(json.dumps({**settings, "use_scaled_rope": True}))
    with pytest.raises(UserError, match="use_scaled_rope, Llama 3.1's own scaling"):
        open_weights(tmp_path)
