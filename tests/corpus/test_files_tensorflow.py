"""What of record files needs TensorFlow, which takes as long to import as the other tests take."""

import gin
import pytest

from codellama_jax.errors import UserError

from .record_files import as_lines, made, records, run
from .trees import prose_text

pytest.importorskip("datatrove")
pytestmark = pytest.mark.usefixtures("few_bands")


def test_tfds_gives_its_examples(tokenizer, tmp_path):
    import tensorflow_datasets as tfds

    of = made(30)
    folder = tmp_path / "tfds" / "codes" / "1.0.0"
    folder.mkdir(parents=True)
    info = tfds.core.DatasetInfo(
        builder=tfds.core.dataset_info.DatasetIdentity(
            name="codes",
            version=tfds.core.Version("1.0.0"),
            data_dir=str(folder),
            module_name="codes",
        ),
        features=tfds.features.FeaturesDict(
            dict.fromkeys(("content", "path"), tfds.features.Text())
        ),
    )
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=12)
    writer.initialize_splits(["train"])
    examples = [{"content": r["content"], "path": r["max_stars_repo_path"]} for r in of]
    writer.add_examples({"train": examples})
    writer.close_all()
    gin.bind_parameter("corpus.RecordSettings.tfds_data_dir", str(tmp_path / "tfds"))
    run(tmp_path / "out", {"code": ["tfds:codes:train"]}, tokenizer_path=tokenizer)
    assert {record["text"] for record in records(tmp_path / "out")} == {r["content"] for r in of}
    with pytest.raises(UserError, match=r"tfds:codes:test: it has the splits \['train'\]"):
        run(tmp_path / "x", {"code": ["tfds:codes:test"]}, tokenizer_path=tokenizer)
    with pytest.raises(UserError, match="name the split too"):
        run(tmp_path / "y", {"code": ["tfds:codes"]}, tokenizer_path=tokenizer)


def test_rows_are_made_of_the_corpus(tokenizer, tmp_path):
    from codellama_jax.data import RowStream

    prose = [{"text": prose_text(i), "path": f"q{i}.md"} for i in range(60)]
    parts = {"code": made(60), "nl_code": prose[:30], "nl": prose[30:]}
    for source, part in parts.items():
        (tmp_path / f"{source}.jsonl").write_bytes(as_lines(part))
    sources = {source: [f"{tmp_path}/{source}.jsonl"] for source in parts}
    run(tmp_path / "out", sources, tokenizer_path=tokenizer)
    stream = RowStream("code_llama", 128, 0, corpus=str(tmp_path / "out"))
    assert all(stream.row(n)["inputs"].any() for n in range(100))
    assert not stream.set_aside()
