"""Hugging Face folders: config.json and safetensors, one file or several with an index."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gin
import jax
import ml_dtypes  # noqa: F401  (gives numpy the name bfloat16, which safetensors asks for)
import numpy as np

from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig, Params
from codellama_jax.text import Vocabulary, find_tokenizer, tokenizer_name
from codellama_jax.weights.layout import Kind, Tensor, to_file
from codellama_jax.weights.names import HUGGING_FACE
from codellama_jax.weights.paths import flat
from codellama_jax.weights.source import WeightSource

CONFIG, INDEX, SINGLE = "config.json", "model.safetensors.index.json", "model.safetensors"


def open_hugging_face(folder: str | Path) -> WeightSource:
    """The weights in a folder; nothing of them is read yet.

    Raises:
      UserError: no such files, files that cannot be read, or no plain Llama.
    """
    from safetensors import SafetensorError, safe_open

    folder = Path(folder)
    config = read_config(folder / CONFIG)
    shapes: dict[str, tuple[int, ...]] = {}
    tensors: dict[str, Tensor] = {}
    for path in _files(folder):
        try:
            file = safe_open(path, framework="numpy")
        except (OSError, SafetensorError) as error:
            raise UserError(f"cannot read the weights in {path}: {error}") from error
        for name in file.keys():  # noqa: SIM118 - the file is no dictionary
            tensors[name] = file.get_slice(name)
            shapes[name] = tuple(tensors[name].get_shape())
    return WeightSource(
        path=folder,
        format="hugging face",
        config=config,
        places=HUGGING_FACE,
        shapes=shapes,
        tensors=tensors,
        tokenizer=find_tokenizer(folder),
        length=_json(folder / CONFIG).get("max_position_embeddings"),
    )


def _files(folder: Path) -> list[Path]:
    if not (folder / INDEX).is_file():
        return [folder / SINGLE]
    names = sorted(set(_json(folder / INDEX)["weight_map"].values()))
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise UserError(f"{folder / INDEX} names {missing[0]!r}, which is not there")
    return [folder / name for name in names]


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def read_config(path: Path) -> LlamaConfig:
    """The model that a config.json describes; UserError when it is no plain Llama."""
    values = _json(path)
    plain = {
        "model_type": ("llama",),
        "hidden_act": ("silu", None),
        "attention_bias": (False, None),
        "mlp_bias": (False, None),
    }
    for name, allowed in plain.items():
        if values.get(name) not in allowed:
            raise UserError(f"{path}: {name} is {values.get(name)!r}, a Llama has {allowed[0]!r}")
    # transformers 5 writes rope_parameters; before, rope_theta and rope_scaling stood apart.
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    scalings = {"default": "none", "linear": "linear", "yarn": "yarn"}
    if kind not in scalings:
        raise UserError(f"{path}: rope scaling {kind!r} is not supported, only {sorted(scalings)}")
    try:
        heads = values["num_attention_heads"]
        return LlamaConfig(
            vocab_size=values["vocab_size"],
            dim=values["hidden_size"],
            num_layers=values["num_hidden_layers"],
            num_heads=heads,
            num_kv_heads=values.get("num_key_value_heads") or heads,
            ffn_dim=values["intermediate_size"],
            head_dim=values.get("head_dim"),
            norm_eps=values["rms_norm_eps"],
            rope_base=float(rope.get("rope_theta") or values.get("rope_theta") or 1e4),
            rope_scaling=scalings[kind],
            rope_factor=float(rope.get("factor") or 1.0),
            rope_original_length=rope.get("original_max_position_embeddings")
            or values.get("max_position_embeddings", 4096),
            tied=values.get("tie_word_embeddings", False),
        )
    except KeyError as error:
        raise UserError(f"{path} does not give {error.args[0]!r}") from error


@gin.configurable
def write_hugging_face(
    folder: str | Path,
    config: LlamaConfig,
    params: Params,
    positions: int,
    tokenizer: bytes | None = None,
    special_ids: dict[str, int] | None = None,
    dtype: str = "bfloat16",
    shard_bytes: int = 4_000_000_000,
) -> list[str]:
    """Writes a folder that transformers, and what builds on it, loads as it is.

    One file's tensors are in memory at a time.

    Args:
      folder: made if need be.
      config, params: the model.
      positions: longest sequence it is meant for.
      tokenizer: what its file holds, a SentencePiece model or a tokenizer.json.
      special_ids: bos, eos.
      dtype: of the tensors: "bfloat16" or "float32".
      shard_bytes: of tensors in one file, at most, unless one tensor is larger.

    Returns:
      names of the files.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    width = np.dtype(dtype).itemsize
    shards: list[list[tuple[str, Kind, Any]]] = [[]]
    size = total = 0
    for name, kind, leaf, layer in _tensors(config, params):
        count = leaf.size // (1 if layer is None else leaf.shape[0])
        if shards[-1] and size + count * width > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append((name, kind, (leaf, layer)))
        size += count * width
        total += count * width
    names = (
        [SINGLE]
        if len(shards) == 1
        else [f"model-{n + 1:05d}-of-{len(shards):05d}.safetensors" for n in range(len(shards))]
    )
    for file, shard in zip(names, shards):
        arrays = {
            name: to_file(kind, _whole(leaf, layer).astype(dtype))
            for name, kind, (leaf, layer) in shard
        }
        save_file(arrays, folder / file, metadata={"format": "pt"})
    if len(shards) > 1:
        weight_map = {name: file for file, shard in zip(names, shards) for name, _, _ in shard}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / INDEX).write_text(json.dumps(index, indent=1))
    special = {f"{name}_token_id": token for name, token in (special_ids or {}).items()}
    (folder / CONFIG).write_text(
        json.dumps({**_config(config, positions, dtype), **special}, indent=1) + "\n"
    )
    generation = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, **special}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=1) + "\n")
    written = [*names, CONFIG, "generation_config.json"]
    if tokenizer is not None:
        name = tokenizer_name(tokenizer)
        (folder / name).write_bytes(tokenizer)
        settings = _tokenizer_config(config, positions, tokenizer)
        (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
        written += [name, "tokenizer_config.json"]
    return written


def _tokenizer_config(config: LlamaConfig, positions: int, tokenizer: bytes) -> dict[str, Any]:
    if tokenizer_name(tokenizer) == "tokenizer.json":  # which says all else itself
        vocabulary = Vocabulary.parse(tokenizer)
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": vocabulary.piece(vocabulary.bos_id),
            "eos_token": vocabulary.piece(vocabulary.eos_id),
            "model_max_length": positions,
        }
    # Code Llama's class knows the infilling sentinels, Llama's would not.
    kind = "CodeLlamaTokenizer" if config.vocab_size == 32_016 else "LlamaTokenizer"
    return {
        "tokenizer_class": kind,
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "model_max_length": positions,
        "legacy": True,
    }


