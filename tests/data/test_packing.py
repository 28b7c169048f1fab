import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama_jax.data.packing import pack

lengths_and_rows = st.integers(1, 64).flatmap(
    lambda row: st.tuples(st.lists(st.integers(0, 3 * row), max_size=60), st.just(row))
)


def packed(lengths, row_length):
    return pack(np.array(lengths, np.int64), row_length)


@settings(max_examples=300, deadline=None)
@given(lengths_and_rows)
def test_every_position_stands_in_exactly_one_row(case):
    lengths, row_length = case
    rows = packed(lengths, row_length)
    found = [(p.document, n) for row in rows for p in row for n in range(p.start, p.stop)]
    assert sorted(found) == [(d, n) for d, length in enumerate(lengths) for n in range(length)]
    assert all(0 < sum(piece.length for piece in row) <= row_length for row in rows)
    assert all(piece.length > 0 for row in rows for piece in row)


@settings(max_examples=300, deadline=None)
@given(lengths_and_rows)
def test_only_documents_longer_than_a_row_are_cut(case):
    lengths, row_length = case
    for piece in itertools.chain(*packed(lengths, row_length)):
        length = lengths[piece.document]
        assert piece.whole == (piece.length == length) == (length <= row_length)
        assert piece.whole or piece.start % row_length == 0


@settings(max_examples=300, deadline=None)
@given(lengths_and_rows)
def test_no_two_rows_could_have_been_one(case):
    lengths, row_length = case
    fills = sorted(sum(piece.length for piece in row) for row in packed(lengths, row_length))
    assert len(fills) < 2 or fills[0] + fills[1] > row_length


@settings(max_examples=100, deadline=None)
@given(lengths_and_rows)
def test_same_arguments_same_rows(case):
    assert packed(*case) == packed(*case)


def test_rows_of_a_corpus_are_nearly_full():
    """Lengths as code has them: log-normal, the median shorter than a row, a tail far longer."""
    lengths = np.random.default_rng(0).lognormal(6.5, 1.3, 20_000).astype(int) + 1
    rows = packed(lengths, 2048)
    assert lengths.sum() / (len(rows) * 2048) > 0.99


def test_best_fit_takes_the_fullest_row_that_has_room():
    rows = packed([3, 4, 6, 7], 10)
    assert [[piece.document for piece in row] for row in rows] == [[3, 0], [2, 1]]


def test_no_documents():
    assert packed([], 8) == packed([0, 0], 8) == []
