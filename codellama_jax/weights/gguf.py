"""GGUF files, as llama.cpp has them; quantised tensors are dequantised as they are read."""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig
from codellama_jax.text import find_tokenizer
from codellama_jax.weights.layout import Tensor
from codellama_jax.weights.names import GGUF
from codellama_jax.weights.source import WeightSource


class _Quantised:
    """A tensor that is dequantised, rows at a time, when it is sliced."""

    def __init__(self, tensor: Any):
        self._tensor = tensor

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        from gguf.quants import dequantize

        # Rows are stored whole: a block of quantised values never spans two of them.
        rows = dequantize(self._tensor.data[index[0]], self._tensor.tensor_type)
        return rows[:, index[1]] if len(index) > 1 else rows


def open_gguf(path: str | Path) -> WeightSource:
    """The weights in a file; nothing of them is read yet.

    Raises:
      UserError: no such file, no GGUF, or no plain Llama.
    """
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise UserError(
            "GGUF files are read with the gguf package, which is not installed:"
            " pip install 'codellama-jax[gguf]'"
        ) from error
    path = Path(path)
    try:
        reader = GGUFReader(path)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise UserError(f"cannot read the GGUF file {path}: {error}") from error
    _check_frequencies(path, reader)
    # Sizes are listed fastest first, the other way round than everywhere else.
    shapes = {t.name: tuple(int(n) for n in reversed(t.shape)) for t in reader.tensors}
    tensors: dict[str, Tensor] = {t.name: _Quantised(t) for t in reader.tensors}
    return WeightSource(
        path=path,
        format="gguf",
        config=_config(path, reader, shapes),
        places=GGUF,
        shapes=shapes,
        tensors=tensors,
        tokenizer=find_tokenizer(path.parent),
        length=_value(path, reader, "llama.context_length", 0) or None,
    )


def _value(path: Path, reader: Any, name: str, default: Any = None) -> Any:
    field = reader.get_field(name)
    if field is None and default is None:
        raise UserError(f"{path} does not give {name!r}")
    return default if field is None else field.contents()


def _check_frequencies(path: Path, reader: Any) -> None:
    """Raises UserError where the file divides each rotary frequency by a factor of its own."""
    for tensor in reader.tensors:
        if tensor.name == "rope_freqs.weight" and (np.asarray(tensor.data) != 1).any():
            raise UserError(
                f"{path}: tensor 'rope_freqs.weight' scales each rotary frequency apart, as Llama"
                " 3.1 does: only linear and yarn are supported"
            )


def _config(path: Path, reader: Any, shapes: dict[str, tuple[int, ...]]) -> LlamaConfig:
    value = functools.partial(_value, path, reader)
    architecture = value("general.architecture")
    if architecture != "llama":
        raise UserError(f"{path} holds a model of architecture {architecture!r}, not a Llama")
    scaling = value("llama.rope.scaling.type", "none")
    if scaling not in ("none", "linear", "yarn"):
        raise UserError(f"{path}: rope scaling {scaling!r} is not supported: only linear and yarn")
    heads = value("llama.attention.head_count")
    length = value("llama.context_length", 4096)
    return LlamaConfig(
        vocab_size=shapes["token_embd.weight"][0],
        dim=value("llama.embedding_length"),
        num_layers=value("llama.block_count"),
        num_heads=heads,
        num_kv_heads=value("llama.attention.head_count_kv", heads),
        ffn_dim=value("llama.feed_forward_length"),
        head_dim=shapes["blk.0.attn_q.weight"][0] // heads,
        norm_eps=round(float(value("llama.attention.layer_norm_rms_epsilon")), 12),
        rope_base=float(value("llama.rope.freq_base", 1e4)),
        rope_scaling=scaling,
        rope_factor=float(value("llama.rope.scaling.factor", 1.0)),
        rope_original_length=value("llama.rope.scaling.original_context_length", length),
        tied="output.weight" not in shapes,
    )
