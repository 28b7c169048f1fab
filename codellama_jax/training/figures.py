"""What a phase's progress is measured by, and the line that tells it; docs/figures.md has all."""

from collections.abc import Mapping
from typing import Any

import jax
import psutil

from codellama_jax.parallel import chip_of
from codellama_jax.training.phase import Phase


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def speed(
    tokens_per_second: float, flops_per_token: float, devices: int, device_kind: str
) -> dict[str, float]:
    """Tokens and model FLOP/s, in all and by chip.

    Args:
      tokens_per_second: positions of all devices together.
      flops_per_token: of the model, forward and backward.
      devices: JAX devices that share the work.
      device_kind: of each.

    Returns:
      tokens_per_second, tokens_per_second_per_chip, model_flops_per_second and, for chips whose
      peak is known, mfu. Of other devices each one counts as a chip.
    """
    chip = chip_of(device_kind)
    chips = devices / (chip.devices if chip else 1)
    flops = tokens_per_second * flops_per_token
    figures = {
        "tokens_per_second": tokens_per_second,
        "tokens_per_second_per_chip": tokens_per_second / chips,
        "model_flops_per_second": flops,
    }
    return {**figures, "mfu": flops / (chips * chip.bf16_flops)} if chip else figures


def memory() -> dict[str, int]:
    """Bytes that this process holds, and of its devices the fullest one; CPUs do not tell theirs.

    Returns:
      host_bytes and, where known, device_bytes and device_peak_bytes.
    """
    figures = {"host_bytes": psutil.Process().memory_info().rss}
    told = [stats for device in jax.local_devices() if (stats := device.memory_stats())]
    for name, key in (("device_bytes", "bytes_in_use"), ("device_peak_bytes", "peak_bytes_in_use")):
        if values := [stats[key] for stats in told if key in stats]:
            figures[name] = max(values)
    return figures


def terminal_line(phase: Phase, step: int, record: Mapping[str, Any], seconds_left: float) -> str:
    """One line of a phase's progress, for a person.

    Args:
      phase: the phase.
      step: the last one done.
      record: its metrics and figures.
      seconds_left: until the phase's last step.
    """
    rate, by_chip = record["tokens_per_second"], record["tokens_per_second_per_chip"]
    parts = [f"{phase.name:<12} {step:>{len(str(phase.steps))}}/{phase.steps}"]
    parts.append(f"loss {record['loss']:.4f}")
    if "bits_per_byte" in record:
        parts.append(f"bpb {record['bits_per_byte']:.3f}")
    parts.append(
        f"{_short(rate):>5} tok/s" + (f" {_short(by_chip)}/chip" if by_chip < rate else "")
    )
    if "mfu" in record:
        parts.append(f"MFU {record['mfu']:.1%}")
    else:
        parts.append(f"{record['model_flops_per_second'] / 1e9:.1f} GFLOP/s")
    parts.append(f"wait {record['data_wait']:>5.1%}")
    if record["checkpoint_stall"]:
        parts.append(f"save {record['checkpoint_stall']:.1%}")
    parts.append(f"goodput {record['goodput']:.1%}")
    return "  ".join([*parts, f"ETA {clock(seconds_left)}"])


def _short(value: float) -> str:
    """A number in four characters or five: 987, 4.32k, 12.3k, 1.23M."""
    for unit in ("", "k", "M", "G"):
        if value < 999.5 or unit == "G":
            break
        value /= 1000
    return f"{value:#.3g}".rstrip(".") + unit
