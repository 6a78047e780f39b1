"""Medians of calls that are made in turns."""
from yolo_world_rep.utils import timing


def test_medians_of_calls_in_turns(monkeypatch):
    now, made = [0.], []
    monkeypatch.setattr(timing.time, 'perf_counter', lambda: now[0])
    # The first takes longer once, in the warm-up; the third round is slow.
    spent = dict(a=iter([9, 1, 2, 50]), b=iter([3, 3, 4, 70]))

    def call(name):

        def run():
            made.append(name)
            now[0] += next(spent[name])

        return run

    medians = timing.interleaved_medians(
        dict(a=call('a'), b=call('b')), rounds=3, warm_up=1)
    assert medians == dict(a=2000, b=4000)
    assert made == ['a', 'b'] * 4
