"""Whether a checkpoint's data is still the same."""

from pathlib import Path

import pytest

from codellama_jax.errors import UserError
from codellama_jax.training.lineage import check_fingerprint, told

SAVED = {"seed": 0, "rates": {"code": 0.9, "nl": 0.1}, "lengths": {"code": "a" * 64}}


def test_nothing_changed():
    assert check_fingerprint(SAVED, dict(reversed(SAVED.items())), Path("run")) == {}


def test_what_changed_is_named_with_the_way_out():
    now = {**SAVED, "seed": 3, "lengths": {"code": "b" * 64}}
    with pytest.raises(UserError) as caught:
        check_fingerprint(SAVED, now, Path("run/code"))
    text = str(caught.value)
    assert text.startswith("run/code: ") and "lengths, seed changed" in text
    assert "train.accept_changed_data = True" in text and "\n" not in text


def test_what_is_accepted_is_told_whole():
    now = {**SAVED, "seed": 3, "split": "train"}
    changed = check_fingerprint(SAVED, now, Path("run"), accept=True)
    assert changed == {"seed": {"was": 0, "is": 3}, "split": {"was": None, "is": "train"}}
    assert told(changed) == "seed, split changed (seed was 0, is 3)"
