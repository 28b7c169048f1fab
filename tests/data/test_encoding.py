import asyncio
import email
import encodings
import json
from pathlib import Path

import gin
import numpy as np
import pytest
from helpers import small_vocabulary, texts
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from codellama_jax.data.encoding import Dialogue, DocumentKey, Infill, LeftToRight
from codellama_jax.text import InfillFormat, infill_sequence, render_dialogue

TEXT = "def area(width, height):\n    return width * height  # in m²\n" * 3


def key(document=0, epoch=0, seed=0, task="code"):
    return DocumentKey(seed, task, epoch, document)


def kinds_of(vocabulary, ids, text) -> set[str]:
    """Forms of `text` that the ids can be. Without a prefix both forms have the same sentinels,
    and only the middle's implicit leading space, if there is a middle, tells them apart."""
    v, ids = vocabulary, list(ids)
    if v.pre_id not in ids:
        return {"left to right"} if v.decode(ids) == text else set()
    suf, mid = ids.index(v.suf_id), ids.index(v.mid_id)
    prefix, suffix, middle = ids[:suf], ids[suf:mid], ids[mid:]
    read = {"psm": v.decode(prefix) + v.decode_infix(middle) + v.decode_infix(suffix)}
    if suf == 2:
        read["spm"] = v.decode(middle) + v.decode_infix(suffix)
    return {form for form, found in read.items() if found == text}


@given(text=texts)
@settings(max_examples=100, deadline=None)
def test_left_to_right_is_bos_text_eos(text):
    v = small_vocabulary()
    encoder = LeftToRight(v)
    sequence = encoder.encode({"text": text})
    assert sequence.ids.tolist() == [v.bos_id, *v.encode(text), v.eos_id]
    assert sequence.ids.dtype == np.int32 and sequence.in_loss.all()
    assert encoder.plan(len(v.encode(text)), 64) == len(sequence.ids) - 1
    again = encoder.encode_whole({"text": text}, key(), None)
    np.testing.assert_array_equal(again.ids, sequence.ids)


@given(text=texts, document=st.integers(0, 50), epoch=st.integers(0, 5))
@settings(max_examples=300, deadline=None)
@example(text="", document=0, epoch=0)
def test_infilled_documents_hold_their_whole_text(text, document, epoch):
    v = small_vocabulary()
    ids, in_loss, _ = Infill(v).encode_whole({"text": text}, key(document, epoch), None)
    kinds = kinds_of(v, ids, text)
    assert kinds
    assert ids[0] == v.bos_id and v.bos_id not in ids[1:] and in_loss.all()
    infilled = kinds != {"left to right"}
    assert ids[-1] == (v.eot_id if infilled else v.eos_id)
    controls = [v.bos_id, v.pre_id, v.suf_id, v.mid_id, v.eot_id] if infilled else [1, 2]
    assert sorted(i for i in ids.tolist() if i in v.control_ids) == sorted(controls)


@pytest.mark.parametrize(("rate", "psm_share"), [(0.9, 0.5), (0.5, 0.1)])
def test_shares_of_the_forms(rate, psm_share):
    v = small_vocabulary()
    gin.bind_parameter("Infill.rate", rate)
    gin.bind_parameter("Infill.psm_share", psm_share)
    encoder, count = Infill(v), 2000
    sequences = [encoder.encode_whole({"text": TEXT}, key(n), None).ids for n in range(count)]
    possible = [kinds_of(v, ids, TEXT) for ids in sequences]
    assert sum(len(kinds) == 1 for kinds in possible) > 0.98 * count
    kinds = [min(kinds) for kinds in possible]
    infilled = count - kinds.count("left to right")
    assert stats.binomtest(infilled, count, rate).pvalue > 0.01
    assert stats.binomtest(kinds.count("psm"), infilled, psm_share).pvalue > 0.01


def test_rate_zero_and_one():
    v = small_vocabulary()
    never, always = Infill(v, rate=0.0), Infill(v, rate=1.0, psm_share=1.0)
    for n in range(100):
        plain = never.encode_whole({"text": TEXT}, key(n), None).ids
        assert kinds_of(v, plain, TEXT) == {"left to right"}
        assert "psm" in kinds_of(v, always.encode_whole({"text": TEXT}, key(n), None).ids, TEXT)


def test_cuts_of_a_corpus_are_uniform_over_the_characters():
    v = small_vocabulary()
    encoder, starts = Infill(v, rate=1.0, psm_share=1.0), []
    for n in range(1500):
        ids = encoder.encode_whole({"text": TEXT}, key(n), None).ids.tolist()
        prefix = len(v.decode(ids[: ids.index(v.suf_id)]))
        middle = len(v.decode_infix(ids[ids.index(v.mid_id) :]))
        starts += [prefix, prefix + middle]
    observed, _ = np.histogram(starts, bins=10, range=(0, len(TEXT) + 1))
    assert stats.chisquare(observed).pvalue > 0.01


