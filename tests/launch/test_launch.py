"""Launchers: what they show, what they refuse, when they start again and when they stop."""

import json
import re
import shutil

import dry_runs
import pytest
from stand_ins import ROOT, StandIns

from codellama_jax.errors import UserError
from launch.shell import Shell

GIN = "--gin_file=configs/runs/quickstart.gin"
RUN = (GIN, "--run_dir=gs://my-bucket/runs/test_of_the_launchers")
GCLOUD = ("gcloud", *RUN, "--topology=v5e-16", "--project=mine", "--zone=us-west4-a")
GCLOUD += ("--poll_seconds=0",)
SKY = ("sky", *RUN, "--topology=v5e-16")
XPK = ("xpk", *RUN, "--topology=v5e-16", "--project=mine", "--zone=us-west4-a", "--cluster=big")
NEW = ("/launch.json", [[1, "not found"], [0, ""]])  # nobody's run, then it is taken
BUCKET = ("buckets describe", [[0, "True"]])


@pytest.fixture(autouse=True)
def tidy():
    yield
    for path in (ROOT / "runs/.launch").glob("cl-test-of-the-launchers-*"):
        shutil.rmtree(path)


def claimed(**changes):
    mine = {"engine": "gcloud", "where": "mine/us-west4-a"}
    mine |= {"gin_file": ["configs/runs/quickstart.gin"], "gin_bindings": []}
    return ("storage cat gs://my-bucket/runs", [[0, json.dumps({**mine, **changes})]])


@pytest.mark.parametrize("engine", dry_runs.COMMANDS)
def test_a_dry_run_shows_every_command_and_file(engine):
    """`make goldens` writes them anew."""
    assert dry_runs.shown(engine) == (ROOT / f"tests/golden/launch/{engine}.txt").read_text()


@pytest.mark.parametrize("engine", dry_runs.COMMANDS)
def test_a_dry_run_needs_no_tool_and_touches_nothing(engine, tmp_path):
    tools = StandIns(tmp_path / "bin", without=("gcloud", "sky", "xpk", "sbatch", "squeue"))
    before = sorted((ROOT / "runs").glob(".launch/*"))
    done = tools.launch(engine, *dry_runs.COMMANDS[engine], "--dry_run")
    assert done.returncode == 0 and not done.stderr
    assert not tools.calls
    assert sorted((ROOT / "runs").glob(".launch/*")) == before


