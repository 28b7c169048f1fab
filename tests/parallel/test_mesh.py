import helpers  # noqa: F401  (eight virtual devices)
import jax
import pytest

from codellama_jax.errors import UserError
from codellama_jax.parallel import AXES, make_mesh


def test_sizes_and_order_of_the_axes():
    mesh = make_mesh(data=1, fsdp=2, context=2, tensor=2)
    assert tuple(mesh.shape.items()) == (("data", 1), ("fsdp", 2), ("context", 2), ("tensor", 2))
    assert mesh.axis_names == AXES
    assert sorted(d.id for d in mesh.devices.flat) == sorted(d.id for d in jax.devices())


@pytest.mark.parametrize("axis", AXES)
def test_one_axis_takes_what_remains(axis):
    others = {other: 1 for other in AXES if other != axis}
    others[next(iter(others))] = 2
    assert make_mesh(**others, **{axis: -1}).shape[axis] == 4


def test_default_is_fsdp_over_all_devices():
    assert make_mesh().shape["fsdp"] == 8


def test_some_devices():
    mesh = make_mesh(fsdp=2, devices=jax.devices()[4:6])
    assert list(mesh.devices.flat) == jax.devices()[4:6]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"fsdp": 3}, r"data=1, fsdp=3, context=1, tensor=1\) does not divide 8 devices: the prod"),
        ({"fsdp": 4}, r"fsdp=4, .* product of the axes must be the number of devices"),
        ({"data": 16, "fsdp": 1}, r"data=16, .*does not divide 8 devices"),
        ({"tensor": 3}, r"fsdp=-1, context=1, tensor=3\) does not divide 8 devices"),
        ({"tensor": 16}, r"tensor=16\) does not divide 8 devices"),
        ({"data": -1}, r"data=-1, fsdp=-1, .*one at most is -1"),
        ({"context": 0}, r"context=0, .*sizes are positive"),
        ({"tensor": -2}, r"tensor=-2.*sizes are positive"),
    ],
)
def test_errors_name_the_product(sizes, message):
    with pytest.raises(UserError, match=message):
        make_mesh(**sizes)
