"""Text while it grows: stops, characters whose bytes come apart, and what may be shown."""

import pytest
from helpers import small_vocabulary, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama_jax.generation.texts import GrowingText, stopped


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("    return 1\n\ndef g", ("\nclass", "\ndef"), "    return 1\n"),
        ("abc", ("c", "b"), "a"),
        ("abc", (), "abc"),
        ("abc", ("d",), "abc"),
        ("abc", ("abc",), ""),
        ("0123", ("123", "2"), "01"),
    ],
)
def test_a_text_is_cut_where_the_stop_begins_that_is_complete_first(text, stops, expected):
    assert stopped(text, stops) == expected


@settings(max_examples=150, deadline=None)
@given(text=texts, stops=st.lists(texts.filter(bool), max_size=2), sizes=st.data())
def test_what_is_shown_adds_up_to_the_text(text, stops, sizes):
    v = small_vocabulary()
    ids = v.encode_infix(text)
    growing = GrowingText(v, False, tuple(stops))
    shown, at = "", 0
    while at < len(ids):
        at = min(len(ids), at + sizes.draw(st.integers(1, 4)))
        found = growing.hear(ids[:at])
        shown += growing.news()
        assert stopped(text, stops).startswith(shown)
        if found:
            assert stopped(text, stops) != text
            break
    shown += growing.rest(ids[:at])
    assert shown == stopped(text, stops)
