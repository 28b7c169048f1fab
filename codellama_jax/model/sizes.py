"""The published sizes (Llama 2 paper, table 1; Code Llama paper, sections 2 and 3)."""

from typing import Any, NamedTuple

from codellama_jax.errors import UserError
from codellama_jax.model.config import LlamaConfig


class Size(NamedTuple):
    """What distinguishes one published model from another; norm_eps and head size are common.

    Attributes:
      length: positions it was trained on.
    """

    dim: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    ffn_dim: int
    vocab_size: int
    rope_base: float
    length: int


_SHAPES = {
    "7b": (4096, 32, 32, 32, 11_008),
    "13b": (5120, 40, 40, 40, 13_824),
    "34b": (8192, 48, 64, 8, 22_016),
    "70b": (8192, 80, 64, 8, 28_672),
}
_LONG, _SHORT = (1e6, 16_384), (1e4, 4096)

# 32,016 ids where infilling was trained, and in all of 70B but its Instruct, which has one more id
# after the first 15 of the 16 (facts of the released files).
SIZES: dict[str, Size] = {
    "llama2_7b": Size(*_SHAPES["7b"], 32_000, *_SHORT),
    "llama2_13b": Size(*_SHAPES["13b"], 32_000, *_SHORT),
    "llama2_70b": Size(*_SHAPES["70b"], 32_000, *_SHORT),
    "code_llama_7b": Size(*_SHAPES["7b"], 32_016, *_LONG),
    "code_llama_13b": Size(*_SHAPES["13b"], 32_016, *_LONG),
    "code_llama_34b": Size(*_SHAPES["34b"], 32_000, *_LONG),
    "code_llama_70b": Size(*_SHAPES["70b"], 32_016, *_LONG),
    "code_llama_7b_python": Size(*_SHAPES["7b"], 32_000, *_LONG),
    "code_llama_13b_python": Size(*_SHAPES["13b"], 32_000, *_LONG),
    "code_llama_34b_python": Size(*_SHAPES["34b"], 32_000, *_LONG),
    "code_llama_70b_python": Size(*_SHAPES["70b"], 32_016, *_SHORT),
    "code_llama_7b_instruct": Size(*_SHAPES["7b"], 32_016, *_LONG),
    "code_llama_13b_instruct": Size(*_SHAPES["13b"], 32_016, *_LONG),
    "code_llama_34b_instruct": Size(*_SHAPES["34b"], 32_000, *_LONG),
    "code_llama_70b_instruct": Size(*_SHAPES["70b"], 32_016, *_SHORT),
}


def sized_config(name: str, **changes: Any) -> LlamaConfig:
    """The configuration of a published size, with `changes`.

    Raises:
      UserError: no such size.
    """
    if name not in SIZES:
        raise UserError(f"no size {name!r}: the published ones are {', '.join(SIZES)}")
    fields = SIZES[name]._asdict()
    del fields["length"]
    return LlamaConfig(**{**fields, **changes})


def recognise(config: LlamaConfig) -> list[str]:
    """Names of the published sizes with this shape, vocabulary and rotary base."""
    return [name for name, size in SIZES.items() if not _differing(config, size)]


def closest(config: LlamaConfig) -> tuple[str, dict[str, float]] | None:
    """The published size of this width and depth that differs in the fewest fields.

    Returns:
      Its name and its values of those fields; None when no size has this width and depth.
    """
    differing = {
        name: _differing(config, size)
        for name, size in SIZES.items()
        if (size.dim, size.num_layers) == (config.dim, config.num_layers)
    }
    if not differing:
        return None
    name = min(differing, key=lambda each: len(differing[each]))
    return name, differing[name]


def _differing(config: LlamaConfig, size: Size) -> dict[str, float]:
    fields = size._asdict()
    del fields["length"]
    return {field: value for field, value in fields.items() if getattr(config, field) != value}
