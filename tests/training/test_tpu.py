"""The training step of every size, compiled by the real TPU compiler for a pod that is not here.

Needs libtpu (`pip install 'codellama-jax[tpu-aot]'`); half a minute to two minutes a size.
"""

import os
import re

os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")

import helpers  # noqa: F401  (virtual devices)
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codellama_jax.model import param_axes, sized_config
from codellama_jax.parallel import make_mesh, named_sharding
from codellama_jax.training.guard import Guard
from codellama_jax.training.optimizer import make_optimizer
from codellama_jax.training.state import abstract_state
from codellama_jax.training.step import make_train_step

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# Size, topology, memory of a chip in GiB, mesh, rows and length of the batch; the lengths are no
# width of any size, so that a square of them is one of scores.
PODS = {
    "7b": ("code_llama_7b", "v5e:16x16", 15.75, {"fsdp": 256}, (256, 6144)),
    "13b": ("code_llama_13b", "v5e:16x16", 15.75, {"fsdp": 256}, (256, 6144)),
    "34b": ("code_llama_34b", "v5p:8x8x8", 95.7, {"fsdp": 512}, (512, 6144)),
    "70b": ("code_llama_70b", "v5p:8x8x8", 95.7, {"fsdp": 512}, (512, 6144)),
    "7b at 16,384 in context": (
        "code_llama_7b", "v5p:4x4x8", 95.7, {"fsdp": 32, "context": 4}, (32, 16_384),
    ),
}  # fmt: skip


def compile_step(size, topology, mesh_sizes, shape):
    """The compiled step of a published size."""
    pytest.importorskip("libtpu", reason="libtpu is not installed: pip install 'libtpu==0.0.42.*'")
    from jax.experimental import topologies

    described = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    mesh = make_mesh(devices=described.devices, **mesh_sizes)
    config = sized_config(size, remat="full")
    axes = ("batch", "sequence")
    layout = named_sharding(mesh, shape, axes, "batch")
    rows = jax.ShapeDtypeStruct(shape, jnp.int32, sharding=layout)
    weights = jax.ShapeDtypeStruct(shape, jnp.float32, sharding=layout)
    task = jax.ShapeDtypeStruct(
        shape[:1], jnp.int32, sharding=named_sharding(mesh, shape[:1], axes[:1], "batch")
    )
    names = ("inputs", "targets", "positions", "segment_ids")
    batch = {**dict.fromkeys(names, rows), "weights": weights, "task": task}
    optimizer, guard = make_optimizer(param_axes(config)), Guard()
    state = abstract_state(config, optimizer, mesh, guard)
    byte_lengths = np.ones(config.vocab_size, np.int32)
    step = make_train_step(config, optimizer, mesh, guard, byte_lengths)
    rate = jax.ShapeDtypeStruct((), jnp.float32)
    with jax.set_mesh(
        mesh
    ):  # for tracing alone: nothing can be computed on chips that are not here
        return step.lower(state, batch, rate).compile()


@pytest.mark.parametrize(
    ("size", "topology", "room", "mesh_sizes", "shape"), PODS.values(), ids=PODS
)
def test_the_step_of_every_size_fits_a_pod(size, topology, room, mesh_sizes, shape):
    compiled = compile_step(size, topology, mesh_sizes, shape)
    peak = compiled.memory_analysis().peak_memory_in_bytes / 2**30
    print(f"{size} on {topology} {mesh_sizes}: peak {peak:.2f} of {room} GiB a chip")
    assert peak < room
    text = compiled.as_text()
    assert "splash" in text and "tpu_custom_call" in text
    length = shape[1]
    square = re.search(rf"(f32|bf16)\[[0-9,]*{length},{length}\]", text)
    assert square is None, square
