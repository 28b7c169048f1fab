"""Rotary position embedding (Su et al. 2021), half-split layout, angles in float32.

angle_i = position * base^(-2i / H). A table in bfloat16 would merge neighbouring positions: at
position 4,096 its steps are 16 wide.
"""

import jax
import jax.numpy as jnp


def rope_table(positions: jax.Array, head_dim: int, base: float) -> tuple[jax.Array, jax.Array]:
    """Sine and cosine, each float32 (B, S, H/2), of integer positions (B, S)."""
    exponents = jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim
    angles = positions.astype(jnp.float32)[..., None] * base**-exponents
    return jnp.sin(angles), jnp.cos(angles)


def apply_rope(x: jax.Array, table: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Turns x (B, S, heads, H) by its positions; computed in float32, returned in x's dtype."""
    sine, cosine = (t[:, :, None, :] for t in table)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)
