import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codellama_jax.runs import read_lines
from codellama_jax.training.goodput import FILE, Goodput, Journal, goodput


def start(time, step=0):
    return {"time": time, "event": "start", "step": step}


def mark(time, step, waited=0.0, stalled=0.0, event="mark"):
    return {"time": time, "event": event, "step": step, "waited": waited, "stalled": stalled}


WHOLE = [
    start(1000.0),
    mark(1010.0, 1, waited=1.0),
    mark(1060.0, 51, waited=3.0, stalled=4.0),
    mark(1100.0, 91, waited=3.0, stalled=4.0),
    mark(1103.0, 91, waited=3.0, stalled=6.0, event="stop"),
]


def test_a_run_without_faults():
    told = goodput(WHOLE)
    assert told == Goodput(
        productive=84.0, start_up=10.0, data_wait=2.0, checkpoint_stall=6.0, down=1
    )
    assert told.wall == 103.0 and told.share == pytest.approx(84 / 103)


def test_steps_after_the_checkpoint_of_a_killed_process_are_replayed():
    journal = [
        *(start(0.0), mark(10.0, 1), mark(60.0, 51, stalled=4.0)),
        mark(80.0, 71, waited=5.0, stalled=4.0),
        # killed at some time; the checkpoint was of step 61
        *(start(100.0, 61), mark(105.0, 62), mark(145.0, 102, event="stop")),
    ]
    told = goodput(journal)
    # Half of the 20 seconds from step 51 to 71 are lost, with half of the wait.
    assert told == Goodput(
        46 + 7.5 + 40, 10 + 5, replay=10, data_wait=2.5, checkpoint_stall=4, down=20
    )
    assert told.wall == 145.0


def test_a_second_restart_may_go_back_behind_the_first():
    journal = [
        *(start(0.0), mark(1.0, 1), mark(101.0, 101)),
        *(start(110.0, 100), mark(111.0, 101), mark(161.0, 151)),
        *(start(170.0, 50), mark(172.0, 51), mark(272.0, 151)),
    ]
    told = goodput(journal)
    # Of the first process steps 2 to 50 are kept, of the second nothing.
    assert told == Goodput(49 + 100, 1 + 1 + 2, replay=51 + 50, down=9 + 9)
    assert told.wall == 272.0


def test_a_process_that_dies_before_its_first_step():
    journal = [start(0.0), start(30.0), mark(40.0, 1), mark(50.0, 11)]
    assert goodput(journal) == Goodput(productive=10.0, start_up=10.0, down=30.0)


def test_the_next_machines_clock_may_be_behind():
    journal = [start(100.0), mark(110.0, 1), mark(120.0, 11), start(90.0, 11), mark(95.0, 12)]
    assert goodput(journal) == Goodput(productive=10.0, start_up=15.0)


def test_nothing_yet():
    assert goodput([]) == Goodput() and goodput([start(5.0)]).share == 0.0
    assert str(goodput(WHOLE)) == (
        "goodput 81.6% of 1:43; lost: start-up 9.7%, data-wait 1.9%, checkpoint-stall 5.8%,"
        " down 1.0%"
    )


@st.composite
def journals(draw):
    """Processes that each do some steps and die, and the next one goes back."""
    time, reached, events = 0.0, 0, []
    for _ in range(draw(st.integers(1, 5))):
        step = draw(st.integers(0, reached))
        waited = stalled = 0.0
        events.append(start(time, step))
        for _ in range(draw(st.integers(0, 4))):
            seconds = draw(st.floats(1, 100))
            waited += draw(st.floats(0, 0.4)) * seconds
            stalled += draw(st.floats(0, 0.4)) * seconds
            time, step = time + seconds, step + draw(st.integers(1, 30))
            events.append(mark(time, step, waited, stalled))
        reached, time = max(reached, step), time + draw(st.floats(0, 50))
    return events


@given(journals())
def test_every_second_has_one_reason(events):
    told = goodput(events)
    assert told.wall == pytest.approx(events[-1]["time"] - events[0]["time"])
    assert min(vars(told).values()) >= 0.0 and 0.0 <= told.share <= 1.0


def test_a_journal_goes_on_behind_a_line_cut_short(tmp_path):
    lines = [json.dumps(event) for event in WHOLE[:3]]
    (tmp_path / FILE).write_text("\n".join(lines) + '\n{"time": 1080.0, "event": "ma')
    journal = Journal(tmp_path, 51, began=1200.0)
    told = journal.mark(52, 0.5, 0.0)
    last = journal.stop("preempted", 52, 0.5, 0.25)
    events = read_lines(tmp_path / FILE)
    assert [event["event"] for event in events] == [
        "start",
        "mark",
        "mark",
        "start",
        "mark",
        "stop",
    ]
    assert events[-1]["reason"] == "preempted"
    assert told.down == 140.0 and told.replay == 0.0 and told.productive == 44.0
    assert vars(goodput(events)) == pytest.approx(vars(last))
