"""Notebooks: outputs stripped, parameters where they are looked for, every cell runs through."""

import json
import os
import re
import subprocess

import helpers  # noqa: F401  (before JAX starts)
import optuna
import pytest
from helpers import ROOT
from test_docs import PAGES, blocks
from tiny_run import train_command, write_run

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
LEARNING_RATE = "code/Phase.peak_learning_rate"


def cells(path, kind):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def is_parameters(cell):
    return "parameters" in cell["metadata"].get("tags", [])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_holds_no_outputs_and_says_what_it_needs(path):
    assert all(c["outputs"] == [] and c["execution_count"] is None for c in cells(path, "code"))
    assert set(json.loads(path.read_text())["metadata"]) == {"kernelspec", "language_info"}
    first, second, *_ = json.loads(path.read_text())["cells"]
    assert first["cell_type"] == "markdown" and first["source"][0].startswith("# ")
    assert "\nNeeds " in "".join(first["source"])
    assert is_parameters(second) and sum(map(is_parameters, cells(path, "code"))) == 1


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus, a run of two phases, and a finished sweep of two trials."""
    folder = tmp_path_factory.mktemp("notebooks")
    write_run(folder)
    steps = ("code/Phase.steps = 8", "long/Phase.steps = 4")
    subprocess.run(train_command(folder, "run", *steps), cwd=ROOT, check=True, capture_output=True)
    write_sweep(folder)
    return folder


def write_sweep(folder):
    """What a sweep leaves behind, its trials told instead of trained."""
    from codellama_jax.sweeps.plan import Plan
    from codellama_jax.sweeps.report import write_report
    from codellama_jax.sweeps.results import results
    from codellama_jax.sweeps.study import begin_study, open_study

    sweep = folder / "sweep"
    sweep.mkdir()
    plan = Plan(
        sweep, (folder / "run.gin").read_text(), "code", {LEARNING_RATE: ("choice", (1e-3, 1e-2))},
        tokens=512, measure_tokens=256, heldout_rows=2, objective="heldout_bits_per_byte",
    )  # fmt: skip
    url = f"sqlite:///{sweep}/study.db"
    study = begin_study("sweep", url, 20, plan, "grid", 2, 0)
    taking = open_study("sweep", url, 20, optuna.pruners.NopPruner(), 0, 0)
    for _ in range(2):
        trial = taking.ask()
        for tokens in (256, 512):
            trial.report(3.0 - trial.params[LEARNING_RATE] * tokens / 512, tokens)
        taking.tell(trial, 3.0 - trial.params[LEARNING_RATE])
    write_report({**results(study, plan), "claims": []}, plan, sweep)


def parameters(folder):
    """What is asked of models and data this small, for the notebooks that have such a parameter."""
    return {
        "RUN": str(folder / "run"),
        "CORPUS": str(folder / "corpus"),
        "SWEEP": str(folder / "sweep"),
        "PHASES": ["code", "long"],
        "ROW_LENGTH": 128,
        "COUNTED_ROWS": 20,
        "WINDOW": 64,
        "TEXT_BYTES": 4000,
        "NEW_TOKENS": 8,
        "LENGTH": 256,
        "DOCUMENTS": 2,
        "KEY_LENGTHS": [128],
        "KEY_DEPTHS": [0.0, 0.4],
        "KEYS": 2,
    }


def sources(path, folder):
    """The notebook's code, cell by cell, with those of our parameters that it has."""
    for cell in cells(path, "code"):
        yield "".join(cell["source"])
        if is_parameters(cell):
            named = {line.split(" = ")[0] for line in cell["source"]}
            given = parameters(folder)
            yield "\n".join(f"{name} = {given[name]!r}" for name in given if name in named)


@pytest.fixture
def quiet_plots():
    """No windows, and no settings left behind."""
    import gin
    import matplotlib
    from matplotlib import pyplot

    before = matplotlib.get_backend()
    with matplotlib.rc_context():
        matplotlib.use("Agg")
        yield
    pyplot.close("all")
    matplotlib.use(before)
    gin.clear_config()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_runs_through(path, place, quiet_plots):
    """In this process: five kernels would import TensorFlow five times."""
    pytest.importorskip("IPython", reason="ipykernel is not installed")
    names = {"__name__": "__main__"}
    for number, source in enumerate(sources(path, place)):
        exec(compile(source, f"{path.name}[{number}]", "exec"), names)


SNIPPETS = [(page, code) for page in PAGES for kind, code in blocks(page.read_text()) if kind == "python"]


@pytest.mark.parametrize("page, code", SNIPPETS, ids=[page.name for page, _ in SNIPPETS])
def test_python_shown_in_the_docs_runs(page, code, place, quiet_plots):
    """On this run instead of the quickstart's."""
    code = re.sub(r"runs/quickstart/\w+", str(place / "run/long"), code)
    code = code.replace("corpora/quickstart", str(place / "corpus"))
    exec(compile(code, page.name, "exec"), {"__name__": "__main__"})


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_runs_through_in_a_kernel(path, place, tmp_path):
    nbclient = pytest.importorskip("nbclient")
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources(path, place)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=environment)
    shown = [o for cell in notebook.cells for o in cell.outputs if o.output_type != "stream"]
    assert any("image/png" in o.data or "<svg" in o.data.get("text/html", "") for o in shown)
