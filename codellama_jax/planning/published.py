"""Measurements that others published, for estimates to be held against."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from codellama_jax.model import LlamaConfig
from codellama_jax.model.sizes import SIZES
from codellama_jax.planning.topologies import Topology


class Published(NamedTuple):
    """A step that somebody ran and timed.

    Attributes:
      who: and when.
      size: of the model, in model/sizes.py.
      chip, chips: in parallel/chips.py, and how many.
      mfu: by their count of the model's operations, which takes attention whole.
      rate: tokens a second of a chip, where it was published.
      source: where.
    """

    who: str
    size: str
    chip: str
    chips: int
    mfu: float
    rate: float | None
    source: str


_MAXTEXT = "https://github.com/AI-Hypercomputer/maxtext, README: TPU v4, v5e and v5p performance"
PUBLISHED = (
    Published("MaxText", "llama2_70b", "v4", 64, 0.57, None, _MAXTEXT),
    Published("MaxText", "llama2_70b", "v5e", 256, 0.57, None, _MAXTEXT),
    Published("MaxText", "llama2_70b", "v5p", 64, 0.654, 692.0, _MAXTEXT),
)


def published_for(config: LlamaConfig, found: Topology) -> Published | None:
    """The measurement of a model of this shape on a slice of as many of these chips."""
    for each in PUBLISHED:
        size = SIZES[each.size]
        shape = (size.dim, size.num_layers, size.num_kv_heads, size.ffn_dim)
        ours = (config.dim, config.num_layers, config.num_kv_heads, config.ffn_dim)
        if (shape, each.chip, each.chips) == (ours, found.chip.name, found.chips):
            return each
    return None


def deviation(config: LlamaConfig, found: Topology, figures: Mapping[str, Any]) -> dict[str, Any]:
    """{"published": …} beside an estimate: tokens a second where they are known, else MFU.

    Args:
      config: of the model.
      found: the slice.
      figures: of `figures_of`.
    """
    each = published_for(config, found)
    if each is None:
        return {}
    theirs, ours = (
        (each.rate, figures["tokens_per_second_per_chip"])
        if each.rate
        else (each.mfu, figures["mfu"])
    )
    return {"published": {**each._asdict(), "deviation": ours / theirs - 1}}
