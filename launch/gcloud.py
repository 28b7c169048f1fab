"""Plain gcloud: TPU slices as a queued resource, asked for again when they are taken away."""

import argparse
import shlex
import time

from codellama_jax.errors import UserError
from launch import bucket
from launch.checks import check_bucket, check_project, check_zone, check_zone_name
from launch.claims import claim, release
from launch.job import Job, bucket_job
from launch.shell import Shell
from launch.slices import slices_of

RUN_DIR = "gs://BUCKET/runs/NAME"
NEEDED = ("topology", "project", "zone")
_QUEUED = ("gcloud", "compute", "tpus", "queued-resources")
_LOST = {"FAILED", "SUSPENDING", "SUSPENDED", "DELETING"}  # spot slices end as SUSPENDED


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Its own flags."""
    parser.add_argument("--topology", help="TPU slices: v5e-256, or 2xv5p-512 for two")
    parser.add_argument("--project", help="of Google Cloud")
    parser.add_argument("--zone", help="of Google Cloud")
    parser.add_argument("--spot", action="store_true", help="cheaper, and may be taken away")
    parser.add_argument("--poll_seconds", type=float, help="between two looks at it; 30")


def job_of(arguments: argparse.Namespace) -> Job:
    """The run."""
    return bucket_job(arguments.run_dir, arguments.gin_file, arguments.gin_bindings)


def start(job: Job, arguments: argparse.Namespace, shell: Shell) -> int:
    """Asks for the slices, starts the run on them, watches it, and gives them back at its end."""
    slices = slices_of(arguments.topology)
    if slices.system is None:
        raise UserError(f"--topology={arguments.topology}: such slices are had through GKE: xpk")
    shell.say("checks")
    check_zone_name(arguments.zone)
    check_project(arguments.project, shell)
    check_zone(arguments.zone, arguments.project, slices.accelerator, shell)
    check_bucket(job.bucket, shell)
    claim(job, "gcloud", f"{arguments.project}/{arguments.zone}", shell)
    for _ in range(arguments.restarts + 1):
        state = _state(job, arguments, shell)
        if state in _LOST:
            shell.say(f"{job.name} is {state}: asking for it again")
            _delete(job, arguments, shell)
            state = None
        if state is None:
            bucket.forget_end(job, shell)
            _create(job, arguments, shell)
        if _is_had(job, arguments, shell):
            if bucket.end_of(job, shell) is None:
                _begin(job, arguments, shell)
            code = _watch(job, arguments, shell)
            if code is not None:
                shell.say("at its end" if shell.dry else f"ended with code {code}; slices go back")
                if not shell.dry:  # other hosts may be closing their last files
                    time.sleep(arguments.poll_seconds)
                _delete(job, arguments, shell)
                return code
    raise UserError(
        f"{job.name} was lost {arguments.restarts + 1} times: the same command continues it, and"
        " --restarts allows more"
    )


def logs(job: Job, arguments: argparse.Namespace, shell: Shell) -> int:
    """Brings every host's output here."""
    return bucket.fetch_logs(job, shell)


def stop(job: Job, arguments: argparse.Namespace, shell: Shell) -> int:
    """Gives the slices back; the run can be continued."""
    if _state(job, arguments, shell) is not None:
        _delete(job, arguments, shell)
    release(job, shell)
    return 0


def _where(arguments: argparse.Namespace) -> list[str]:
    return [f"--zone={arguments.zone}", f"--project={arguments.project}"]


def _state(job: Job, arguments: argparse.Namespace, shell: Shell) -> str | None:
    """As the cloud calls it; None when there is none."""
    words = [*_QUEUED, "describe", job.name, *_where(arguments), "--format=value(state.state)"]
    return shell.ask(words).text or None


def _create(job: Job, arguments: argparse.Namespace, shell: Shell) -> None:
    slices = slices_of(arguments.topology)
    nodes = [f"--node-id={job.name}"]
    if slices.count > 1:
        nodes = [f"--node-count={slices.count}", f"--node-prefix={job.name}"]
    kind = [f"--accelerator-type={slices.accelerator}", f"--runtime-version={slices.system}"]
    # With these scopes the machines may read and write the bucket.
    kind += ["--scopes=cloud-platform", *(["--spot"] if arguments.spot else [])]
    shell.say("create")
    shell.run([*_QUEUED, "create", job.name, *_where(arguments), *nodes, *kind])


def _delete(job: Job, arguments: argparse.Namespace, shell: Shell) -> None:
    shell.run([*_QUEUED, "delete", job.name, *_where(arguments), "--force", "--quiet"])


def _is_had(job: Job, arguments: argparse.Namespace, shell: Shell) -> bool:
    """Waits for the slices; whether they came."""
    told = None
    shell.say("wait")
    while (state := _state(job, arguments, shell)) != "ACTIVE":
        if shell.dry:
            break
        if state in _LOST or state is None:
            return False
        if state != told:
            shell.say(f"{job.name} is {state}")
            told = state
        time.sleep(arguments.poll_seconds)
    return True


def _begin(job: Job, arguments: argparse.Namespace, shell: Shell) -> None:
    """On every host: the code, its set-up, and a service that runs and restarts the trainer."""
    shell.say("start")
    script = job.place / "job.sh"
    shell.write(
        script, f'#!/usr/bin/env bash\n{job.exports}\ncd "$(dirname "$0")"\nexec {job.run}\n'
    )
    folder = f"gs://{job.bucket}/{job.logs}"
    for path in (bucket.pack_code(job, shell), script):
        shell.run(["gcloud", "storage", "cp", str(path), f"{folder}/"])
    here = f"codellama-jax/{job.name}"
    steps = [
        "set -e",
        "if systemctl is-active --quiet codellama-jax; then exit 0; fi",
        f"mkdir -p {here}",
        f"cd {here}",
        f"gcloud storage cat {folder}/code.tar.gz | tar xz",
        f"gcloud storage cat {folder}/job.sh > job.sh",
        job.exports,
        "launch/worker.sh setup",
        f"launch/worker.sh service {arguments.restarts}",
    ]
    command = f"bash -c {shlex.quote('; '.join(steps))}"
    everywhere = ["--node=all", "--worker=all", f"--command={command}"]
    shell.run([*_QUEUED, "ssh", job.name, *_where(arguments), *everywhere])


def _watch(job: Job, arguments: argparse.Namespace, shell: Shell) -> int | None:
    """Waits for the run's end; its code, or None when the slices are lost."""
    shell.say("watch")
    while (code := bucket.end_of(job, shell)) is None:
        state = _state(job, arguments, shell)
        if shell.dry:
            return 0
        if state != "ACTIVE":
            return None
        time.sleep(arguments.poll_seconds)
    return code
