"""The same tasks and mixtures, driven by seqio itself."""

import json

import numpy as np
import pytest
import seqio
import tensorflow as tf
from helpers import texts
from hypothesis import given, settings

from codellama_jax.data import Records, register
from codellama_jax.data.encoding import Dialogue, DocumentKey, Infill, LeftToRight
from codellama_jax.data.tasks import MIXTURES, SeqioVocabulary
from codellama_jax.text import Vocabulary


@pytest.fixture
def vocabulary(prepared) -> Vocabulary:
    return register(prepared)


def dataset(name, length=512, **arguments):
    task = seqio.get_mixture_or_task(name)
    arguments = {"split": "train", "shuffle": False, **arguments}
    return task.get_dataset(sequence_length={"targets": length}, **arguments)


def examples(name, count=None, **arguments):
    found = dataset(name, **arguments)
    return list((found.take(count) if count else found).as_numpy_iterator())


def encoded(encoder, task, records, number, length=512):
    key = DocumentKey(0, task, 0, number)
    sequence = encoder.encode_whole(records[number], key, length)
    return sequence.ids[1:], sequence.in_loss[1:]


@pytest.mark.parametrize("task", ["code", "python_infill", "nl_code_infill", "nl", "dialogues"])
def test_examples_of_a_task_are_the_encoders(prepared, vocabulary, task):
    source = task.removesuffix("_infill")
    kind = Dialogue if task == "dialogues" else Infill if "infill" in task else LeftToRight
    records = Records(prepared, source, "train")
    found = examples(task)
    assert len(found) == len(records) > 5
    for number, example in enumerate(found):
        ids, in_loss = encoded(kind(vocabulary), task, records, number)
        np.testing.assert_array_equal(example["targets"], ids[:512])
        np.testing.assert_array_equal(example["in_loss"], in_loss[:512])


def test_examples_of_the_mixture_are_the_encoders(prepared, vocabulary):
    expected = {}
    for task in MIXTURES["code_llama"]:
        records = Records(prepared, task.removesuffix("_infill"), "train")
        for number in range(len(records)):
            ids, _ = encoded(Infill(vocabulary), task, records, number)
            expected[ids[:512].tobytes()] = task
    found = examples("code_llama", count=300)
    assert len(found) == 300
    tasks = [expected[example["targets"].tobytes()] for example in found]
    assert set(tasks) == set(MIXTURES["code_llama"]) and tasks.count("code_infill") > 200


@pytest.mark.parametrize("mixture", MIXTURES)
def test_every_mixture_of_the_paper_has_examples(vocabulary, mixture):
    rates = seqio.get_mixture_or_task(mixture)
    assert {task.name: rates.get_rate(task) for task in rates.tasks} == MIXTURES[mixture]
    (example,) = examples(mixture, count=1)
    assert example["targets"].shape == example["in_loss"].shape


def test_heldout_split_and_shards(prepared, vocabulary):
    records = Records(prepared, "code", "heldout")
    assert len(examples("code", split="heldout")) == len(records)
    whole = [example["targets"].tobytes() for example in examples("code")]
    parts = [
        [e["targets"].tobytes() for e in examples("code", shard_info=seqio.ShardInfo(n, 3))]
        for n in range(3)
    ]
    assert [len(part) for part in parts] == [len(whole[n::3]) for n in range(3)]
    assert sorted(sum(parts, [])) == sorted(whole)


def test_shuffling_keeps_the_examples(vocabulary):
    straight = [e["targets"].tobytes() for e in examples("code")]
    shuffled = [e["targets"].tobytes() for e in examples("code", shuffle=True, seed=3)]
    assert straight != shuffled and sorted(straight) == sorted(shuffled)


def test_registering_again_replaces(prepared, vocabulary):
    before = seqio.get_mixture_or_task("code")
    again = register(prepared)
    assert again.sha256 == vocabulary.sha256
    assert seqio.get_mixture_or_task("code") is not before


@settings(max_examples=50, deadline=None)
@given(text=texts)
def test_vocabulary_as_seqio_sees_it(prepared, text):
    ours = Vocabulary.load(f"{prepared}/tokenizer.model")
    theirs = SeqioVocabulary(ours)
    assert theirs.vocab_size == ours.size
    assert (theirs.bos_id, theirs.eos_id, theirs.unk_id) == (1, 2, 0)
    assert theirs == SeqioVocabulary(ours) and hash(theirs) == hash(SeqioVocabulary(ours))
    ids = theirs.encode(text)
    assert ids == ours.encode(text)
    assert theirs.decode(ids) == text
    assert theirs.encode_tf(tf.constant(text.encode())).numpy().tolist() == ids
    assert theirs.decode_tf(tf.constant(ids, tf.int32)).numpy() == text.encode()


def test_vocabulary_in_a_graph(vocabulary):
    ours, lines = SeqioVocabulary(vocabulary), ["def f(x):", "", " naïve ☃"]
    encoded = tf.data.Dataset.from_tensor_slices(lines).map(ours.encode_tf)
    assert [ids.tolist() for ids in encoded.as_numpy_iterator()] == vocabulary.encode_batch(lines)
    decoded = encoded.map(ours.decode_tf)
    assert [text.decode() for text in decoded.as_numpy_iterator()] == lines


def test_records_are_those_of_the_shards(prepared):
    records = Records(prepared, "code", "train")
    record = json.loads(records.raw(3))
    assert records[3] == record and record["text"]