def _tensors(
    config: LlamaConfig, params: Params
) -> Iterator[tuple[str, Kind, jax.Array, int | None]]:
    """Name, kind, our stacked or single array, and the layer; in the order of the model."""
    leaves = flat(params)
    for path in ("embedding",):
        yield HUGGING_FACE[path].name, HUGGING_FACE[path].kind, leaves[path], None
    for layer in range(config.num_layers):
        for path, leaf in leaves.items():
            if path.startswith("layers/"):
                place = HUGGING_FACE[path]
                yield place.name.format(layer=layer), place.kind, leaf, layer
    for path in ("norm/weight", *(() if config.tied else ("head",))):
        yield HUGGING_FACE[path].name, HUGGING_FACE[path].kind, leaves[path], None


def _whole(leaf: jax.Array, layer: int | None) -> np.ndarray:
    return np.asarray(leaf if layer is None else leaf[layer])


def _config(config: LlamaConfig, positions: int, dtype: str) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_type": "default"}
    if config.rope_scaling != "none":
        rope = {"rope_type": config.rope_scaling, "factor": config.rope_factor}
        if config.rope_scaling == "yarn":
            rope["original_max_position_embeddings"] = config.rope_original_length
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.dim,
        "intermediate_size": config.ffn_dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.key_size,
        "hidden_act": "silu",
        "max_position_embeddings": positions,
        "rms_norm_eps": config.norm_eps,
        # Both ways: readers before and since transformers 5.
        "rope_theta": config.rope_base,
        "rope_parameters": {**rope, "rope_theta": config.rope_base},
        "rope_scaling": None if config.rope_scaling == "none" else rope,
        "tie_word_embeddings": config.tied,
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": dtype,
        "use_cache": True,
    }
