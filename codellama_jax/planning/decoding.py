"""The engine's decoding on a slice: what it holds, reads and takes for each token.

A token reads all weights and the cache once; what a program moves beyond that is its own.
"""

import math
from collections.abc import Sequence
from typing import Any

import gin
import jax

from codellama_jax.generation import abstract_decode
from codellama_jax.model import CacheDtype, LlamaConfig
from codellama_jax.parallel import make_mesh
from codellama_jax.planning.compile import Compiled, Programs
from codellama_jax.planning.estimate import estimate
from codellama_jax.planning.prices import chip_price
from codellama_jax.planning.topologies import Topology
from codellama_jax.training.executables import identity


@gin.configurable
def planned_decoding(
    config: LlamaConfig,
    found: Topology,
    devices: Sequence[jax.Device],
    programs: Programs,
    slots: int = 16,
    length: int = 4096,
    steps: int = 16,
    cache_dtype: CacheDtype = "auto",
    tensor: int | None = None,
) -> dict[str, Any]:
    """Compiles the engine's decoding for a slice.

    Args:
      config: of the model.
      found: the slice.
      devices: its devices.
      programs: compiles.
      slots: requests at once for each copy of the weights.
      length: of the cache, tokens of each.
      steps: tokens that a call of the program generates, as Engine.chunk_steps.
      cache_dtype: as Engine.cache_dtype.
      tensor: devices that share a copy of the weights; None takes as many as heads, ffn and
        vocabulary divide over. The others hold copies, with requests of their own.

    Returns:
      Its settings and, where it fits, bytes and seconds of a step, one token for each request.

    Raises:
      UserError: a mesh that does not divide.
    """
    widths = (config.num_kv_heads, config.ffn_dim, config.vocab_size, len(devices))
    tensor = tensor or math.gcd(*widths)
    mesh = make_mesh(
        data=len(devices) // tensor, fsdp=1, context=1, tensor=tensor, devices=devices
    )  # fmt: skip
    rows = slots * mesh.shape["data"]
    with jax.set_mesh(mesh):
        abstract = abstract_decode(config, mesh, rows, length, steps, cache_dtype)
        lowered = abstract.program.lower(*abstract.arguments)
    params, _, state, *_ = abstract.arguments
    needed = {"parameters": _on_one(params), "cache": _on_one(state.cache)}
    answer = programs.compiled(lowered, identity(lowered, mesh), "decoding")
    result = {
        "mesh": dict(mesh.shape),
        "slots": rows,
        "length": length,
        "steps": steps,
        "needed": needed,
        "device_bytes": found.generation.device_bytes,
        "compile_seconds": answer.seconds,
        "host_memory": answer.host_memory,
        "cached": answer.cached,
        "fits": isinstance(answer, Compiled),
    }
    if isinstance(answer, Compiled):
        return result | {"memory": dict(answer.memory), **_speed(answer, found, result)}
    return result | {"message": " ".join(answer.message.split("\n", 1)[0].split())}


def _speed(answer: Compiled, found: Topology, planned: dict[str, Any]) -> dict[str, Any]:
    """Of one step: a call's share, writing the new tokens behind the old ones included."""
    steps = planned["steps"]
    timed = estimate(answer.text, found.chip, found.wrap, found.slices, turns=steps)
    moved = timed.bytes / steps
    reading = moved / (found.chip.memory_bandwidth / found.chip.devices)
    seconds = max(timed.seconds / steps, reading)
    rate = planned["slots"] / seconds
    price = chip_price(found.chip.name)
    return {
        "bytes_moved": moved,
        "of_needed": moved / sum(planned["needed"].values()),
        "wire_bytes": timed.wire_bytes / steps,
        "reading_seconds": reading,
        "estimated_seconds": timed.seconds / steps,
        "waiting_seconds": timed.exposed / steps,
        "step_seconds": seconds,
        "tokens_per_second": rate,
        "dollars_per_million_tokens": price and 1e6 / rate / 3600 * found.chips * price.dollars,
        "unpriced": list(timed.unpriced),
    }


def _on_one(arrays: Any) -> int:
    """Bytes that one device holds."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(arrays)
    )
