import time

from yolo_world_rep.demo.timing import costs_in_turn


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
            'quick': (sleeper, (0., 1)),
            'slow': (sleeper, (0.05, 300))
        },
        rounds=2,
        warm_up=1)
    assert costs['slow'].seconds >= 0.05
    assert costs['quick'].call_mib < 150 < costs['slow'].call_mib
    assert costs['slow'].peak_mib > costs['slow'].call_mib
