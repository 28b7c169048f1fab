"""The planner's estimates beside measurements that others published.

    python benchmarks/published.py [--slices v5p-128 …] [--gin_bindings …]

Llama 2 70B as MaxText trains it, by its configurations of 2024 (batches, lengths, compiler
options), compiled here. What MaxText keeps of a layer for the backward pass is not what any policy
of ours keeps; the nearest that fits stands for it. Its MFU counts attention whole, ours half of it,
as the mask leaves half: tokens a second are compared where they were published. Takes minutes;
compiled once, seconds.
"""

import dataclasses

from planned import arguments_of, start, step_on

# Compiler options of its configurations for v5e and v5p, and those that v5p's have beside them.
OPTIONS = dict.fromkeys(
    (
        "xla_tpu_enable_data_parallel_all_reduce_opt",
        "xla_tpu_data_parallel_opt_different_sized_ops",
        "xla_tpu_enable_async_collective_fusion",
        "xla_tpu_enable_async_collective_fusion_fuse_all_gather",
        "xla_tpu_enable_async_collective_fusion_multiple_steps",
        "xla_tpu_overlap_compute_collective_tc",
        "xla_enable_async_all_gather",
    ),
    "true",
)
OPTIONS_V5P = OPTIONS | {
    "xla_tpu_megacore_fusion_allow_ags": "false",
    "xla_enable_async_collective_permute": "true",
    "xla_tpu_enable_ag_backward_pipelining": "true",
}
# Rows a chip, length, remat policy. v4's configuration was not published: as v5e's.
SETTINGS = {
    "v4-128": (2, 2048, "full", {"xla_enable_async_all_gather": "true"}),
    "v5e-256": (2, 2048, "full", OPTIONS),
    "v5p-128": (4, 4096, "full", OPTIONS_V5P),
}
RUN = """
include "configs/models/llama2_70b.gin"
LlamaConfig.attention = "splash"
published/Phase.name = "published"
published/Phase.mixture = "code_llama"
published/Phase.steps = 30
train.phases = [@published/Phase()]
"""


def main() -> None:
    """Plans each and prints the table."""
    parser = arguments_of(__doc__)
    parser.add_argument("--slices", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    arguments = parser.parse_args()
    start()
    import gin

    from codellama_jax.planning.compile import Programs
    from codellama_jax.planning.plan import planned_phase
    from codellama_jax.planning.topologies import topology
    from codellama_jax.writing import aligned

    table = [("slice", "rows × length", "remat", "peak GiB", "compiled", "published MFU", "here",
              "published tokens/s a chip", "here", "deviation")]  # fmt: skip
    for name in arguments.slices:
        rows, length, remat, options = SETTINGS[name]
        settings = (
            f"published/Phase.batch_size = {rows * topology(name).chips}",
            f"published/Phase.sequence_length = {length}",
            f'LlamaConfig.remat = "{remat}"',
        )
        case, found = step_on(name, "published", [], [RUN, *settings, *arguments.gin_bindings])
        case = dataclasses.replace(case, options=options)
        with gin.config_scope("published"):
            planned = planned_phase(case, found, Programs(arguments.cache))
        setting = f"{planned['batch_size']:,} × {length:,}", planned["remat"]
        if not planned["fits"]:
            table.append((name, *setting, planned["out_of_memory"]["message"]))
            continue
        theirs = planned["published"]
        table.append(
            (
                name,
                *setting,
                f"{planned['memory']['peak'] / 2**30:.1f}",
                f"{planned['compile_seconds']:.0f} s",
                f"{theirs['mfu']:.1%}",
                f"{planned['mfu']:.1%}",
                f"{theirs['rate']:,.0f}" if theirs["rate"] else "–",
                f"{planned['tokens_per_second_per_chip']:,.0f}",
                f"{theirs['deviation']:+.1%}",
            )
        )
    print("\n".join(aligned(table, labels=3)))


if __name__ == "__main__":
    main()