ZONES = ("locations list", [[0, "us-west4-a\nus-west4-b\neurope-west4-a"]])
MISTAKES = {
    "project": (GCLOUD, [("projects describe", [[1, "x"]])], "--project=mine: no such project"),
    "zone": (
        (*GCLOUD, "--zone=us-west9-a"),
        [("accelerator-types", [[1, "no"]]), ZONES],
        "--zone=us-west9-a has no TPUs for mine: near to that name are us-west4-a",
    ),
    "no zone": ((*GCLOUD, "--zone=us-west4"), [], "--zone=us-west4 is no zone"),
    "size": (
        (*GCLOUD, "--topology=v5e-15"),
        [("describe v5litepod-15", [[1, "no"]]), ("types list", [[0, "v5litepod-16\nv2-8"]])],
        "has no v5litepod-15: it has v5litepod-16",
    ),
    "bucket": (
        GCLOUD,
        [("buckets describe", [[1, "404"]])],
        "no bucket gs://my-bucket for this account; to make it: gcloud storage buckets create",
    ),
    "flat bucket": (SKY, [("buckets describe", [[0, ""]])], "has no hierarchical namespace"),
    "other configuration": (
        GCLOUD,
        [BUCKET, claimed(gin_bindings=["train.seed = 1"])],
        "was begun with --gin_bindings ['train.seed = 1'], not []: take those, or another",
    ),
    "other engine": (SKY, [BUCKET, claimed()], "is the run of a job of gcloud in mine/us-west4-a"),
    "other zone": (
        GCLOUD,
        [BUCKET, claimed(where="mine/us-east1-c")],
        "is the run of a job of gcloud in mine/us-east1-c: first `python -m launch gcloud stop",
    ),
    "damaged claim": (
        GCLOUD,
        [BUCKET, ("storage cat gs://my-bucket/runs", [[0, "{"]])],
        "launch.json cannot be read",
    ),
    "no permission": (
        GCLOUD,
        [BUCKET, ("storage cat gs://my-bucket/runs", [[1, ""]]), ("storage cp", [[1, "403"]])],
        "cannot write gs://my-bucket/runs/test_of_the_launchers/launch.json: 403",
    ),
    "cluster": (XPK, [BUCKET, NEW, ("workload list", [[1, "none"]])], "--cluster=big: xpk cannot"),
    "topology": ((*GCLOUD, "--topology=v5-16"), [], "--topology=v5-16: a kind of TPU and a size"),
    "slices": ((*SKY, "--topology=2xv5e-16"), [], "SkyPilot joins the hosts of one slice"),
    "no image": ((*GCLOUD, "--topology=7x-64"), [], "such slices are had through GKE: xpk"),
    "run_dir": ((*SKY, "--run_dir=runs/x"), [], "hosts of a slice share a bucket: gs://BUCKET/run"),
    "gin file": ((*SKY, "--gin_file=none.gin"), [], "--gin_file=none.gin is not among the project"),
    "no gin file": (("sky", RUN[1], "--topology=v5e-16"), [], "sky needs --gin_file"),
    "no project": (("gcloud", *RUN, "--topology=v5e-16"), [], "gcloud needs --project, here or"),
    "gpu bucket": (("slurm", *RUN), [], "a folder on the file system that all nodes share"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_before_anything_is_started(mistake, tmp_path):
    command, answers, told = MISTAKES[mistake]
    tools = StandIns(tmp_path / "bin", answers)
    done = tools.launch(*command)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and told in done.stderr, done.stderr
    assert not re.search(r" (create|launch|ssh|delete) ", "\n".join(tools.calls))


def test_a_missing_tool_is_named_with_where_to_get_it(tmp_path):
    done = StandIns(tmp_path / "bin", without=("gcloud",)).launch(*GCLOUD)
    assert done.returncode == 2
    assert done.stderr.startswith("launch: error: gcloud is not on the path: https://")


def steps(tools):
    """What was done to the queued resource, in short."""
    found = [re.search(r"queued-resources (create|ssh|delete)", call) for call in tools.calls]
    return [match[1] for match in found if match]


def test_gcloud_asks_again_when_spot_slices_are_taken_and_stops_at_the_end(tmp_path):
    states = [[1, "none"], [0, "WAITING_FOR_RESOURCES"], [0, "ACTIVE"], [0, "SUSPENDED"]]
    states += [[0, "SUSPENDED"], [0, "ACTIVE"]]
    ended = [[1, "none"], [1, "none"], [1, "none"], [1, "none"], [0, "0"]]
    answers = [BUCKET, NEW, ("queued-resources describe", states), ("/ended", ended)]
    # The first and fourth are the removals of an end that there is not.
    tools = StandIns(tmp_path / "bin", answers)
    done = tools.launch(*GCLOUD, "--spot")
    assert done.returncode == 0, done.stderr
    assert steps(tools)[:4] == ["create", "ssh", "delete", "create"]
    assert steps(tools)[-1] == "delete"
    assert "is SUSPENDED: asking for it again" in done.stdout
    created = next(call for call in tools.calls if "queued-resources create" in call)
    assert "--accelerator-type=v5litepod-16" in created and created.endswith("--spot")


def test_gcloud_does_not_start_a_mistake_again(tmp_path):
    ended = [[1, "none"], [1, "none"], [1, "none"], [0, "2"]]
    answers = [BUCKET, NEW, ("/ended", ended)]
    answers += [("queued-resources describe", [[1, "none"], [0, "ACTIVE"]])]
    tools = StandIns(tmp_path / "bin", answers)
    done = tools.launch(*GCLOUD)
    assert done.returncode == 2
    assert steps(tools) == ["create", "ssh", "delete"]


def test_the_same_command_watches_a_job_that_is_there(tmp_path):
    answers = [BUCKET, claimed(), ("/ended", [[1, "none"], [0, "0"]])]
    answers += [("queued-resources describe", [[0, "ACTIVE"]])]
    tools = StandIns(tmp_path / "bin", answers)
    assert tools.launch(*GCLOUD).returncode == 0
    assert steps(tools) == ["ssh", "delete"]  # a host where it runs leaves it at that
    queue = ("jobs queue", [[0, "[]"]])
    tools = StandIns(tmp_path / "one", [BUCKET, NEW, queue, ("jobs launch", [[100, "failed"]])])
    done = tools.launch(*SKY)
    assert done.returncode == 100
    (launched,) = [call for call in tools.calls if "jobs launch" in call]
    name = re.search(r"--name (\S+)", launched)[1]
    mine = claimed(engine="sky", where="any zone")
    queue = ("jobs queue", [[0, json.dumps([{"job_name": name}])]])
    tools = StandIns(tmp_path / "two", [BUCKET, mine, queue])
    assert tools.launch(*SKY).returncode == 0
    assert tools.calls[-1] == f"sky jobs logs --name {name}"


def test_xpk_reports_how_the_run_ended(tmp_path):
    tools = StandIns(tmp_path / "bin", [BUCKET, NEW, ("/ended", [[0, ""], [0, "2"]])])
    assert tools.launch(*XPK).returncode == 2
    (created,) = [call for call in tools.calls if "workload create" in call]
    assert "--restart-on-exit-codes=75" in created and "--tpu-type=v5litepod-16" in created


def test_stop_leaves_the_configuration_for_whoever_continues(tmp_path):
    tools = StandIns(tmp_path / "bin", [claimed()])
    assert tools.launch(*GCLOUD[:1], "stop", *GCLOUD[1:]).returncode == 0
    (path,) = (ROOT / "runs/.launch").glob("cl-test-of-the-launchers-*/launch.json")
    left = json.loads(path.read_text())
    assert left["engine"] is None and left["gin_file"] == ["configs/runs/quickstart.gin"]
    tools = StandIns(tmp_path / "then", [BUCKET, claimed(engine=None, where=None)])
    assert tools.launch(*SKY).returncode == 0
    assert "sky jobs launch" in "\n".join(tools.calls)


@pytest.mark.parametrize(
    "command, there, cancels",
    [(SKY, "jobs queue", "sky jobs cancel"), (XPK, "workload list", "xpk workload delete")],
)
def test_stop_cancels_what_is_there_and_no_more(command, there, cancels, tmp_path):
    tools = StandIns(tmp_path / "none", [claimed()])
    assert tools.launch(command[0], "stop", *command[1:]).returncode == 0
    assert not [call for call in tools.calls if call.startswith(cancels)]
    (path,) = (ROOT / "runs/.launch").glob("cl-test-of-the-launchers-*")
    answer = json.dumps([{"job_name": path.name}])
    tools = StandIns(tmp_path / "one", [(there, [[0, answer]]), claimed()])
    assert tools.launch(command[0], "stop", *command[1:]).returncode == 0
    assert [call for call in tools.calls if call.startswith(cancels)]


def test_logs_are_brought_here(tmp_path):
    tools = StandIns(tmp_path / "bin")
    assert tools.launch(*SKY[:1], "logs", *SKY[1:]).returncode == 0
    assert re.search(r"storage rsync --recursive gs://my-bucket/logs/cl-test", tools.calls[-1])


def test_defaults_are_those_of_the_file():
    text = (ROOT / "launch/defaults.toml").read_text()
    assert "\npoll_seconds = 30.0" in text and text.count("restarts = 10") == 4


def test_local_is_an_engine_too(tmp_path):
    tools = StandIns(tmp_path / "bin")
    done = tools.launch(
        "local", "--processes=2", "--", "bash", "-c", "echo $JAX_PROCESS_ID; exit 3"
    )
    assert done.returncode == 3 and "[1] 1" in done.stdout.splitlines()


def test_a_tool_that_asks_back_or_does_not_answer_holds_nothing_up(monkeypatch):
    assert Shell(dry=False).ask(["bash", "-c", "read -r answer; echo $answer end"]).text == "end"
    monkeypatch.setattr("launch.shell.ANSWER_SECONDS", 0.2)
    with pytest.raises(UserError, match="`sleep 60` gives no answer"):
        Shell(dry=False).ask(["sleep", "60"])
