"""What must happen before JAX sees its devices."""

import os
import sys
from pathlib import Path

import gin

from codellama_jax.errors import UserError

# How a launcher tells a process its place; JAX itself reads the first.
COORDINATOR, PROCESSES, PROCESS = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"

_INSTALLED_IN = "^.*/(?=codellama_jax/|jax/)"


@gin.configurable
def start_devices(
    platform: str | None = None,
    cpu_devices: int | None = None,
    compilation_cache: str | None = None,
    hosts: str = "auto",
    heartbeat_seconds: int = 30,
    connect_seconds: int = 300,
) -> None:
    """Chooses the platform and joins the other hosts; called before the first JAX operation.

    Args:
      platform: "cpu", "tpu" or "gpu"; None lets JAX choose.
      cpu_devices: virtual devices that share this machine's cores, to run sharded programs on it;
        None is one.
      compilation_cache: directory of compiled programs, kept between runs; a resumed run and
        phases that share a program compile nothing. None keeps nothing.
      hosts: "auto" joins the other processes of the job where there are any: those that a launcher
        names in JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or those of a TPU
        pod or a Slurm, Kubernetes or MPI job, which JAX finds by itself. "one" stays alone.
      heartbeat_seconds: a host that was silent for so long counts as lost, and the others end.
      connect_seconds: the hosts wait so long for each other at the start.

    Raises:
      UserError: the other hosts cannot be found or reached.
    """
    import jax

    if hosts not in ("auto", "one"):
        raise UserError(f"start_devices.hosts = {hosts!r}: choose 'auto' or 'one'")
    # Kernels hold the places of their source. By absolute paths a program would be another one
    # where code or environment lie elsewhere, and what was compiled ahead of time of no use.
    jax.config.update("jax_hlo_source_file_canonicalization_regex", _INSTALLED_IN)
    if platform:
        jax.config.update("jax_platforms", platform)
    if cpu_devices:
        jax.config.update("jax_num_cpu_devices", cpu_devices)
        # Virtual devices share one thread pool. With several steps under way, collectives of
        # different steps can take all of its threads and wait for each other for ever.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
    if compilation_cache:
        jax.config.update("jax_compilation_cache_dir", str(Path(compilation_cache).absolute()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    if hosts == "auto":
        _join_hosts(platform, heartbeat_seconds, connect_seconds)


def _join_hosts(platform: str | None, heartbeat_seconds: int, connect_seconds: int) -> None:
    import jax

    # It would take SIGTERM for itself; training/preemption.py listens to it.
    jax.config.update("jax_enable_preemption_service", False)
    limits = {
        "heartbeat_timeout_seconds": heartbeat_seconds,
        "initialization_timeout": connect_seconds,
        "shutdown_timeout_seconds": heartbeat_seconds,
    }
    if COORDINATOR in os.environ:
        try:
            count, place = (int(os.environ[name]) for name in (PROCESSES, PROCESS))
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{COORDINATOR} is set, so {PROCESSES} and {PROCESS} must be numbers too: {error}"
            ) from error
        try:
            jax.distributed.initialize(num_processes=count, process_id=place, **limits)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"process {place} of {count} cannot join the others at"
                f" {os.environ[COORDINATOR]}: {reason}"
            ) from error
    elif platform != "cpu":
        try:
            jax.distributed.initialize(**limits)
        except ValueError:  # what JAX raises where it finds no cluster
            return


def tune_host() -> None:
    """Restarts this program once with huge pages in malloc, which glibc reads at start-up only.

    On CPUs XLA maps its larger results anew every step; with 4 KiB pages the page faults cost as
    much as the arithmetic (measured on 2 cores, 2M parameters: 2,600 against 6,400 tokens/s).
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.platform != "linux" or "GLIBC_TUNABLES" in os.environ:
        return
    os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    sys.stdout.flush()
    os.execv(sys.executable, sys.orig_argv)
