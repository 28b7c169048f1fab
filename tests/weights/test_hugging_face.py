"""Hugging Face files, both ways, with transformers as the other side."""

import json
import shutil

import helpers  # noqa: F401  (virtual devices)
import jax
import ml_dtypes
import numpy as np
import pytest
import torch
import transformers
from model.reference import huggingface, logits, random_params, random_tokens, tiny
from safetensors.numpy import load_file, save_file

from codellama_jax.errors import UserError
from codellama_jax.model import replace
from codellama_jax.parallel import make_mesh
from codellama_jax.weights import load_source, open_weights
from codellama_jax.weights.hugging_face import INDEX, SINGLE, write_hugging_face

CASES = {
    "grouped-query, base 1e6": {"num_kv_heads": 2, "rope_base": 1e6},
    "tied": {"tied": True},
    "wide heads": {"head_dim": 12, "num_kv_heads": 1},
    "yarn": {"rope_scaling": "yarn", "rope_factor": 4.0, "rope_original_length": 64},
    "linear": {"rope_scaling": "linear", "rope_factor": 4.0},
}
cases = pytest.mark.parametrize("changes", CASES.values(), ids=CASES)


def tensors_of(folder):
    return {name: t for path in folder.glob("*.safetensors") for name, t in load_file(path).items()}


@cases
def test_transformers_loads_what_we_write(changes, tmp_path):
    config = tiny(**changes)
    params = random_params(config)
    write_hugging_face(tmp_path, config, params, positions=256, dtype="float32")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.float32, attn_implementation="eager"
    )
    tokens = random_tokens(config, (2, 150))
    with torch.no_grad():
        expected = theirs(torch.tensor(tokens)).logits.numpy()
    np.testing.assert_allclose(logits(config, params, tokens), expected, rtol=0, atol=1e-4)


@cases
def test_we_load_what_transformers_writes(changes, tmp_path):
    config = tiny(**{**changes, "rope_scaling": "none", "rope_factor": 1.0})
    params = random_params(config, seed=1)
    theirs = huggingface(config, params)
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    source = open_weights(tmp_path)
    read = load_source(source, replace(source.config, dtype="float32"), make_mesh())
    tokens = random_tokens(config, (2, 33))
    with torch.no_grad():
        expected = theirs(torch.tensor(tokens)).logits.numpy()
    found = logits(replace(source.config, dtype="float32"), read, tokens)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_there_and_back_changes_no_bit(dtype, tmp_path):
    config = tiny(num_kv_heads=2, rope_base=1e6)
    params = random_params(config)
    one, two = tmp_path / "one", tmp_path / "two"
    files = write_hugging_face(one, config, params, 64, dtype=dtype, shard_bytes=15_000)
    assert sum(name.endswith(".safetensors") for name in files) > 2
    source = open_weights(one)
    read = load_source(source, source.config, make_mesh())
    write_hugging_face(two, source.config, read, 64, dtype=dtype, shard_bytes=15_000)
    before, after = tensors_of(one), tensors_of(two)
    assert before.keys() == after.keys()
    wanted = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float32
    for name, tensor in before.items():
        assert tensor.dtype == wanted and tensor.tobytes() == after[name].tobytes(), name
    assert json.loads((one / "config.json").read_text()) == json.loads(
        (two / "config.json").read_text()
    )


def test_every_device_gets_its_part(tmp_path):
    config = tiny(num_kv_heads=2, param_dtype="float32")
    params = random_params(config)
    write_hugging_face(tmp_path, config, params, 64, dtype="float32")
    mesh = make_mesh(fsdp=4, tensor=2)
    read = load_source(open_weights(tmp_path), config, mesh)
    jax.tree.map(np.testing.assert_array_equal, read, params)
    query = read["layers"]["attention"]["query"]
    assert query.sharding.shard_shape(query.shape) == (2, 8, 2, 8)


def test_new_ids_get_rows(tmp_path):
    config = tiny(vocab_size=80)
    params = random_params(config)
    write_hugging_face(tmp_path, config, params, 64, dtype="float32")
    source, mesh = open_weights(tmp_path), make_mesh(fsdp=4, tensor=2)
    for growth, expected in (("mean", np.mean), ("zeros", lambda x, axis: np.zeros(x.shape[1]))):
        read = load_source(source, replace(source.config, vocab_size=96), mesh, growth)
        for name, array in (("embedding", read["embedding"]), ("head", read["head"].T)):
            old = np.asarray(params[name] if name == "embedding" else params[name].T)
            np.testing.assert_array_equal(array[:80], old)
            row = expected(old.astype(np.float64), axis=0)
            np.testing.assert_allclose(array[80:], np.tile(row, (16, 1)), rtol=1e-5, atol=1e-8)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    config = tiny()
    write_hugging_face(folder, config, random_params(config), 64, dtype="float32")
    return folder


def _without(tensors):
    del tensors["model.layers.1.mlp.up_proj.weight"]


def _another(tensors):
    tensors["model.layers.0.self_attn.q_proj.bias"] = np.zeros(32, np.float32)


def _misshapen(tensors):
    tensors["model.norm.weight"] = np.zeros(31, np.float32)


def _harmless(tensors):
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.zeros(4, np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, "tensors are missing, the first is 'model.layers.1.mlp.up_proj.weight'"),
        (_another, "tensors too many, the first is 'model.layers.0.self_attn.q_proj.bias'"),
        (_misshapen, r"tensor 'model.norm.weight' has shape \(31,\), the configuration wants"),
        (_harmless, None),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(written, tmp_path, change, message):
    shutil.copytree(written, tmp_path / "copy")
    tensors = load_file(tmp_path / "copy" / SINGLE)
    change(tensors)
    save_file(tensors, tmp_path / "copy" / SINGLE)
    source = open_weights(tmp_path / "copy")
    if message is None:
        load_source(source, source.config, make_mesh())
        return
    with pytest.raises(UserError, match=message):
        load_source(source, source.config, make_mesh())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mistral"}, "model_type is 'mistral', a Llama has 'llama'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "rope scaling 'llama3' is not supported"),
        ({"hidden_size": None}, "dim = None must be of type int"),
    ],
)
def test_another_model_is_refused(written, tmp_path, change, message):
    shutil.copytree(written, tmp_path / "copy")
    path = tmp_path / "copy/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=message):
        open_weights(tmp_path / "copy")


def test_files_that_cannot_be_read_are_named(written, tmp_path):
    with pytest.raises(UserError, match="no weights in"):
        open_weights(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(written, copy)
    whole = (copy / SINGLE).read_bytes()
    (copy / SINGLE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot read the weights in .*model.safetensors"):
        open_weights(copy)
    (copy / INDEX).write_text(json.dumps({"weight_map": {"a": "gone.safetensors"}}))
    with pytest.raises(UserError, match="names 'gone.safetensors', which is not there"):
        open_weights(copy)
    (copy / "config.json").write_text("{")
    with pytest.raises(UserError, match="cannot read .*config.json"):
        open_weights(copy)
