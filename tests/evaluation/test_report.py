"""The report of a run: what it shows, that it stands alone, that nothing in it is executed."""

import dataclasses
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from codellama_jax.errors import UserError
from codellama_jax.evaluation.report import report
from codellama_jax.evaluation.report.blocks import printable
from codellama_jax.evaluation.report.data import gather
from codellama_jax.evaluation.report.positions import branches
from codellama_jax.model import LlamaConfig
from codellama_jax.plotting import smooth
from codellama_jax.runs import write_digests
from codellama_jax.training import Phase
from codellama_jax.training.lineage import lineage_entry
from codellama_jax.writing import count, scientific

HOSTILE = "<script>alert(1)</script> </pre> {{ 7 * 7 }} | `x` & \0 \udc80"
ENDS = list(range(64, 2049, 64))
MIXTURES = {
    "code_llama": {"code_infill": 0.85, "nl_code_infill": 0.08, "nl_infill": 0.07},
    "code_llama_python": {"python": 0.75, "code": 0.1, "nl_code": 0.1, "nl": 0.05},
    "code_llama_instruct": {"dialogues": 0.92, "code_infill": 0.06, "nl_infill": 0.02},
}
# Names differ from those of the shipped run: roles come from lineage and settings.
PHASES = [
    Phase(
        "start",
        "code_llama",
        300,
        4,
        256,
        None,
        rope_base=1e4,
        peak_learning_rate=4e-3,
        warmup_steps=20,
        purpose="code, infilling 0.9",
    ),
    Phase(
        "longer",
        "code_llama",
        60,
        2,
        1024,
        "start",
        rope_base=1e6,
        peak_learning_rate=1e-3,
        warmup_steps=10,
        purpose="four times",
    ),
    Phase(
        "longer_old",
        "code_llama",
        60,
        2,
        1024,
        "start",
        rope_base=1e4,
        peak_learning_rate=1e-3,
        warmup_steps=10,
        purpose="control: base",
    ),
    Phase(
        "talk",
        "code_llama_instruct",
        80,
        4,
        256,
        "longer",
        rope_base=1e6,
        peak_learning_rate=1e-3,
        warmup_steps=10,
        purpose="dialogues",
    ),
    Phase(
        "snake",
        "code_llama_python",
        90,
        4,
        256,
        "start",
        rope_base=1e4,
        peak_learning_rate=2e-3,
        warmup_steps=10,
        purpose="Python",
    ),
]
LEVEL = {"start": 3.4, "longer": 3.1, "longer_old": 3.12, "talk": 3.3, "snake": 3.35}
BITS = {"start": 2.345, "longer": 2.251, "longer_old": 2.262, "talk": 2.401, "snake": 2.313}


def record_of(name: str) -> dict:
    by_name = {phase.name: phase for phase in PHASES}
    line = [by_name[name]]
    while line[0].parent:
        line.insert(0, by_name[line[0].parent])
    phase = by_name[name]
    config = LlamaConfig(vocab_size=512, dim=64, num_layers=2, num_heads=2, num_kv_heads=1,
                         ffn_dim=96, rope_base=phase.rope_base)  # fmt: skip
    gin = [f"{p.name}/Phase.{field} = {value!r}" for p in PHASES
           for field, value in dataclasses.asdict(p).items()]  # fmt: skip
    return {
        "model": dataclasses.asdict(config),
        "lineage": [lineage_entry(ancestor, 7) for ancestor in line],
        "operative_config": "\n".join(gin) + "\n",
        "code_version": "0.1.0",
        "data": {"step": phase.steps, "fingerprint": {"rates": MIXTURES[phase.mixture]}},
    }


