import torch

from yolo_world_rep.reparam.fit import (
    SHOWN,
    Fit,
    compare,
    describe,
    groups,
    under,
)


def state(**shapes):
    return {k.replace('__', '.'): torch.zeros(v) for k, v in shapes.items()}


def test_compare_names_every_kind_of_difference():
    model = state(a__w=(2, 3), b__w=(4, ), c=(1, ))
    fit = compare(state(a__w=(2, 5), c=(1, ), d=(1, )), model)
    assert fit == Fit(('b.w', ), ('d', ), (('a.w', (2, 5), (2, 3)), ))
    assert not fit
    assert compare(model, model)
    text = ' '.join(describe(fit))
    for part in ('b.w', 'd', 'a.w is (2, 5) in it and (2, 3) in the model'):
        assert part in text


def test_only_counters_of_batch_norms_may_be_missing():
    model = state(bn__num_batches_tracked=(), bn__running_var=(2, ))
    assert compare({}, model).missing == ('bn.running_var', )


def test_prefixes_end_at_a_dot():
    assert under('neck.top.0.weight', ['neck.top'])
    assert under('neck.top.0.weight', ['neck.top.'])
    assert under('embeddings', ['embeddings'])
    assert not under('neck.top_down.0.weight', ['neck.top'])
    assert not under('neck', [])


def test_long_lists_are_grouped_and_capped_with_a_count():
    names = [f'part.{i}.layer.weight' for i in range(50)]
    assert groups(names[:1]) == ['part.0.layer.weight']
    assert groups([f'a.b.c.{i}' for i in range(4)]) == ['a.b.c.* (4)']
    sentence, = describe(Fit(tuple(names), (), ()))
    assert '50 tensor(s)' in sentence
    assert f'and {50 - SHOWN} more' in sentence
    assert 'part.49' not in sentence
