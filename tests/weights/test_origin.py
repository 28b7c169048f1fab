"""Weights of any origin: growing and dropping ids, headers."""

import helpers  # noqa: F401  (virtual devices)
import jax
import numpy as np
import pytest
from model.reference import random_params, tiny

from codellama_jax.errors import UserError
from codellama_jax.model import replace
from codellama_jax.parallel import make_mesh
from codellama_jax.weights import check_files, load_origin, open_origin
from codellama_jax.weights.checkpoint import save_checkpoint
from codellama_jax.weights.hugging_face import write_hugging_face

CONFIG = tiny(vocab_size=80)
LINEAGE = [{"phase": "ours", "settings": {}}]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The same weights in files of Hugging Face's and in a checkpoint of ours."""
    folder = tmp_path_factory.mktemp("origin")
    params = random_params(CONFIG)
    write_hugging_face(folder / "theirs", CONFIG, params, 64, dtype="float32")
    save_checkpoint(folder / "ours", CONFIG, params, LINEAGE, "")
    return folder


def loaded(path, ids, growth="mean", **mesh):
    return load_origin(
        open_origin(path), replace(CONFIG, vocab_size=ids), make_mesh(**mesh), growth
    )


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("growth", ["mean", "zeros"])
def test_ids_grow_alike_from_any_origin_on_any_mesh(places, growth):
    first = loaded(places / "theirs", 96, growth, fsdp=8)
    same(loaded(places / "ours", 96, growth, fsdp=8), first)
    same(loaded(places / "ours", 96, growth, fsdp=2, tensor=4), first)
    same(loaded(places / "theirs", 96, growth, fsdp=4, tensor=2), first)
    old = random_params(CONFIG)
    np.testing.assert_array_equal(first["head"][:, :80], old["head"])
    new = np.asarray(old["head"]).mean(1) * (growth == "mean")
    np.testing.assert_allclose(first["head"][:, 95], new, atol=1e-7)


def test_ids_are_dropped_from_the_end(places):
    old = random_params(CONFIG)
    for path in ("theirs", "ours"):
        read = loaded(places / path, 64, fsdp=4, tensor=2)
        np.testing.assert_array_equal(read["embedding"], old["embedding"][:64])
        np.testing.assert_array_equal(read["head"], old["head"][:, :64])
        same(read["layers"], old["layers"])


def test_headers_tell_what_is_missing(places, tmp_path):
    for path in ("theirs", "ours"):
        origin = open_origin(places / path)
        check_files(origin)
        assert origin.config.vocab_size == 80 and bool(origin.lineage) == (path == "ours")
    another = replace(CONFIG, ffn_dim=64)
    save_checkpoint(tmp_path, another, random_params(CONFIG), LINEAGE, "")
    with pytest.raises(UserError, match=r"layers/mlp/\w+ has shape \(2, .*, its record's model"):
        check_files(open_origin(tmp_path))
