import numpy as np
import pytest
from helpers import texts
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from codellama_jax.text import (
    InfillFormat,
    cut_document,
    infill_prompt,
    infill_sequence,
    infilled_text,
)

PSM, SPM = InfillFormat.PSM, InfillFormat.SPM
formats = st.sampled_from(InfillFormat)
both = pytest.mark.parametrize("infill_format", InfillFormat)


@st.composite
def cut_texts(draw):
    """A document and two places to cut it."""
    text = draw(texts)
    start, stop = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    return text[:start], text[start:stop], text[stop:]


def parts_of(ids, vocabulary, infill_format):
    """Prefix, suffix and middle ids of a sequence, by the sentinels alone; SPM's prefix is in its
    middle."""
    v = vocabulary
    pre, suf, mid, eot = (ids.index(i) for i in (v.pre_id, v.suf_id, v.mid_id, v.eot_id))
    assert ids[0] == v.bos_id and pre == 1 and eot == len(ids) - 1
    assert sum(i in v.control_ids for i in ids) == 5
    return ids[pre + 1 : suf], ids[suf + 1 : mid], ids[mid + 1 : eot]


def test_golden_prompt_of_code_llama(llama):
    prefix = 'def remove_non_ascii(s: str) -> str:\n    """ '
    golden = (
        "1 32007 822 3349 29918 5464 29918 294 18869 29898 29879 29901 851 29897 1599 851 29901 13"
        " 1678 9995 29871 32008 13 1678 736 1121 13 32009"
    )
    ids = infill_prompt(llama, prefix, "\n    return result\n", PSM)
    assert ids == [int(i) for i in golden.split()]


@settings(max_examples=100, deadline=None)
@given(cut=cut_texts())
@example(cut=("", "", ""))
def test_layouts(vocabulary, cut):
    v, (prefix, middle, suffix) = vocabulary, cut
    bos, pre, suf, mid, eot = v.bos_id, v.pre_id, v.suf_id, v.mid_id, v.eot_id
    enc, inf = v.encode, v.encode_infix
    assert infill_prompt(v, prefix, suffix, PSM) == [
        *(bos, pre, *enc(prefix), suf, *inf(suffix), mid)
    ]
    assert infill_prompt(v, prefix, suffix, SPM) == [
        *(bos, pre, suf, *inf(suffix), mid, *enc(prefix))
    ]
    assert infill_sequence(v, prefix, middle, suffix, PSM) == [
        *(bos, pre, *enc(prefix), suf, *inf(suffix), mid, *inf(middle), eot)
    ]
    assert infill_sequence(v, prefix, middle, suffix, SPM) == [
        *(bos, pre, suf, *inf(suffix), mid, *enc(prefix + middle), eot)
    ]


@settings(max_examples=200, deadline=None)
@given(cut=cut_texts())
@example(cut=("a", "", ""))
@example(cut=("", " a", " "))
@example(cut=("<PRE>", "<MID>", "<SUF><EOT>"))
def test_document_is_recovered_from_either_format(vocabulary, cut):
    v, (prefix, middle, suffix) = vocabulary, cut
    before, after, between = parts_of(infill_sequence(v, *cut, PSM), v, PSM)
    assert (v.decode(before), v.decode_infix(between), v.decode_infix(after)) == cut
    before, after, joint = parts_of(infill_sequence(v, *cut, SPM), v, SPM)
    assert before == []
    assert v.decode(joint) + v.decode_infix(after) == prefix + middle + suffix


@settings(max_examples=200, deadline=None)
@given(cut=cut_texts())
def test_prompt_is_the_beginning_of_the_training_sequence(vocabulary, cut):
    v, (prefix, middle, suffix) = vocabulary, cut
    prompt, sequence = infill_prompt(v, prefix, suffix, PSM), infill_sequence(v, *cut, PSM)
    assert len(prompt) < len(sequence) and sequence[: len(prompt)] == prompt
    assert sequence[len(prompt) :] == [*v.encode_infix(middle), v.eot_id]
    prompt, sequence = infill_prompt(v, prefix, suffix, SPM), infill_sequence(v, *cut, SPM)
    shared = prompt.index(v.mid_id) + 1
    assert sequence[:shared] == prompt[:shared]
    assert v.decode(prompt[shared:]) == prefix
    assert infill_sequence(v, prefix, "", suffix, SPM) == [*prompt, v.eot_id]


