"""Meta's folders: params.json and consolidated.NN.pth, one file a tensor-parallel rank.

The files are read by torch's restricted unpickler (`weights_only`), which executes no code in
them, and are memory-mapped: what is not sliced is not read.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gin
import jax
import ml_dtypes
import numpy as np

from codellama_jax.errors import UserError
from codellama_jax.model import LlamaConfig, Params
from codellama_jax.text import find_tokenizer, tokenizer_name
from codellama_jax.weights.layout import Kind, to_file
from codellama_jax.weights.names import META, Place
from codellama_jax.weights.paths import flat
from codellama_jax.weights.source import WeightSource

SETTINGS = "params.json"

# The axis of the file's tensor that ranks share out; norms are on every rank.
_COLUMNS, _ROWS = 1, 0
_SPLIT = {
    "embedding": _COLUMNS,
    "head": _ROWS,
    "layers/attention/query": _ROWS,
    "layers/attention/key": _ROWS,
    "layers/attention/value": _ROWS,
    "layers/attention/output": _COLUMNS,
    "layers/mlp/gate": _ROWS,
    "layers/mlp/up": _ROWS,
    "layers/mlp/down": _COLUMNS,
}


class _Parts:
    """A tensor whose parts lie on several ranks, sliced as if it were one."""

    def __init__(self, parts: Sequence[Any], axis: int | None):
        self._parts = parts if axis is not None else parts[:1]
        self._axis = axis or 0

    @property
    def shape(self) -> tuple[int, ...]:
        shape = list(self._parts[0].shape)
        shape[self._axis] = sum(part.shape[self._axis] for part in self._parts)
        return tuple(shape)

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        wanted = range(self.shape[self._axis])[index[self._axis]]
        pieces, first = [], 0
        for part in self._parts:
            size = part.shape[self._axis]
            start, stop = max(wanted.start - first, 0), min(wanted.stop - first, size)
            if start < stop:
                own = list(index)
                own[self._axis] = slice(start, stop)
                pieces.append(_numpy(part[tuple(own)]))
            first += size
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=self._axis)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            "Meta's files are read and written with torch, which is not installed:"
            " pip install 'codellama-jax[meta]'"
        ) from error
    return torch


def _numpy(tensor: Any) -> np.ndarray:
    torch = _torch()
    if tensor.dtype == torch.bfloat16:  # numpy has no such type of its own
        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def open_meta(folder: str | Path, vocab_size: int | None = None) -> WeightSource:
    """The weights in a folder; nothing of them is read yet.

    Args:
      folder: with params.json and consolidated.*.pth.
      vocab_size: for old params.json that say -1; None takes it from the embedding.

    Raises:
      UserError: no such files, files that cannot be read, or no plain Llama.
    """
    torch = _torch()
    folder = Path(folder)
    try:
        settings = json.loads((folder / SETTINGS).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {folder / SETTINGS}: {error}") from error
    ranks = []
    for path in sorted(folder.glob("consolidated.*.pth")):
        try:
            ranks.append(torch.load(path, map_location="cpu", mmap=True, weights_only=True))
        except Exception as error:  # zip, pickle and torch each have their own
            reason = str(error).partition("\n")[0]
            raise UserError(f"cannot read the weights in {path}: {reason}") from error
    if not ranks:
        raise UserError(f"no consolidated.*.pth in {folder}")
    splits = {
        place.name.partition("{layer}")[2] or place.name: _SPLIT.get(path)
        for path, place in META.items()
    }
    tensors = {}
    for name in ranks[0]:
        if missing := [n for n, rank in enumerate(ranks) if name not in rank]:
            raise UserError(f"{folder}/consolidated.{missing[0]:02d}.pth has no tensor {name!r}")
        kind = "." + name.split(".", 2)[2] if name.startswith("layers.") else name
        tensors[name] = _Parts([rank[name] for rank in ranks], splits.get(kind))
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return WeightSource(
        path=folder,
        format="meta",
        config=_config(folder, settings, shapes, vocab_size),
        places=META,
        shapes=shapes,
        tensors=tensors,
        tokenizer=find_tokenizer(folder),
        length=None,
    )


def _config(
    folder: Path,
    settings: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
    vocab_size: int | None,
) -> LlamaConfig:
    if settings.get("use_scaled_rope"):
        raise UserError(
            f"{folder / SETTINGS}: use_scaled_rope, Llama 3.1's own scaling of the rotary"
            " frequencies, is not supported"
        )
    try:
        heads = settings["n_heads"]
        embedding = shapes["tok_embeddings.weight"]
        given = settings.get("vocab_size", -1)
        return LlamaConfig(
            vocab_size=vocab_size or (given if given > 0 else embedding[0]),
            dim=settings["dim"],
            num_layers=settings["n_layers"],
            num_heads=heads,
            num_kv_heads=settings.get("n_kv_heads") or heads,
            ffn_dim=shapes["layers.0.feed_forward.w1.weight"][0],
            norm_eps=settings["norm_eps"],
            # Llama 2's own files do not say; theirs is 1e4.
            rope_base=float(settings.get("rope_theta") or 1e4),
            tied="output.weight" not in shapes,
        )
    except KeyError as error:
        raise UserError(f"{folder}: neither {SETTINGS} nor the weights give {error}") from error


@gin.configurable
def write_meta(
    folder: str | Path,
    config: LlamaConfig,
    params: Params,
    tokenizer: bytes | None = None,
    dtype: str = "bfloat16",
    ranks: int = 1,
) -> list[str]:
    """Writes params.json and consolidated.NN.pth.

    Args:
      folder: where to.
      config, params: the model.
      tokenizer: bytes of tokenizer.model, written beside them where given.
      dtype: of the written arrays.
      ranks: files that the weights are cut into, one for each GPU of Meta's program.

    Raises:
      UserError: heads, ffn, width or vocabulary do not divide by the ranks; a model that
        params.json cannot describe.
    """
    torch = _torch()
    if config.rope_scaling != "none" or config.key_size * config.num_heads != config.dim:
        raise UserError(
            f"params.json knows neither rope_scaling = {config.rope_scaling!r} nor heads other than"
            f" dim / num_heads wide ({config.key_size}): write Hugging Face's format"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    named = {"num_kv_heads": config.num_kv_heads, "ffn_dim": config.ffn_dim, "dim": config.dim}
    for name, size in {**named, "vocab_size": config.vocab_size}.items():
        if size % ranks:
            raise UserError(f"write_meta.ranks = {ranks} does not divide {name} = {size}")
    names = []
    for rank in range(ranks):
        tensors = {}
        for path, leaf in flat(params).items():
            place = META[path]
            layers = range(config.num_layers) if path.startswith("layers/") else (None,)
            for layer in layers:
                value = np.asarray(leaf if layer is None else leaf[layer]).astype(dtype)
                part = _part(place, _SPLIT.get(path), value, rank, ranks)
                tensors[place.name.format(layer=layer)] = _to_torch(torch, part)
        names.append(f"consolidated.{rank:02d}.pth")
        torch.save(tensors, folder / names[-1])
    # Meta's code rounds ffn_dim up to a multiple; it must divide ours.
    multiple = math.gcd(config.ffn_dim, 256)
    settings = {
        "dim": config.dim,
        "n_layers": config.num_layers,
        "n_heads": config.num_heads,
        "n_kv_heads": config.num_kv_heads,
        "vocab_size": config.vocab_size,
        "multiple_of": multiple,
        "ffn_dim_multiplier": _ffn_multiplier(config, multiple),
        "norm_eps": config.norm_eps,
        "rope_theta": config.rope_base,
    }
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n")
    if tokenizer is not None:
        names.append(tokenizer_name(tokenizer))
        (folder / names[-1]).write_bytes(tokenizer)
    return [*names, SETTINGS]


def _part(
    place: Place, axis: int | None, value: np.ndarray | jax.Array, rank: int, ranks: int
) -> np.ndarray:
    whole = to_file(place.kind, value)
    if axis is None or place.kind == Kind.SAME and whole.ndim == 1:
        return whole
    return np.ascontiguousarray(np.split(whole, ranks, axis=axis)[rank])


def _to_torch(torch: Any, array: np.ndarray) -> Any:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def _ffn_multiplier(config: LlamaConfig, multiple: int) -> float | None:
    """The factor from which Meta's code computes this ffn_dim: it knows no other way to say it."""
    plain = int(2 * (4 * config.dim) / 3)
    if -(-plain // multiple) * multiple == config.ffn_dim:
        return None
    # Half a unit above a whole number, as it is cut to one before it is rounded up.
    return (config.ffn_dim - multiple // 2 + 0.5) / plain
