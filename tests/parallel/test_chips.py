import helpers  # noqa: F401  (virtual devices)
import jax
import pytest

from codellama_jax.parallel import CHIPS, chip_of


@pytest.mark.parametrize(
    ("kind", "name", "flops_of_a_device"),
    [
        ("TPU v4", "v4", 275e12),
        ("TPU v5 lite", "v5e", 197e12),
        ("TPU v5", "v5p", 459e12),
        ("TPU v6 lite", "v6e", 918e12),
        ("TPU7x", "7x", 1153.5e12),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB", 312e12),
        ("NVIDIA H100 80GB HBM3", "H100-SXM", 989.4e12),
    ],
)
def test_a_device_kind_leads_to_its_chip(kind, name, flops_of_a_device):
    chip = chip_of(kind)
    assert chip.name == name and chip.bf16_flops / chip.devices == flops_of_a_device


def test_no_name_and_no_kind_stands_twice():
    kinds = [kind for chip in CHIPS for kind in chip.device_kinds]
    assert len({chip.name for chip in CHIPS}) == len(CHIPS) and len(set(kinds)) == len(kinds)


def test_a_cpu_is_no_chip():
    assert chip_of(jax.devices()[0].device_kind) is None


def test_tpus_agree_with_what_jax_knows_of_them():
    """JAX rounds to three digits, and counts by core."""
    tpu_info = pytest.importorskip("jax._src.pallas.mosaic.tpu_info")
    for chip in CHIPS:
        version = tpu_info.chip_version_from_device_kind(chip.device_kinds[0])
        if version is None:
            continue
        info = tpu_info._get_tpu_info_impl(version, 1)
        cores = version.num_physical_tensor_cores_per_chip
        assert chip.bf16_flops == pytest.approx(info.bf16_ops_per_second * cores, rel=0.01)
        assert chip.memory_bytes == pytest.approx(info.hbm_capacity_bytes * cores, rel=0.02)
        assert chip.torus.vector_memory == info.vmem_capacity_bytes