def metrics_of(phase: Phase) -> list[dict]:
    random = np.random.default_rng(len(phase.name))
    tasks = MIXTURES[phase.mixture]
    lines = []
    for step in range(1, phase.steps + 1):
        loss = LEVEL[phase.name] + 3 * np.exp(-step / 40) + 0.1 * random.standard_normal()
        task = random.choice(list(tasks), p=list(tasks.values()))
        tokens = phase.batch_size * phase.sequence_length
        lines.append(
            {"step": step, "loss": loss, "gradient_norm": 1.0, "tokens": tokens,
             "learning_rate": phase.peak_learning_rate * min(1, step / phase.warmup_steps),
             "task_loss": {task: loss}, "task_tokens": {t: tokens * (t == task) for t in tasks}}
        )  # fmt: skip
        if step % 25 == 0:
            speed = {"tokens_per_second": 4321.0, "data_wait": 0.01}
            lines.append({"step": step, **speed, "model_flops_per_second": 54.3e9})
    return lines


def positions_of(phase: Phase, base: float, paired: bool) -> dict:
    """Losses that grow beyond the trained length, less so after tuning and with the raised base."""
    documents = np.random.default_rng(3).normal(0, 0.25, (8, 1))
    ends = np.asarray(ENDS)
    trained = max(e["settings"]["sequence_length"] for e in record_of(phase.name)["lineage"])
    excess = np.maximum(0, ends - trained) / 500 + 0.4 * np.exp(-ends / 100)
    excess = excess + (0.02 if phase.rope_base < base else 0.05 if phase.rope_base > base else 0)
    own = np.random.default_rng(len(phase.name)).normal(0, 0.01, (8, len(ENDS)))
    matrix = LEVEL[phase.name] + excess + documents + own
    found = {
        "rope_base": base, "documents": 8, "positions": ENDS,
        "loss": matrix.mean(0).tolist(),
        "standard_error": (matrix.std(0, ddof=1) / 8**0.5).tolist(),
    }  # fmt: skip
    return {**found, "document_loss": matrix.tolist()} if paired else found


def evaluation_of(phase: Phase, paired: bool = True) -> dict:
    hole = {"path": "a.py", "prefix": "import os\n\n\nx = ", "suffix": "\nprint(x)\n"}
    filled = {
        "exact_match": 0.125, "interval": [0.05, 0.2], "holes": 40, "first_line": 0.2,
        "ended": 0.97,
        "examples": [
            {**hole, "line": "os.sep", "middle": "os.sep", "exact": True},
            {**hole, "line": "os.curdir", "middle": HOSTILE, "exact": False},
        ],
    }  # fmt: skip
    verdict = {"status": "failed", "detail": "AssertionError [line 9: assert f(0)]", "seconds": 0.1}
    problems = [
        {"task_id": "Bundled/0", "samples": 1, "passed": 0, "verdicts": [verdict]},
        {"task_id": "Bundled/1", "samples": 1, "passed": 1,
         "verdicts": [{"status": "passed", "detail": "", "seconds": 0.1}]},
    ]  # fmt: skip
    return {
        "key": "k", "seconds": {}, "step": phase.steps,
        "bits_per_byte": {"code": BITS[phase.name], "python": BITS[phase.name] - 0.1, "nl": 2.9},
        "loss_by_position": [positions_of(phase, base, paired) for base in (1e4, 1e6)],
        "infilling": {"psm": filled, "spm": {**filled, "exact_match": 0.15}},
        "key_retrieval": [
            {"length": n, "depth": d, "accuracy": 0.75 if n < 512 else 0.25, "examples": 8}
            for n in (256, 512, 1024) for d in (0.0, 0.4)
        ],
        "programs": {
            "pass@1": 0.5, "pass@1_interval": [0.0, 1.0], "samples": 2,
            "statuses": {"failed": 1, "passed": 1}, "problems": problems,
        },
        "dialogues": {"loss": 1.876, "dialogues": 4, "tokens": 99},
        "samples": {
            "completions": [{"prompt": "def f():\n", "text": "    return 1\n" + HOSTILE}],
            "infills": [{"prefix": "a = ", "suffix": "\nb = a\n", "text": "\n" * 30}],
            "answers": [{"question": "Why?", "text": "Because of the sky."}],
        },
    }  # fmt: skip


