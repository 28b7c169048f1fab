"""The training step of every size, compiled by the real TPU compiler for a pod that is not here.

Needs libtpu (`pip install 'codellama-jax[tpu-aot]'`); half a minute to two minutes a size.
"""

import re

import helpers  # noqa: F401  (virtual devices)
import pytest

from codellama_jax.model import sized_config
from codellama_jax.parallel import make_mesh
from codellama_jax.planning.case import Case
from codellama_jax.planning.compile import Compiled, Programs
from codellama_jax.planning.topologies import topology
from codellama_jax.training import Phase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# Size, slice, mesh, rows and length of the batch; the lengths are no width of any size, so that a
# square of them is one of scores.
PODS = {
    "7b": ("code_llama_7b", "v5e-256", {"fsdp": 256}, (256, 6144)),
    "13b": ("code_llama_13b", "v5e-256", {"fsdp": 256}, (256, 6144)),
    "34b": ("code_llama_34b", "v5p-1024", {"fsdp": 512}, (512, 6144)),
    "70b": ("code_llama_70b", "v5p-1024", {"fsdp": 512}, (512, 6144)),
    "7b at 16,384 in context": (
        "code_llama_7b", "v5p-256", {"fsdp": 32, "context": 4}, (32, 16_384),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("size", "name", "mesh_sizes", "shape"), PODS.values(), ids=PODS)
def test_the_step_of_every_size_fits_a_pod(size, name, mesh_sizes, shape):
    pytest.importorskip("libtpu", reason="libtpu is not installed: pip install 'libtpu==0.0.42.*'")
    found, (rows, length) = topology(name), shape
    phase = Phase(
        name="code", mixture="code_llama", steps=1, batch_size=rows, sequence_length=length
    )
    mesh = make_mesh(devices=found.devices(), **mesh_sizes)
    case = Case(phase, sized_config(size, remat="full"), mesh, micro_batches=1)
    answer = case.compiled(Programs(None))
    assert isinstance(answer, Compiled), answer.message
    peak, room = answer.memory["peak"] / 2**30, found.generation.device_bytes / 2**30
    print(f"{size} on {name} {mesh_sizes}: peak {peak:.2f} of {room:.2f} GiB a device")
    assert "splash" in answer.text and "tpu_custom_call" in answer.text
    square = re.search(rf"(f32|bf16)\[[0-9,]*{length},{length}\]", answer.text)
    assert square is None, square