@pytest.mark.parametrize("psm_share", [0.0, 1.0])
def test_every_document_of_a_real_corpus_is_recovered(psm_share):
    """The source files of four packages of the standard library, each cut once."""
    v = small_vocabulary()
    encoder = Infill(v, rate=1.0, psm_share=psm_share)
    packages = (asyncio, email, encodings, json)
    paths = [path for p in packages for path in Path(p.__file__).parent.glob("*.py")]
    assert len(paths) > 150
    for n, path in enumerate(sorted(paths)):
        text = path.read_bytes().decode()
        ids = encoder.encode_whole({"text": text}, key(n), None).ids
        assert ("psm" if psm_share else "spm") in kinds_of(v, ids, text), path


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_share_of_the_documents_cut_between_lines(share):
    v, text, count = small_vocabulary(), "x\n" + "abcdefghij" * 30 + "\ny\n", 1000
    encoder, aligned = Infill(v, rate=1.0, psm_share=1.0, line_share=share), 0
    for n in range(count):
        ids = encoder.encode_whole({"text": text}, key(n), None).ids.tolist()
        prefix = v.decode(ids[: ids.index(v.suf_id)])
        aligned += prefix in ("", "x\n", text[:-2], text)
    # Between characters a cut meets one of the four places about once in eighty documents.
    assert share * count * 0.85 - 5 < aligned < share * count * 1.15 + 40


def test_each_visit_has_its_own_cut_and_keeps_it():
    v = small_vocabulary()
    encoder = Infill(v, rate=1.0)

    def ids(**names):
        return tuple(encoder.encode_whole({"text": TEXT}, key(**names), None).ids.tolist())

    assert len({ids(epoch=epoch) for epoch in range(20)}) >= 19
    assert len({ids(), ids(document=1), ids(seed=1), ids(task="nl"), ids(epoch=1)}) == 5
    assert ids(document=3, epoch=2) == ids(document=3, epoch=2)


def test_keys_do_not_run_into_each_other():
    names = [key(task="a/1", document=2), key(task="a", epoch=1, document=2), key(document=12)]
    names += [key(epoch=1, document=2), key(epoch=12), key(seed=1, document=2)]
    drawn = {name.generator().integers(0, 2**62) for name in names}
    assert len(drawn) == len(names)


def test_infilled_document_that_overflows_stays_left_to_right():
    v = small_vocabulary()
    encoder = Infill(v, rate=1.0)
    plain = encoder.encode({"text": TEXT})
    positions = len(plain.ids) - 1
    for n in range(50):
        free = encoder.encode_whole({"text": TEXT}, key(n), None)
        needed = len(free.ids) - 1
        assert needed > positions
        exact = encoder.encode_whole({"text": TEXT}, key(n), needed)
        np.testing.assert_array_equal(exact.ids, free.ids)
        short = encoder.encode_whole({"text": TEXT}, key(n), needed - 1)
        np.testing.assert_array_equal(short.ids, plain.ids)


@given(tokens=st.integers(0, 40), row=st.integers(1, 30), slack=st.integers(0, 12))
def test_infilling_plans_room_without_cutting_what_fits(tokens, row, slack):
    planned = Infill(small_vocabulary(), slack=slack).plan(tokens, row)
    if tokens + 1 > row:
        assert planned == tokens + 1
    else:
        assert tokens + 1 <= planned <= min(row, tokens + 1 + slack)


def test_infilled_sequence_is_the_text_rooms():
    """One place for the format: what is trained on is what prompts are made of."""
    v = small_vocabulary()
    ids = Infill(v, rate=1.0, psm_share=1.0).encode_whole({"text": TEXT}, key(), None).ids.tolist()
    suf, mid = ids.index(v.suf_id), ids.index(v.mid_id)
    parts = v.decode(ids[:suf]), v.decode_infix(ids[mid:]), v.decode_infix(ids[suf:mid])
    assert infill_sequence(v, *parts, InfillFormat.PSM) == ids


# Dialogues


def talk(pairs, system=None):
    head = [] if system is None else [{"role": "system", "content": system}]
    return head + [
        {"role": role, "content": f"{role} says {n} " + "word " * n}
        for n in range(pairs)
        for role in ("user", "assistant")
    ]


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_long_dialogue_loses_its_oldest_pairs(system):
    v = small_vocabulary()
    encoder, messages = Dialogue(v), talk(5, system)
    head = messages[:1] if system else []
    turns = messages[len(head) :]
    for kept in range(5, 0, -1):
        expected = render_dialogue(v, head + turns[len(turns) - 2 * kept :])
        room = len(expected.ids) - 1
        for row_length in (room, room + 1):
            sequence = encoder.encode({"messages": messages}, row_length)
            assert sequence.ids.tolist() == expected.ids
            assert sequence.in_loss.tolist() == expected.in_loss
            assert sequence.left_out == 2 * (5 - kept)
    assert len(encoder.encode({"messages": messages}, room - 1).ids) == 0
    assert encoder.encode({"messages": messages}).ids.tolist() == (render_dialogue(v, messages).ids)


def test_dialogue_whole_is_what_was_planned():
    v = small_vocabulary()
    encoder, record = Dialogue(v), {"messages": talk(4)}
    planned = encoder.encode(record, 60)
    found = encoder.encode_whole(record, key(), len(planned.ids) - 1)
    np.testing.assert_array_equal(found.ids, planned.ids)
    np.testing.assert_array_equal(found.in_loss, planned.in_loss)


def test_generators_are_numpys_of_the_same_key():
    import hashlib

    for visit in (key(), key(3, 2, 1, "nl"), key()):
        digest = hashlib.blake2b("/".join(map(str, visit)).encode(), digest_size=16).digest()
        fresh = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
        found = visit.generator()
        assert found.random() == fresh.random()
        np.testing.assert_array_equal(found.integers(0, 7, 5), fresh.integers(0, 7, 5))
        assert found.integers(0, 9) == fresh.integers(0, 9)  # leaves half a number behind