def manifest() -> dict:
    def split(documents: int) -> dict:
        return {
            "documents": documents, "bytes": 4000 * documents, "tokens": 1000 * documents,
            "shards": [], "languages": {"python": {"documents": documents, "bytes": 4000}},
            "licenses": {"MIT <b>": {"documents": documents, "bytes": 4000}},
        }  # fmt: skip

    drop = {"documents": 3, "bytes": 123, "examples": ["stdlib/x.py"]}
    return {
        "version": 1, "created_by": "codellama-jax", "parameters": {},
        "tokenizer": {"file": "tokenizer.model", "sha256": "ab" * 32, "size": 512},
        "collected": {"files": 77, "bytes": 99_000, "read_files": 66},
        "sources": {name: {"train": split(40), "heldout": split(2)} for name in ("code", "python")},
        "dropped": {"code": {"near duplicate": drop}},
    }  # fmt: skip


def build(folder: Path, paired: bool = True) -> tuple[Path, Path]:
    """A run of PHASES, trained and evaluated, and its corpus."""
    run, corpus = folder / "tiny", folder / "corpus"
    for phase in PHASES:
        record = run / phase.name / "checkpoints" / str(phase.steps) / "record"
        record.mkdir(parents=True)
        (record / "metadata").write_text(json.dumps(record_of(phase.name)))
        write_digests(record.parent)
        lines = "".join(json.dumps(line) + "\n" for line in metrics_of(phase))
        (run / phase.name / "metrics.jsonl").write_text(lines)
        write_evaluation(run, phase.name, evaluation_of(phase, paired))
    sizes = {"bytes": 150_000, "gzip -9": 2.8111, "xz -9": 2.7222, "gzip -9, one file": 2.2333}
    write_json(run / "evaluation.json", {"phases": {}, "compression": {"code": sizes}})
    write_json(corpus / "manifest.json", manifest())
    return run, corpus


def write_evaluation(run: Path, phase: str, values: dict) -> None:
    write_json(run / phase / "evaluation.json", values)


