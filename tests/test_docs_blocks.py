"""Every code block of README and docs/ is understood by what it is for, as far as is cheap.

A block of commands is tried line by line: our verbs read their arguments, gin files and bindings,
launchers make a dry run, make says what it would do, benchmarks have the flags. A block of settings
is read by gin. A block of Python is run on a small model by tests/notebooks. What needs more than
this machine is marked, `<!-- needs a cloud -->` before the block, and still has its words read.
"""

import contextlib
import importlib
import io
import re
import shlex
import subprocess

import gin
import helpers  # noqa: F401  (before JAX starts)
import pytest
from test_docs import NAMES, PAGES, blocks
from test_setup import ROOT, declared

from codellama_jax.errors import UserError
from codellama_jax.main import _parser
from codellama_jax.verbs.adding import configure
from launch.__main__ import main as launch

MARK = re.compile(r"<!-- needs (.+) -->\n+( *)```(\w*)\n(.*?)^\2```$", re.M | re.S)
SHELL = {"cp", "export", "jupyter", "source"}
SETTING = re.compile(r"(?:[\w/]+/)?[\w.]+\.\w+ = ")
OWN_FILE = re.compile(r"mine\.gin|mine/\w+\.gin|RUN")  # stands for the reader's


@pytest.fixture(scope="module", autouse=True)
def _every_configurable_is_known():
    for path in (ROOT / "codellama_jax").rglob("*.py"):
        if "@gin.configurable" in path.read_text():
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def marked(text):
    return [match[4] for match in MARK.finditer(text)]


def lines_of(block):
    """Commands of a block, without comments; a backslash joins lines."""
    for line in block.replace("\\\n", " ").splitlines():
        if words := shlex.split(line.replace("$'", "'"), comments=True):
            yield words


def kind(language, block):
    """sh, python, gin or text; from what stands there where the fence does not say."""
    if language:
        return {"bash": "sh"}.get(language, language)
    first = re.sub(r"^#.*\n", "", block.lstrip("\n"), flags=re.M).lstrip()
    if re.match(r"(codellama-jax|python|pip|make|export|\.venv/bin/\w+) ", first):
        return "sh"
    return "gin" if SETTING.match(first) else "text"


def understood(words):
    """None, or why a command of the docs would fail."""
    program, *rest = [word.removeprefix(".venv/bin/") for word in words]
    if program == "codellama-jax":
        return verb_problem(rest)
    if program == "make":
        done = subprocess.run(["make", "-n", *rest], cwd=ROOT, capture_output=True, text=True)
        return done.stderr if done.returncode else None
    if program == "python" and rest[:2] == ["-m", "launch"]:
        return launch_problem(rest[2:])
    if program == "python":
        return script_problem(*rest)
    if program == "pip":
        asked = re.findall(r"\[([\w,-]+)\]", " ".join(rest))
        unknown = {extra for extras in asked for extra in extras.split(",")} - set(declared())
        return f"no extras {unknown}" if unknown else None
    return None if program in SHELL else f"{program} is no program the docs may use unmarked"


def verb_problem(words):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            arguments = _parser().parse_args([word for word in words if word != "…"])
        except SystemExit:
            return said.getvalue().splitlines()[-1]
    arguments.gin_file = [f for f in arguments.gin_file if not OWN_FILE.fullmatch(f)]
    gin.clear_config()
    try:
        configure(arguments)
    except UserError as error:
        return str(error)
    finally:
        gin.clear_config()
    return None


def launch_problem(words):
    if words[0] == "local":
        ours = words[words.index("--") + 1 :]
        return understood(ours)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = launch([*words, "--dry_run"])
        except SystemExit as error:
            code = error.code
    return err.getvalue() if code else None


def script_problem(script, *rest):
    path = ROOT / script
    if not path.is_file():
        return f"no {script}"
    flags = {word.partition("=")[0] for word in rest if word.startswith("--")}
    known = set(re.findall(r'"(--\w+)"', path.read_text()))
    return f"{script} has no {flags - known}" if flags - known else None


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_of_every_block_would_run(page):
    text = page.read_text()
    elsewhere = marked(text)
    wrong = {}
    for language, block in blocks(text):
        if kind(language, block) != "sh" or block in elsewhere:
            continue
        checked = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        if checked.returncode:
            wrong[block] = checked.stderr
        for words in lines_of(block):
            if problem := understood(words):
                wrong[shlex.join(words)] = problem
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_settings_of_every_block_are_read_by_gin(page):
    """Names of phases are scopes of their own; a file of the reader's may be included."""
    text = page.read_text()
    elsewhere = marked(text)
    for language, block in blocks(text):
        if kind(language, block) == "gin" and block not in elsewhere:
            gin.clear_config()
            gin.add_config_file_search_path(str(ROOT))
            gin.parse_config(block)
    gin.clear_config()


def test_what_is_wrong_is_found():
    found = {
        "codellama-jax trian": "invalid choice",
        "codellama-jax train --gin_file=configs/none.gin": "no gin file configs/none.gin",
        "codellama-jax train --gin_bindings='code/Phase.stepz = 1'": "stepz",
        "make nothing": "No rule to make target",
        "python -m launch slurm --gin_file=configs/runs/quickstart.gin": "--run_dir",
        "python benchmarks/torture.py --fautls 3": "--fautls",
        "python benchmarks/none.py": "no benchmarks/none.py",
        'pip install ".[nothing]"': "nothing",
        "optuna-dashboard sqlite:///study.db": "no program",
    }
    for command, reason in found.items():
        assert reason in (understood(shlex.split(command)) or ""), command
    assert marked("<!-- needs a cloud -->\n```sh\na\n```\n") == ["a\n"]
    assert [kind("", text) for text in ("pip install x\n", "a/Phase.b = 1\n", "a → b\n")] == [
        "sh", "gin", "text",
    ]  # fmt: skip
