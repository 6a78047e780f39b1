import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from yolo_world_rep.datasets.transforms import LoadText, RandomLoadText


def _results(labels, texts):
    labels = np.array(labels, np.int64)
    # Every box, flag and mask is marked with its label.
    marks = torch.from_numpy(labels).float()[:, None]
    masks = np.broadcast_to(labels[:, None, None], (len(labels), 4, 4))
    return dict(
        gt_bboxes=HorizontalBoxes(marks.repeat(1, 4)),
        gt_bboxes_labels=labels,
        gt_ignore_flags=labels % 2 == 1,
        gt_masks=BitmapMasks(masks.astype(np.uint8), 4, 4),
        texts=texts)


def test_load_text_takes_first_synonyms_in_order():
    texts = [['sofa', 'couch'], ['cat'], ['a/b']]
    results = LoadText(prompt_format='a {0}')(dict(texts=texts))
    assert results['texts'] == ['a sofa', 'a cat', 'a a/b']
    assert texts == [['sofa', 'couch'], ['cat'], ['a/b']]


def test_texts_come_from_a_file_where_the_dataset_has_none(tmp_path):
    path = tmp_path / 'texts.json'
    path.write_text(json.dumps([['sofa', 'couch'], ['cat']]))
    assert LoadText(str(path))({})['texts'] == ['sofa', 'cat']
    texts = LoadText(str(path))(dict(texts=[['dog']]))['texts']
    assert texts == ['dog']
    drawn = RandomLoadText(str(path))({})['texts']
    assert len(drawn) == 2
    for transform in (LoadText(), RandomLoadText()):
        with pytest.raises(ValueError, match='neither text_path nor'):
            transform({})


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30).flatmap(lambda n: st.tuples(
        st.just(n), st.lists(st.integers(0, n - 1), max_size=12))),
    st.integers(0, 10), st.integers(0, 10), st.integers(1, 20),
    st.booleans(), st.integers(0, 2**31))
def test_labels_follow_their_texts(world, low, more, largest, pad, seed):
    count, labels = world
    np.random.seed(seed)
    vocabulary = [[f'{i}', f'{i} again'] for i in range(count)]
    transform = RandomLoadText(
        num_neg_samples=(low, low + more),
        max_num_samples=largest,
        padding_to_max=pad,
        padding_value='pad')

    results = transform(_results(labels, vocabulary))

    texts = [t for t in results['texts'] if t != 'pad']
    drawn = [int(text.split()[0]) for text in texts]
    assert len(set(drawn)) == len(drawn) <= largest
    assert len(results['texts']) == (largest if pad else len(texts))
    # Positives as far as they fit, then negatives within their limits.
    positives = set(labels)
    if len(positives) <= largest:
        assert positives <= set(drawn)
    else:
        assert set(drawn) < positives
    negatives = len(set(drawn) - positives)
    assert negatives <= low + more
    assert (negatives >= low or len(drawn) in (largest, count))
    # Whatever belongs to a box stays with it, in order; the others go.
    kept = [label for label in labels if label in drawn]
    new = results['gt_bboxes_labels']
    assert [drawn[i] for i in new] == kept
    assert results['gt_bboxes'].tensor[:, 0].tolist() == kept
    assert results['gt_ignore_flags'].tolist() == [i % 2 == 1 for i in kept]
    assert results['gt_masks'].masks[:, 0, 0].tolist() == kept


def test_order_and_synonyms_vary():
    np.random.seed(0)
    vocabulary = [['sofa', 'couch'], ['cat'], ['dog']]
    drawn = {
        tuple(RandomLoadText()(_results([0], vocabulary))['texts'])
        for _ in range(100)
    }
    assert len(drawn) == 12  # 3! orders, 2 names of the sofa


def test_boxes_cannot_be_dropped_from_a_merged_mask_map():
    results = _results([0, 1], [['a'], ['b']])
    del results['gt_masks']
    results['gt_panoptic_seg'] = torch.zeros(1, 4, 4)
    with pytest.raises(ValueError, match='before Polygon2Mask'):
        RandomLoadText(max_num_samples=1)(results)


def test_label_without_a_text_is_refused():
    with pytest.raises(ValueError, match='2 class texts.*label 2'):
        RandomLoadText()(_results([0, 2], [['a'], ['b']]))


@pytest.mark.parametrize('cls, kwargs, message', [
    (LoadText, dict(prompt_format='a photo'), 'prompt_format=.*{}'),
    (LoadText, dict(prompt_format='{} or {}'), 'one {}'),
    (LoadText, dict(text_path='none.json'), 'none.json.*cannot be read'),
    (RandomLoadText, dict(num_neg_samples=80), 'num_neg_samples=80'),
    (RandomLoadText, dict(num_neg_samples=(3, 1)), 'least and the greatest'),
    (RandomLoadText, dict(max_num_samples=0), 'max_num_samples=0'),
])
def test_wrong_arguments_are_refused_at_once(cls, kwargs, message):
    with pytest.raises(ValueError, match=message):
        cls(**kwargs)