def write_json(path: Path, values: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


class Page(HTMLParser):
    """Tags, what they load, and text, of an HTML page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = {name: value or "" for name, value in attributes}
        self.ids += [values["id"]] if "id" in values else []
        for name in ("src", "href", "xlink:href", "data", "srcset", "action"):
            if name in values and not values[name].startswith(("#", "data:")):
                self.loads.append(values[name])
            elif values.get(name, "").startswith("#"):
                self.links.append(values[name][1:])
        assert not any(name.startswith("on") for name in values)

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A whole run's report: the run's folder, the corpus, the page, its raw HTML."""
    run, corpus = build(tmp_path_factory.mktemp("report"))
    paths = report(str(run), str(corpus))
    raw = Path(paths["html"]).read_text(encoding="utf-8")
    return run, corpus, Page(raw), raw, paths


def test_the_page_loads_nothing_and_runs_nothing(made):
    _, _, page, raw, _ = made
    assert page.loads == []
    assert not {"script", "link", "iframe", "img", "object", "base"} & set(page.tags)
    assert not re.search(r"url\((?!#)|@import", raw)


def test_ids_are_unique_and_links_lead_somewhere(made):
    _, _, page, raw, _ = made
    assert len(page.ids) == len(set(page.ids))
    wanted = {*page.links, *re.findall(r"url\(#([^)]+)\)", raw)}
    assert wanted and wanted <= set(page.ids)


def test_every_phase_and_every_number_is_there(made):
    _, _, page, _, _ = made
    text = page.text
    for phase in PHASES:
        assert phase.name in text
        assert f"{BITS[phase.name]:.3f}" in text
        assert f"{BITS[phase.name] - 0.1:.3f}" in text
    shown = ("2.811", "2.722", "2.233", "12.5 %", "15.0 %", "5.0–20.0 %", "EOT 97 %", "1.876",
             "4,321", "54.3", "50.0 %", "near duplicate", "MIT <b>", "Bundled/1")  # fmt: skip
    for wanted in shown:
        assert wanted in text, wanted
    assert "start → longer → talk" in text
    assert page.tags.count("svg") == 4


def test_what_a_model_wrote_is_text(made):
    run, _, page, raw, _ = made
    assert "<script" not in raw
    assert "<script>alert(1)</script> </pre> {{ 7 * 7 }}" in page.text
    assert "\0" not in raw and "␀" in raw
    assert "[30 blank characters]" in page.text
    text = (run / "report.md").read_text(encoding="utf-8")
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(bars) == 1, table
    assert "MIT &lt;b&gt;" in text


def test_markdown_names_figures_that_exist(made):
    run, _, _, _, _ = made
    text = (run / "report.md").read_text(encoding="utf-8")
    names = re.findall(r"\]\((report_files/[^)]+)\)", text)
    assert len(names) == 4
    for name in names:
        assert "<svg" in (run / name).read_text(encoding="utf-8")


def test_json_round_trips_and_holds_the_measurements(made):
    run, _, _, _, paths = made
    values = json.loads(Path(paths["json"]).read_text(), parse_constant=pytest.fail)
    assert json.loads(json.dumps(values)) == values
    assert list(values["phases"])[0] == "start"
    for phase in PHASES:
        shown = values["phases"][phase.name]
        assert shown["evaluation"]["bits_per_byte"]["code"] == BITS[phase.name]
        assert shown["settings"] == dataclasses.asdict(phase)
        assert shown["tokens"] == phase.tokens
    assert [name for name, phase in values["phases"].items() if phase["control"]] == ["longer_old"]
    assert values["corpus"]["dropped"]["code"]["near duplicate"]["documents"] == 3
    assert values["missing"] == []


def test_the_summary_compares_with_gzip_and_the_parent(made):
    _, _, page, _, paths = made
    values = json.loads(Path(paths["json"]).read_text())
    code, python, long, cause, reach, infills, programs = values["summary"]
    assert "5 phases, " in page.text
    # 2.251 / 2.8111 and / 2.2333
    assert "2.251" in code and "19.9 % lower" in code and "0.8 % higher" in code
    assert "snake needs 2.213" in python and "start needs 2.245: 1.4 % lower" in python
    assert long.startswith("Beyond position 256")
    assert "longer against longer_old" in cause
    assert reach.startswith("Beyond position 1,024, where neither longer nor longer_old")
    assert "5.0–20.0 %" in infills and "50.0 %" in programs
    assert all(sentence in page.text for sentence in values["summary"])


def test_regions_and_differences_are_those_of_the_documents(tmp_path):
    run, corpus = build(tmp_path)
    (branch,) = branches(gather(str(run), str(corpus)))
    assert branch.parent.name == "start" and branch.length == 256 and branch.longest == 1024
    shown = [(reading.phase.name, reading.rope_base) for reading in branch.readings]
    assert shown == [
        ("start", 1e4), ("start", 1e6), ("longer", 1e6), ("longer_old", 1e4), ("longer", 1e4)
    ]  # fmt: skip
    before = np.asarray(branch.readings[3].result["document_loss"])
    after = np.asarray(branch.readings[2].result["document_loss"])
    contrast = next(c for c in branch.contrasts if c.what == "raised base, given fine-tuning")
    parts = {"inside": slice(0, 4), "beyond": slice(4, None), "unseen": slice(16, None)}
    for region, part in parts.items():
        documents = (after - before)[:, part].mean(1)
        assert contrast.differences[region].mean == pytest.approx(documents.mean())
        error = documents.std(ddof=1) / 8**0.5
        assert contrast.differences[region].error == pytest.approx(error)
    # LEVEL: 3.10 against 3.12, and noise of 0.01 over 28 spans of 8 documents
    assert any("beyond what fine-tuning does" in sentence for sentence in branch.sentences)
    assert any("nothing but the base" in sentence for sentence in branch.sentences)


def test_documents_no_longer_than_the_training_have_no_unseen_region(tmp_path):
    run, corpus = build(tmp_path)
    for phase in PHASES:
        values = evaluation_of(phase)
        for reading in values["loss_by_position"]:
            for name in ("positions", "loss", "standard_error"):
                reading[name] = reading[name][:16]
            reading["document_loss"] = [row[:16] for row in reading["document_loss"]]
        write_evaluation(run, phase.name, values)
    (branch,) = branches(gather(str(run), str(corpus)))
    assert list(branch.regions) == ["inside", "beyond"]
    assert not any("was trained, the raised base" in sentence for sentence in branch.sentences)
    report(str(run), str(corpus))


def test_without_losses_by_document_the_errors_are_bounds(tmp_path):
    run, corpus = build(tmp_path, paired=False)
    (branch,) = branches(gather(str(run), str(corpus)))
    exact = positions_of(PHASES[0], 1e4, True)
    estimate = branch.estimates(branch.readings[0])["beyond"]
    documents = np.asarray(exact["document_loss"])[:, 4:].mean(1)
    assert estimate.mean == pytest.approx(documents.mean())
    assert estimate.error >= documents.std(ddof=1) / 8**0.5
    # The documents differ by far more than the two bases: unpaired, nothing can be said.
    assert any("does not tell the two bases apart" in sentence for sentence in branch.sentences)


def test_a_worse_raised_base_is_said(tmp_path):
    run, corpus = build(tmp_path)
    worse = evaluation_of(PHASES[1])
    for reading in worse["loss_by_position"]:
        reading["document_loss"] = (np.asarray(reading["document_loss"]) + 1).tolist()
    write_evaluation(run, "longer", worse)
    (branch,) = branches(gather(str(run), str(corpus)))
    assert any("the old base does better" in sentence for sentence in branch.sentences)
    assert any("the old base reaches further" in sentence for sentence in branch.sentences)


def test_an_incomplete_run_says_what_is_missing(tmp_path):
    run, corpus = build(tmp_path)
    for path in sorted((run / "snake").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (run / "talk/evaluation.json").unlink()
    (run / "longer_old/metrics.jsonl").unlink()
    (run / "evaluation.json").unlink()
    stale = {**evaluation_of(PHASES[1]), "step": 59}
    del stale["infilling"], stale["key_retrieval"], stale["dialogues"], stale["samples"]
    stale["programs"] = {"not_run": "bubblewrap is not installed"}
    write_evaluation(run, "longer", stale)
    page = Page(Path(report(str(run), str(corpus))["html"]).read_text(encoding="utf-8"))
    for wanted in (
        "Phase snake is not trained yet",
        "Phase talk is not evaluated",
        "Phase longer was evaluated at step 59, its checkpoint is at 60",
        "gzip and xz are not compared",
        "No metrics.jsonl: longer_old",
        "Not run for longer: bubblewrap is not installed.",
    ):
        assert wanted in page.text, wanted


def test_not_a_number_is_shown_as_missing(tmp_path):
    run, corpus = build(tmp_path)
    values = evaluation_of(PHASES[0])
    values["bits_per_byte"]["nl"] = float("nan")
    for reading in values["loss_by_position"]:
        del reading["document_loss"]
        reading["standard_error"] = [float("nan")] * len(ENDS)  # of one document
    write_evaluation(run, "start", values)
    lines = metrics_of(PHASES[0])
    lines[40]["loss"] = float("nan")
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "start/metrics.jsonl").write_text(text + '{"step": 301, "lo')
    written = json.loads(Path(report(str(run), str(corpus))["json"]).read_text())
    assert written["phases"]["start"]["evaluation"]["bits_per_byte"]["nl"] is None
    assert "nan" not in (run / "report.md").read_text(encoding="utf-8").lower().split("settings")[0]


def test_a_name_is_a_name_whatever_is_in_it(tmp_path):
    run, corpus = build(tmp_path)
    odd = r'<u> $x^2$ "\1" & {{'

    def renamed(value):
        if isinstance(value, dict):
            return {key: renamed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [renamed(item) for item in value]
        return odd if value == "start" else value

    for path in run.glob("*/checkpoints/*/record/metadata"):
        path.write_text(
            json.dumps({**renamed(json.loads(path.read_text())), "operative_config": ""})
        )
    (run / "start").rename(run / odd)
    raw = Path(report(str(run), str(corpus))["html"]).read_text(encoding="utf-8")
    page = Page(raw)
    assert "u" not in page.tags and f"{odd} was trained to 256" in page.text
    assert page.loads == [] and len(page.ids) == len(set(page.ids))
    for path in (run / "report_files").iterdir():
        ElementTree.parse(path)


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (lambda run, corpus: [p.unlink() for p in run.rglob("evaluation.json")],
         "no phase of .*tiny is evaluated: run `codellama-jax evaluate`"),
        (lambda run, corpus: [p.unlink() for p in run.rglob("metadata")],
         "cannot read the checkpoint record .*tiny"),
        (lambda run, corpus: run.rename(run.parent / "elsewhere"),
         "no trained phase in .*tiny: run `codellama-jax train` first"),
        (lambda run, corpus: (corpus / "manifest.json").unlink(),
         "no corpus at .*corpus: run `codellama-jax prepare"),
        (lambda run, corpus: (run / "start/evaluation.json").write_text("{"),
         "cannot read .*start/evaluation.json"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named_with_the_remedy(tmp_path, breaks, message):
    run, corpus = build(tmp_path)
    breaks(run, corpus)
    with pytest.raises(UserError, match=message) as raised:
        report(str(run), str(corpus))
    assert "\n" not in str(raised.value).partition("\n  In call to")[0]


def test_smoothing_weighs_and_skips():
    smoothed = smooth([1.0, float("nan"), 3.0], [1, 1, 3], 1e9)
    assert smoothed == pytest.approx([1.0, 1.0, 2.5])
    assert np.isnan(smooth([5.0, 1.0], [0, 1], 4)).tolist() == [True, False]


def test_numbers_are_written_for_readers():
    assert [scientific(x) for x in (1e4, 1e6, 2.5e-5, 0.004)] == ["1e4", "1e6", "2.5e-5", "4e-3"]
    assert [count(x) for x in (0, 1400, 2_867_200, 5e11, None)] == [
        "0", "1,400", "2.87 M", "500 B", "–"
    ]  # fmt: skip
    assert printable("a\0b\x7f\udc80", 3) == "a␀b … [2 characters more]"


def test_instruct_stands_beside_its_parent_and_a_control_without_rehearsal(tmp_path, monkeypatch):
    run, corpus = build(tmp_path / "alone")
    text = _instruct_of(report(str(run), str(corpus)))
    assert "talk, with 8 % rehearsal, takes the loss of held-out answers from 1.876 to" in text
    assert "from 2.251 to 2.401 (+6.7 %)" in text and "No run without rehearsal" in text

    talk = next(phase for phase in PHASES if phase.name == "talk")
    changes = {"name": "bare", "mixture": "dialogues", "purpose": "control: dialogues alone"}
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "PHASES", [*PHASES, dataclasses.replace(talk, **changes)])
    monkeypatch.setitem(MIXTURES, "dialogues", {"dialogues": 1.0})
    monkeypatch.setitem(LEVEL, "bare", 3.3)
    monkeypatch.setitem(BITS, "bare", 2.701)
    run, corpus = build(tmp_path / "both")
    text = _instruct_of(report(str(run), str(corpus)))
    assert "bare, without rehearsal," in text and "from 2.251 to 2.701 (+20.0 %)" in text
    assert "No run without rehearsal" not in text
    rows = {line.split()[1]: line for line in text.splitlines() if line.startswith("| ")}
    assert {"longer", "talk", "bare"} < set(rows)
    assert "| 8.0 % |" in rows["talk"] and "| 0.0 % |" in rows["bare"]


def _instruct_of(paths: dict[str, str]) -> str:
    text = Path(paths["markdown"]).read_text(encoding="utf-8")
    return text.partition("## Instruct")[2].partition("\n## ")[0]
