"""What the cloud is asked before anything is started in it."""

import difflib
import re

from codellama_jax.errors import UserError
from launch.shell import Shell

_ZONE = re.compile(r"[a-z]+-[a-z]+\d+-[a-z]")


def check_project(project: str, shell: Shell) -> None:
    """Raises UserError for a project that is not there for this account."""
    if shell.ask(["gcloud", "projects", "describe", project, "--format=value(projectId)"]).code:
        raise UserError(
            f"--project={project}: no such project for this account: `gcloud projects list` shows"
            " those there are, `gcloud auth login` changes the account"
        )


def check_zone_name(zone: str) -> None:
    """Raises UserError for what cannot be a zone, such as a region."""
    if not _ZONE.fullmatch(zone):
        raise UserError(f"--zone={zone} is no zone: they are called as us-west4-a")


def check_zone(zone: str, project: str, accelerator: str, shell: Shell) -> None:
    """Raises UserError for a zone that has no such slices."""
    where = [f"--zone={zone}", f"--project={project}"]
    kind = ["gcloud", "compute", "tpus", "tpu-vm", "accelerator-types"]
    if not shell.ask([*kind, "describe", accelerator, *where, "--format=value(type)"]).code:
        return
    here = shell.ask([*kind, "list", *where, "--format=value(type)"])
    if here.code:
        zones = shell.ask(
            ["gcloud", "compute", "tpus", "locations", "list", f"--project={project}"]
            + ["--format=value(locationId)"]
        )
        near = difflib.get_close_matches(zone, zones.text.split(), n=5, cutoff=0.5)
        remedy = f"near to that name are {', '.join(near)}" if near else here.complaint
        raise UserError(f"--zone={zone} has no TPUs for {project}: {remedy}")
    near = difflib.get_close_matches(accelerator, here.text.split(), n=5, cutoff=0.3)
    raise UserError(
        f"--zone={zone} has no {accelerator}: it has {', '.join(near) or 'no such kind'};"
        " https://cloud.google.com/tpu/docs/regions-zones lists the zones of each kind"
    )


def check_bucket(bucket: str, shell: Shell) -> None:
    """Raises UserError for a bucket that is not there, or whose folders cannot be renamed.

    A checkpoint gets its name when all of it is written, which is a folder's renaming.
    """
    answer = shell.ask(
        ["gcloud", "storage", "buckets", "describe", f"gs://{bucket}"]
        + ["--raw", "--format=value(hierarchicalNamespace.enabled)"]
    )
    create = (
        f"gcloud storage buckets create gs://{bucket} --location=REGION"
        " --uniform-bucket-level-access --enable-hierarchical-namespace"
    )
    if answer.code:
        raise UserError(f"no bucket gs://{bucket} for this account; to make it: {create}")
    if not shell.dry and answer.text != "True":
        raise UserError(
            f"gs://{bucket} has no hierarchical namespace, without which checkpoints cannot get"
            f" their names at once; a new one: {create}"
        )
