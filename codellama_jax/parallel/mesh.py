"""The device mesh: axes data, fsdp, context, tensor."""

from collections.abc import Sequence

import gin
import jax
import numpy as np

from codellama_jax.errors import UserError

AXES = ("data", "fsdp", "context", "tensor")


@gin.configurable
def make_mesh(
    data: int = 1,
    fsdp: int = -1,
    context: int = 1,
    tensor: int = 1,
    devices: Sequence[jax.Device] | int | None = None,
) -> jax.sharding.Mesh | jax.sharding.AbstractMesh:
    """A mesh over all devices.

    Args:
      data: replicas of the model; the batch is split over data and fsdp.
      fsdp: shards of parameters and optimizer state; -1 takes the devices that remain.
      context: shards of the sequence.
      tensor: shards of heads, ffn and vocabulary.
      devices: the devices; None is all of them; a number gives an abstract mesh of so many, which
        computes nothing but says how arrays would be laid out, and 0 one of as many as the sizes
        ask for, -1 counting as 1.

    Raises:
      UserError: the axes do not multiply to the number of devices.
    """
    if devices is None:
        devices = jax.devices()
    count = devices if isinstance(devices, int) else len(devices)
    sizes = dict(zip(AXES, (data, fsdp, context, tensor)))
    named = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
    unknown = [axis for axis, size in sizes.items() if size == -1]
    if len(unknown) > 1 or any(size < 1 and size != -1 for size in sizes.values()):
        raise UserError(f"make_mesh({named}): sizes are positive, and one at most is -1")
    known = int(np.prod([size for size in sizes.values() if size != -1]))
    count = count or known
    if unknown and count % known == 0:
        sizes[unknown[0]] = count // known
    if int(np.prod(list(sizes.values()))) != count:
        raise UserError(
            f"make_mesh({named}) does not divide {count} devices: the product of the axes"
            " must be the number of devices (one axis may be -1)"
        )
    shape = tuple(sizes.values())
    types = (jax.sharding.AxisType.Auto,) * len(AXES)
    if isinstance(devices, int):
        return jax.sharding.AbstractMesh(shape, AXES, axis_types=types)
    if devices[0].platform == "cpu":
        grid = np.asarray(devices).reshape(shape)
    else:
        from jax.experimental import mesh_utils

        grid = mesh_utils.create_device_mesh(shape, devices=devices)
    return jax.sharding.Mesh(grid, AXES, axis_types=types)
