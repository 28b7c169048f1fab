"""Compiled training steps side by side, by one estimator, beside what was published.

    python benchmarks/plan_table.py [v5e:theirs.hlo v5p:other.hlo …] [--gin_bindings …]

Ours are Llama 2 7B at 4,096 x 4M tokens, fully sharded, compiled here: on 256 chips of v5e with
full remat, on 128 of v5p with the weight products saved. A file is what `compiled.as_text()` gives
for a program of any codebase, after the chip's name. PFLOP are of products and kernels. Takes some
minutes; compiled once, seconds.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from planned import arguments_of, start, step_on

# MaxText of 2026-08, compiled by the same compiler (libtpu 0.0.42) without further flags: chips and
# remat; peak GiB; TFLOP as the compiler counts them, loops once; seconds of what it states cycles
# for, by another estimator, which leaves out kernels and collectives alike.
MAXTEXT = {
    "v5e": ("256 v5e, full remat", 7.08, 37.99, 6.12),
    "v5p": ("128 v5p, minimal remat", 90.9, 65.65, 4.58),
}
OURS = {"v5e-256": "full", "v5p-256": "projections"}
RUN = """
include "configs/models/llama2_7b.gin"
LlamaConfig.attention = "splash"
LlamaConfig.attention_block = 1024
table/Phase.name = "table"
table/Phase.mixture = "code_llama"
table/Phase.steps = 1
table/Phase.batch_size = 1024
table/Phase.sequence_length = 4096
train.phases = [@table/Phase()]
"""
COLUMNS = ("program", "peak GiB", "counted TFLOP", "PFLOP", "TB moved", "GB sent", "matmul",
           "other", "compute s", "kernels", "exposed", "step s", "MFU")  # fmt: skip


def main() -> None:
    """Compiles ours, reads the others, prints the table."""
    parser = arguments_of(__doc__)
    parser.add_argument("programs", nargs="*", help="chip:file")
    parser.add_argument("--slices", nargs="*", default=list(OURS), help="of ours")
    more = "compile with the default options, too, which takes minutes more"
    parser.add_argument("--default_options", action="store_true", help=more)
    arguments = parser.parse_args()
    start()
    from codellama_jax.parallel import CHIPS
    from codellama_jax.planning.estimate import estimate
    from codellama_jax.writing import aligned

    chips = {chip.name: chip for chip in CHIPS if chip.torus}
    table, shown = [COLUMNS], {}
    for name in arguments.slices:
        for plain in (True, False) if arguments.default_options else (True,):
            row, chip, flops = _ours(name, plain, arguments.gin_bindings, arguments.cache)
            table.append(row)
            shown[chip] = flops
    for argument in arguments.programs:
        chip, _, path = argument.partition(":")
        found = estimate(Path(path).read_text(), chips[chip])
        table.append(_row(f"{chip} {Path(path).stem}", None, None, found, shown.get(chip)))
        for name in found.unpriced:
            print(f"{argument}: left out: {name}")
    for chip, (setting, peak, counted, compute) in MAXTEXT.items():
        if chip in shown or not shown:
            figures = {"peak GiB": f"{peak:.2f}", "counted TFLOP": f"{counted:.2f}",
                       "compute s": f"{compute:.2f}"}  # fmt: skip
            table.append((f"MaxText, {setting}", *(figures.get(name, "") for name in COLUMNS[1:])))
    print("\n".join(aligned(table)))


def _ours(
    name: str, plain: bool, bindings: Sequence[str], cache: str
) -> tuple[Sequence[str], str, float]:
    """Its row, its chip and the model's operations of a whole step.

    Args:
      name: of the slice.
      plain: compile without options, as MaxText's programs were.
      bindings: of gin.
      cache: folder.
    """
    from codellama_jax.planning.compile import Compiled, Programs
    from codellama_jax.planning.estimate import estimate

    settings = [RUN, f'LlamaConfig.remat = "{OURS[name]}"']
    if plain:
        settings.append("compiler_options.of_chip = {'v5e': {}, 'v5p': {}}")
    case, found = step_on(name, "table", [], [*settings, *bindings])
    answer = case.compiled(Programs(cache))
    if not isinstance(answer, Compiled):
        raise SystemExit(f"{name}, remat {case.config.remat}: {answer.message.splitlines()[0]}")
    tokens = case.phase.batch_size * case.phase.sequence_length
    flops = case.config.flops_per_token(case.phase.sequence_length) * tokens
    timed = estimate(answer.text, found.chip, found.wrap, found.slices)
    remat, options = case.config.remat, "no options" if plain else "the default options"
    label = f"ours, {found.chips} {found.chip.name}, {remat} remat, {options}"
    row = _row(label, answer.memory["peak"], answer.flops, timed, flops)
    return row, found.chip.name, flops


def _row(
    label: str, peak: float | None, counted: float | None, found: Any, model_flops: float | None
) -> tuple[str, ...]:
    """A program's figures; what is not known is a dash."""

    def cells() -> Iterator[str]:
        yield label
        yield f"{peak / 2**30:.2f}" if peak else "–"
        yield f"{counted / 1e12:.2f}" if counted else "–"
        yield f"{(found.flops + found.kernel_flops) / 1e15:.3f}"
        yield f"{found.bytes / 1e12:.2f}"
        yield f"{found.wire_bytes / 1e9:.1f}"
        for value in (found.matmul, found.other, found.compute, found.kernels, found.exposed,
                      found.seconds):  # fmt: skip
            yield f"{value:.2f}"
        yield f"{found.mfu(model_flops):.1%}" if model_flops else "–"

    return tuple(cells())


if __name__ == "__main__":
    main()
