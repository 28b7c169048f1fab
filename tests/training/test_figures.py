import helpers  # noqa: F401  (virtual devices)
import jax
import pytest

from codellama_jax.training import Phase
from codellama_jax.training.figures import memory, speed, terminal_line


def test_utilisation_of_known_chips_counts_chips_not_devices():
    figures = speed(1e6, 42e9, devices=64, device_kind="TPU7x")
    assert figures["tokens_per_second_per_chip"] == 1e6 / 32
    assert figures["model_flops_per_second"] == 42e15
    assert figures["mfu"] == pytest.approx(42e15 / (32 * 2307e12))
    assert speed(692 * 64, 0.654 * 459e12 / 692, 64, "TPU v5")["mfu"] == pytest.approx(0.654)


def test_utilisation_of_an_unknown_device_is_left_out():
    figures = speed(100.0, 5.0, devices=2, device_kind="cpu")
    assert figures == {
        "tokens_per_second": 100.0,
        "tokens_per_second_per_chip": 50.0,
        "model_flops_per_second": 500.0,
    }


def test_memory_of_a_cpu_is_the_hosts_alone():
    assert jax.local_devices()[0].memory_stats() is None
    figures = memory()
    assert list(figures) == ["host_bytes"] and 10**7 < figures["host_bytes"] < 10**11


def test_the_line():
    phase = Phase("code", "code_llama", 300)
    record = {"loss": 1.23456, "data_wait": 0.012, "checkpoint_stall": 0.0, "goodput": 0.5}
    record.update(speed(4321.0, 1e6, 1, "cpu"))
    assert terminal_line(phase, 25, record, 65.0) == (
        "code          25/300  loss 1.2346  4.32k tok/s  4.3 GFLOP/s  wait  1.2%"
        "  goodput 50.0%  ETA 1:05"
    )


def test_the_line_of_a_pod_fits_a_terminal():
    phase = Phase("long_context", "code_llama", 500_000)
    record = {"loss": 12.3456, "bits_per_byte": 1.234, "data_wait": 0.999, "goodput": 0.999}
    record.update(speed(9.996e6, 42e9, 8192, "TPU v5 lite"), checkpoint_stall=0.111)
    line = terminal_line(phase, 499_999, record, 40 * 86400)
    assert len(line) <= 141 and "10.0M tok/s 1.22k/chip  MFU 26.0%" in line
    assert line.endswith("wait 99.9%  save 11.1%  goodput 99.9%  ETA 960:00:00")
