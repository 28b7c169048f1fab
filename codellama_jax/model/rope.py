"""Rotary position embedding (Su et al. 2021), half-split layout, angles in float32.

angle_i = position * base^(-2i / H). A table in bfloat16 would merge neighbouring positions: at
position 4,096 its steps are 16 wide.

Code Llama reaches long contexts by its base alone. The two other ways are here for comparison with
the paper's ablation: linear interpolation (Chen et al. 2023, arXiv 2306.15595) divides every
frequency by a factor; YaRN (Peng et al. 2023, arXiv 2309.00071, section 3) divides the low ones,
keeps the high ones, and sharpens the attention.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from codellama_jax.model.config import LlamaConfig, replace
from codellama_jax.parallel import mesh_platform

# YaRN's bounds for Llama, in turns over the original length (section 3.2): a frequency with fewer
# turns than `_SLOW` is divided, one with more than `_FAST` is kept, between them it is blended.
_SLOW, _FAST = 1.0, 32.0


class Rope(NamedTuple):
    """How fast each pair of dimensions turns.

    Attributes:
      frequencies: radians a position, float32 (H/2,).
      sharpening: sine and cosine are multiplied by it, float32 scalar.
    """

    frequencies: jax.Array | np.ndarray
    sharpening: jax.Array | np.ndarray


def split_rope(config: LlamaConfig) -> tuple[LlamaConfig, Rope]:
    """The configuration without its rotary settings, and what they say as arrays.

    A program that takes the arrays is compiled once for all bases.
    """
    fields = ("rope_base", "rope_scaling", "rope_factor", "rope_original_length")
    defaults = {field: getattr(LlamaConfig, field) for field in fields}
    return replace(config, **defaults), rope_of(config)


def rope_of(config: LlamaConfig) -> Rope:
    """The frequencies of the configuration's base and scaling."""
    frequencies, sharpening = _frequencies(config)
    return Rope(frequencies, np.float32(sharpening))


def _frequencies(config: LlamaConfig) -> tuple[np.ndarray, float]:
    size, base, factor = config.key_size, config.rope_base, config.rope_factor
    exponents = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    plain = (1.0 / np.float32(base) ** exponents).astype(np.float32)
    if config.rope_scaling == "none":
        return plain, 1.0
    if config.rope_scaling == "linear":
        return (plain / np.float32(factor)).astype(np.float32), 1.0

    def pair(turns: float) -> float:
        """The pair of dimensions, a fraction, that turns so often over the original length."""
        return (
            size
            * math.log(config.rope_original_length / (turns * 2 * math.pi))
            / (2 * math.log(base))
        )

    low = max(math.floor(pair(_FAST)), 0)
    high = min(math.ceil(pair(_SLOW)), size - 1)
    ramp = (np.arange(size // 2, dtype=np.float32) - low) / max(high - low, 0.001)
    kept = 1 - np.clip(ramp, 0, 1)
    blended = plain / np.float32(factor) * (1 - kept) + plain * kept
    return blended.astype(np.float32), 0.1 * math.log(factor) + 1.0


def rope_table(positions: jax.Array, rope: Rope) -> tuple[jax.Array, jax.Array]:
    """Sine and cosine, each float32 (B, S, H/2), of integer positions (B, S)."""
    angles = positions.astype(jnp.float32)[..., None] * rope.frequencies
    return jnp.sin(angles) * rope.sharpening, jnp.cos(angles) * rope.sharpening


@jax.custom_vjp
def apply_rope(x: jax.Array, table: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Turns x (B, S, heads, H) by its positions; computed in float32, returned in x's dtype.

    The table has no gradient.
    """
    turned = turned_whole if mesh_platform() == "tpu" else turned_in_halves
    return turned(x, *table)


def turned_in_halves(x: jax.Array, sine: jax.Array, cosine: jax.Array) -> jax.Array:
    """`apply_rope` of a table's sine and cosine (B, S, H/2)."""
    sine, cosine = sine[:, :, None, :], cosine[:, :, None, :]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def turned_whole(x: jax.Array, sine: jax.Array, cosine: jax.Array) -> jax.Array:
    """The same to the last bit, heads left whole: half a head is half of a TPU's lanes.

    A product with a permutation exchanges the halves, exactly, as each result is one term.
    """
    size = x.shape[-1]
    exchange = np.roll(np.eye(size), size // 2, axis=1)
    precision = "highest" if x.dtype == jnp.float32 else None  # float32 as a sum of bfloat16
    others = jnp.einsum("BSNH,HJ->BSNJ", x, exchange.astype(x.dtype), precision=precision)
    sine = jnp.concatenate((-sine, sine), axis=-1)[:, :, None, :]
    cosine = jnp.concatenate((cosine, cosine), axis=-1)[:, :, None, :]
    return (x.astype(jnp.float32) * cosine + others.astype(jnp.float32) * sine).astype(x.dtype)


def _forward(x, table):  # noqa: ANN001, ANN202
    return apply_rope(x, table), table


def _backward(table, gradient):  # noqa: ANN001, ANN202
    # A turn back: one pass over the gradient, where the derived program makes halves of its own.
    sine, cosine = table
    return apply_rope(gradient, (-sine, cosine)), None


apply_rope.defvjp(_forward, _backward)
