"""What a token costs at 16k, 32k and 100k positions beside 4k, on slices that are not here.

    python benchmarks/long_context_plan.py [--sizes 7b 34b] [--lengths 16384 32768 102400]

For each length the planner's search looks for a mesh of the slice that holds about 2 M tokens a
step; 4k is the shipped code phase. Everything is compiled for TPU, a minute or two for each
program; what was compiled before takes seconds.
"""

from typing import Any

from planned import arguments_of, start, step_on

SLICES = {"7b": "v5e-256", "34b": "v5p-1024"}
TOKENS = 2**21


def main() -> None:
    """Searches for each and prints the table."""
    parser = arguments_of(__doc__)
    parser.add_argument("--sizes", nargs="+", default=list(SLICES), choices=list(SLICES))
    parser.add_argument("--lengths", nargs="+", type=int, default=[16_384, 32_768, 102_400])
    parser.add_argument("--compiles", type=int, default=2, help="programs for each length")
    arguments = parser.parse_args()
    start()
    from codellama_jax.writing import aligned

    table = [("size, slice", "length", "rows", "mesh", "remat", "peak GiB", "step s",
              "µs a token of a chip", "against 4k", "compiled in", "host GiB")]  # fmt: skip
    for size in arguments.sizes:
        base = None
        for length in (4096, *arguments.lengths):
            row = _planned(size, length, arguments)
            chips, tokens = row["chips"], row["batch_size"] * length
            cost = row["step_seconds"] * chips / tokens * 1e6
            base = base or cost
            mesh = " × ".join(f"{axis} {n}" for axis, n in row["mesh"].items() if n > 1)
            table.append(
                (
                    f"{size}, {SLICES[size]}",
                    f"{length:,}",
                    f"{row['batch_size']:,}",
                    mesh,
                    row["remat"],
                    f"{row['memory']['peak'] / 2**30:.1f}",
                    f"{row['step_seconds']:.2f}",
                    f"{cost:,.0f}",
                    f"{cost / base:.2f}",
                    f"{row['compile_seconds']:.0f} s",
                    f"{row['host_memory'] / 2**30:.1f}",
                )
            )
            print("\n".join(aligned(table)), flush=True)


def _planned(size: str, length: int, arguments: Any) -> dict[str, Any]:
    """The best that a search finds for a length; the shipped phase itself at 4,096."""
    import gin

    from codellama_jax.planning.compile import Programs
    from codellama_jax.planning.plan import planned_phase
    from codellama_jax.planning.search import search

    name = "code" if length == 4096 else "long_context"
    rows = 1 << (TOKENS // length).bit_length() - 1  # a power of two, as the meshes are
    bindings = [] if length == 4096 else [
        f"{name}/Phase.sequence_length = {length}",
        f"{name}/Phase.batch_size = {rows}",
        f"{name}/search.compiles = {arguments.compiles}",
        f"{name}/search.attention_blocks = ()",
        f"{name}/search.tensors = (1, 2)",
    ]  # fmt: skip
    run = f"configs/runs/code_llama_{size}.gin"
    case, found = step_on(SLICES[size], name, [run], [*bindings, *arguments.gin_bindings])
    programs = Programs(arguments.cache)
    with gin.config_scope(name):
        if length != 4096:
            case, _ = search(case, found, found.devices(), programs)
        planned = planned_phase(case, found, programs)
    if not planned["fits"]:
        raise SystemExit(f"{size} at {length}: {planned['out_of_memory']['message']}")
    return planned | {"chips": found.chips}


if __name__ == "__main__":
    main()
