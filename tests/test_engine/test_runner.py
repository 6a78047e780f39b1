"""Configs whose variables nobody carried on before the runner is built."""
import pytest
from mmyolo.registry import RUNNERS
from tiny_training import options, read_config, write_images

from yolo_world_rep.engine import VariablesRunner


@pytest.fixture
def cfg(tmp_path):
    """Read and changed as mmyolo's tools do, which know no variables."""
    write_images(tmp_path)
    cfg = read_config()
    cfg.merge_from_dict(options(tmp_path))
    cfg.work_dir = str(tmp_path / 'run')
    return cfg


def test_runner_carries_variables_on(cfg):
    runner = RUNNERS.build(cfg)
    assert isinstance(runner, VariablesRunner)
    assert runner.model.bbox_head.num_classes == 3
    assert runner.cfg.train_cfg.max_epochs == 2
    assert runner.cfg.custom_hooks[1].switch_epoch == 1
    # The caller's is as it was.
    assert cfg.train_cfg.max_epochs == 80


def test_runner_refuses_contradictions(cfg):
    cfg.merge_from_dict({'train_cfg.max_epochs': 7})
    with pytest.raises(ValueError, match='disagree'):
        RUNNERS.build(cfg)
