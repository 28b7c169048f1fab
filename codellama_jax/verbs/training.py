"""Verbs that train, or say what training takes."""

from typing import Any

from codellama_jax.verbs.adding import Adder, Arguments, configure, given


def add(verb: Adder) -> None:
    """Adds them to the command line."""
    added = verb(
        "train",
        _train,
        "train the phases of a run",
        "Continues where an earlier start was interrupted.",
    )
    added.add_argument(
        "--dry_run",
        action="store_true",
        help="print the graph of phases and check every file, without touching a device; exit code"
        " 2 when something would stop the run",
    )
    added.add_argument(
        "--devices",
        type=int,
        metavar="N",
        help="of a dry run's mesh; as many as make_mesh's sizes ask for unless given",
    )
    added = verb(
        "plan",
        _plan,
        "compile a run for TPUs that are not here: what fits, how fast, what it costs",
        "By the TPU's own compiler (codellama-jax[tpu-aot]), from shapes alone: no data, no"
        " weights, no chips. A program is compiled once, half a minute to two; asked again it is at"
        " hand.",
    )
    added.add_argument(
        "--topology", dest="topology_name", metavar="NAME", help="v5e-256, v5p-128, 2xv5e-256, …"
    )
    added.add_argument(
        "--phases", nargs="+", metavar="NAME", help="those to plan; all unless given"
    )
    added.add_argument(
        "--search",
        action="store_true",
        help="look for the best batch a chip, remat policy and mesh",
    )
    added.add_argument(
        "--decode", action="store_true", help="compile the engine's decoding of the model, too"
    )
    added.add_argument(
        "--scaling",
        nargs="+",
        type=int,
        metavar="CHIPS",
        help="sizes to compile the first phase for",
    )
    added.add_argument(
        "--executables", metavar="FOLDER", help="leave programs for the trainer there"
    )
    added.add_argument("--html", metavar="PATH", help="write a page with plots there")
    verb(
        "sweep",
        _sweep,
        "train many runs of one configuration, each with other settings, and compare them",
        "Continues where it was; the same command on another machine with sweep.storage helps.",
    )


def _train(arguments: Arguments) -> Any:
    from codellama_jax.parallel import start_devices, tune_host

    if not arguments.dry_run:
        tune_host()
    from codellama_jax import training

    configure(arguments)
    if arguments.dry_run:  # a pod's chips are left to whoever uses them
        start_devices(platform="cpu", cpu_devices=None, compilation_cache=None)
        return training.train(dry_run=True, devices=arguments.devices)
    start_devices()
    return training.train()


def _plan(arguments: Arguments) -> Any:
    from codellama_jax.planning.topologies import start_compiler

    start_compiler()
    from codellama_jax import planning

    configure(arguments)
    return planning.plan(**given(arguments, "topology_name", "phases", "scaling", "executables"),
                         searching=arguments.search, decoding=arguments.decode,
                         **given(arguments, "html"))  # fmt: skip


def _sweep(arguments: Arguments) -> Any:
    from codellama_jax import sweeps

    configure(arguments)
    return sweeps.sweep()
