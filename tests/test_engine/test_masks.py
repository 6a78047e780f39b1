from types import SimpleNamespace

from yolo_world_rep.engine.masks import (
    LOOKED_AT,
    count_masks,
    takes_boxes_from_masks,
)


class Data(list):

    def get_data_info(self, index):
        return dict(instances=self[index])


def test_masks_are_counted_without_crowds_and_not_for_ever():
    mask = [[0, 0, 1, 0, 1, 1]]
    image = [
        dict(mask=mask, ignore_flag=0),
        dict(ignore_flag=0),
        dict(ignore_flag=1)
    ]
    assert count_masks(Data([image, []])) == (1, 1)
    assert count_masks(Data([image] * 10_000)) == (LOOKED_AT, LOOKED_AT)


def test_pipelines_are_told_apart():
    for value in (True, False):
        step = SimpleNamespace(mask2bbox=value)
        pipeline = SimpleNamespace(transforms=[SimpleNamespace(), step])
        assert takes_boxes_from_masks(
            SimpleNamespace(pipeline=pipeline)) is value
    assert not takes_boxes_from_masks(SimpleNamespace())
