import time

import pytest
from processes import costs_in_turn


def sleeper(seconds, mebibytes):
    """A call that takes that long and holds so much."""

    def call():
        held = bytearray(b'x') * (mebibytes << 20)
        time.sleep(seconds)
        del held

    return call


def test_costs_are_those_of_each_process():
    costs = costs_in_turn(
        {
            'quick': (sleeper, dict(seconds=0., mebibytes=1)),
            'slow': (sleeper, dict(seconds=0.05, mebibytes=300))
        },
        rounds=2,
        warm_up=1)
    assert costs['slow'].seconds >= 0.05
    assert costs['quick'].call_mib < 150 < costs['slow'].call_mib
    assert costs['slow'].peak_mib > costs['slow'].call_mib
    assert costs['slow'].ratio(costs['quick']) > 1


def failing():
    """Nothing to call."""
    raise ValueError('no such model')


def test_a_process_that_ends_is_named():
    with pytest.raises(RuntimeError, match='The process of bad ended'):
        costs_in_turn({
            'good': (sleeper, dict(seconds=0., mebibytes=1)),
            'bad': (failing, {})
        })
