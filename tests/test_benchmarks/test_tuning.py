from pathlib import Path

import numpy as np
import pytest
import torch
import tuning
import tuning_world as world
from mmengine.registry import DefaultScope
from mmyolo.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

from yolo_world_rep.config.variables import check_config, resolve_variables
from yolo_world_rep.datasets.shapes import all_pairs
from yolo_world_rep.demo.world import EMBEDDINGS, Sizes
from yolo_world_rep.text import load_embeddings

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'demo'
TUNED = world.pairs_to_tune()
SCHEDULE = tuning.Schedule(epochs=3, lr=2e-3, batch=4)


@pytest.fixture(scope='module')
def ways(tmp_path_factory):
    root = tmp_path_factory.mktemp('world')
    world.make_tuning_world(root, TUNED, 0, Sizes(2, 2, 4))
    return tuning.Ways(CONFIGS, root, SCHEDULE)


def _build(cfg):
    with DefaultScope.overwrite_default_scope('mmyolo'):
        return MODELS.build(cfg.model)


@pytest.fixture(params=['text', 'folded', 'prompts', 'scratch'])
def resolved(request, ways):
    cfg, _ = resolve_variables(getattr(ways, request.param)())
    return request.param, cfg


def test_all_ways_have_the_same_schedule(resolved):
    _, cfg = resolved
    check_config(cfg)
    assert cfg.train_cfg.max_epochs == 3
    assert cfg.default_hooks.param_scheduler.max_epochs == 3
    assert cfg.optim_wrapper.optimizer.lr == 2e-3
    assert cfg.train_dataloader.batch_size == 4


def test_what_trains_and_for_how_many_classes(resolved):
    name, cfg = resolved
    model = _build(cfg).train()
    trained = {k for k, p in model.named_parameters() if p.requires_grad}
    if name == 'prompts':
        assert trained == {'embeddings'}
        assert not any(
            module.training for part in (model.neck, model.backbone)
            for module in part.modules() if isinstance(module, _BatchNorm))
        expected = load_embeddings(cfg.model.embedding_path).vectors
        np.testing.assert_array_equal(model.embeddings.detach(), expected)
    else:
        # Of YOLO's distributions of distances, the projection is fixed.
        assert {k for k, _ in model.named_parameters()} == trained
    assert model.bbox_head.num_classes == len(TUNED)


def test_a_step_of_each_way(resolved, tmp_path):
    name, cfg = resolved
    path = tmp_path / 'config.py'
    cfg.dump(path)
    torch.manual_seed(0)
    tuning.training_step(path)()


def test_scratch_has_backbone_and_neck_of_that_size(ways):
    plain, folded = (_build(cfg) for cfg in (ways.scratch(), ways.folded()))
    shapes = {k: v.shape for k, v in folded.state_dict().items()}
    for key, value in plain.backbone.state_dict().items():
        assert shapes[f'backbone.image_model.{key}'] == value.shape
    for level in (0, 1):
        key = f'neck.bottom_up_layers.{level}.main_conv.conv.weight'
        assert shapes[key] == plain.state_dict()[key].shape
    assert ways.scratch(9).max_epochs == 9


def test_a_training_is_not_done_twice(ways, tmp_path, monkeypatch):
    done = []

    def run(command, *args):
        work_dir = Path(command[command.index('--work-dir') + 1])
        work_dir.mkdir(parents=True)
        (work_dir / 'last_checkpoint').write_text('elsewhere/epoch_3.pth')
        done.append(command)

    monkeypatch.setattr(tuning.training, 'run_training', run)
    trainings = tuning.Trainings(tmp_path, 'tools', seed=4)
    for _ in range(2):
        path = trainings.train(ways.folded(), 'folded', load_from='a.pth')
        assert path == tmp_path / 'folded' / 'epoch_3.pth'
    command, = done
    assert command[-2:] == ['randomness.seed=4', 'load_from=a.pth']
    assert Path(command[2]).exists()


def test_renamed_world_keeps_images_and_order(ways, tmp_path):
    names = dict(zip(TUNED, 'abcdefgh'))
    world.rename_classes(ways.root, tmp_path, names)
    assert load_embeddings(tmp_path / world.TUNED).names == tuple('abcdefgh')
    renamed = load_embeddings(tmp_path / EMBEDDINGS).names
    assert renamed == tuple(names.get(each, each) for each in all_pairs())
    assert load_embeddings(tmp_path / world.HELD_OUT).names == (
        load_embeddings(ways.root / world.HELD_OUT).names)
    for folder in (world.TUNE, world.TUNE_VAL, 'val'):
        for image in (ways.root / folder).glob('*.jpg'):
            assert (tmp_path / folder / image.name).read_bytes() == (
                image.read_bytes())