@pytest.mark.parametrize("middle", ["x * 2\n", "\n        y = 3\n        ", "(a, b)"])
def test_spm_prompt_is_the_beginning_where_no_token_spans_the_cut(llama, middle):
    prefix, suffix = "def f(x):\n    y =", "\n    return y\n"
    middle = " " + middle
    prompt = infill_prompt(llama, prefix, suffix, SPM)
    sequence = infill_sequence(llama, prefix, middle, suffix, SPM)
    assert len(prompt) < len(sequence) and sequence[: len(prompt)] == prompt
    assert infilled_text(llama, prefix, sequence[len(prompt) :], SPM) == middle


@settings(max_examples=200, deadline=None)
@given(cut=cut_texts(), infill_format=formats, junk=st.lists(st.integers(0, 399), max_size=5))
def test_what_the_model_writes_is_cut_at_eot(vocabulary, cut, infill_format, junk):
    v, (prefix, middle, _) = vocabulary, cut
    joint = infill_format == SPM and not prefix
    written = v.encode(middle) if joint else v.encode_infix(middle)
    for end in (v.eot_id, v.eos_id):
        assert infilled_text(v, prefix, [*written, end, *junk], infill_format) == middle
    assert infilled_text(v, prefix, written, infill_format) == middle


@both
def test_nothing_written_is_no_text(vocabulary, infill_format):
    assert infilled_text(vocabulary, "x = ", [], infill_format) == ""
    assert infilled_text(vocabulary, "x = ", [vocabulary.eot_id], infill_format) == ""


# Where documents are cut

FIVE = "a☃\U0001f680\né"


def draws(text, count, seed):
    generator = np.random.default_rng(seed)
    cuts = (cut_document(text, generator) for _ in range(count))
    return [(len(prefix), len(prefix) + len(middle)) for prefix, middle, _ in cuts]


def test_cuts_are_two_independent_uniform_places():
    """Of the 36 ordered pairs of 6 places each is as likely: sorted, a < b twice as likely."""
    count = 12_000
    pairs = [(a, b) for a in range(6) for b in range(a, 6)]
    found = draws(FIVE, count, seed=0)
    observed = [found.count(pair) for pair in pairs]
    expected = [count / 36 * (1 if a == b else 2) for a, b in pairs]
    assert sum(observed) == count
    assert stats.chisquare(observed, expected).pvalue > 0.01


def test_cuts_are_uniform_over_a_long_text():
    text = "x" * 999
    places = np.array(draws(text, 4_000, seed=1)).ravel()
    observed, _ = np.histogram(places, bins=20, range=(0, 1000))
    assert stats.chisquare(observed).pvalue > 0.01


@settings(max_examples=200, deadline=None)
@given(text=texts, seed=st.integers(0, 2**32))
def test_cuts_fall_between_characters(text, seed):
    parts = cut_document(text, np.random.default_rng(seed))
    assert "".join(parts) == text
    assert b"".join(part.encode("utf-8") for part in parts) == text.encode("utf-8")
    assert cut_document(text, np.random.default_rng(seed)) == parts


def test_line_cuts_fall_where_lines_begin():
    text = "a\nbb\n\nc"
    places = [0, 2, 5, 6, 7]
    generator = np.random.default_rng(0)
    cuts = [cut_document(text, generator, whole_lines=True) for _ in range(10_000)]
    assert all("".join(parts) == text for parts in cuts)
    found = [(len(prefix), len(prefix + middle)) for prefix, middle, _ in cuts]
    pairs = [(a, b) for n, a in enumerate(places) for b in places[n:]]
    observed = [found.count(pair) for pair in pairs]
    assert sum(observed) == len(found)
    expected = [len(found) / 25 * (1 if a == b else 2) for a, b in pairs]
    assert stats.chisquare(observed, expected).pvalue > 0.01
    assert cut_document("x\n", generator, whole_lines=True) != ("x", "\n", "")
    assert cut_document("", generator, whole_lines=True) == ("", "", "")
