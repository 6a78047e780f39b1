"""The S configs take a training step and detect, on a tiny model."""
import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from tiny_training import (
    NAMES,
    SIDE,
    build_model,
    checkpoint_of,
    losses,
    options,
    read_config,
    write_images,
)

from yolo_world_rep.engine import check_config, launch, resolve_variables
from yolo_world_rep.reparam.state_dict import reparameterize_state_dict
from yolo_world_rep.text import load_embeddings, save_embeddings

FOLDER = Path(__file__).resolve().parents[2] / 'configs'
TRAINED = sorted(
    path for folder in ('finetune_coco', 'prompt_tuning_coco')
    for path in (FOLDER / folder).glob('yolo_world_v2_s_*.py'))


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Images, texts and embeddings of three classes."""
    root = tmp_path_factory.mktemp('data')
    write_images(root)
    texts = [[name] for name in NAMES]
    (root / 'texts.json').write_text(json.dumps(texts))
    vectors = np.random.default_rng(0).normal(size=(len(NAMES), 512))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    save_embeddings(root / 'embeddings.npy', vectors.astype(np.float32), NAMES)
    return root


def tiny(path, root):
    """A config as ``--cfg-options`` make it tiny."""
    cfg = read_config(path)
    changes = options(root, embedding_path=f'{root}/embeddings.npy')
    changes['class_text_path'] = f'{root}/texts.json'
    cfg.merge_from_dict(changes)
    cfg, _ = resolve_variables(cfg)
    check_config(cfg)
    if cfg.model.backbone.get('text_model'):
        # In the place of CLIP's weights.
        cfg.model.backbone.text_model = dict(
            type='PseudoLanguageBackbone',
            text_embed_path=f'{root}/embeddings.npy')
    return cfg


def moved(before, after):
    return {
        name
        for name, tensor in after.items()
        if not torch.equal(tensor, before[name])
    }


@pytest.mark.parametrize('path', TRAINED, ids=lambda path: path.stem)
def test_one_step_and_one_prediction(path, root):
    cfg = tiny(path, root)
    model = build_model(cfg)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    batch = next(iter(loader))
    assert batch['inputs'].shape == (2, 3, SIDE, SIDE)
    before = copy.deepcopy(model.state_dict())
    model.train()
    losses = model.train_step(batch, optimizer)
    assert torch.isfinite(losses['loss'])
    names = moved(before, model.state_dict())
    if 'prompt_tuning' in path.stem:
        # Statistics of frozen layers included.
        assert names == {'embeddings'}
    else:
        assert {name.split('.')[0] for name in names} == {
            'backbone', 'neck', 'bbox_head'
        }

    # What the last epochs train on, without mosaic, has the same form.
    cfg.train_dataloader.dataset.pipeline = (
        cfg.custom_hooks[1].switch_pipeline)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    losses = model.train_step(next(iter(loader)), optimizer)
    assert torch.isfinite(losses['loss'])

    model.eval()
    loader = Runner.build_dataloader(cfg.test_dataloader)
    sample, = model.test_step(next(iter(loader)))
    found = sample.pred_instances
    assert set(found.labels.tolist()) <= set(range(len(NAMES)))
    assert len(found) <= 300
    assert torch.isfinite(found.bboxes).all()
    if 'texts' in sample:
        assert sample.texts == list(NAMES)


@pytest.mark.parametrize('neck', ['vlpan_bn', 'efficient_neck'])
def test_converter_makes_what_the_folded_sibling_loads(neck, root):
    name = 'yolo_world_v2_s_{}_2e-4_80e_8gpus_mask-refine_finetune_coco.py'
    text, folded = (
        build_model(tiny(FOLDER / 'finetune_coco' / name.format(form), root))
        for form in (neck, f'rep_{neck}'))
    vectors = load_embeddings(root / 'embeddings.npy').vectors
    converted = reparameterize_state_dict(text.state_dict(),
                                          torch.from_numpy(vectors))
    folded.load_state_dict(converted, strict=True)


def test_zero_shot_prediction(root):
    cfg = tiny(
        FOLDER / 'zero_shot' /
        'yolo_world_v2_s_rep_vlpan_bn_zeroshot_coco.py', root)
    model = build_model(cfg).eval()
    loader = Runner.build_dataloader(cfg.test_dataloader)
    for batch in loader:
        sample, = model.test_step(batch)
        assert torch.isfinite(sample.pred_instances.scores).all()


@pytest.mark.slow
@pytest.mark.parametrize('name', [
    'finetune_coco/yolo_world_v2_s_vlpan_bn_2e-4_80e_8gpus_mask-refine_'
    'finetune_coco', 'prompt_tuning_coco/yolo_world_v2_s_vlpan_bn_sgd_1e-3_'
    '40e_8gpus_prompt_tuning_coco'
])
def test_siblings_train_from_the_first_to_the_last_step(name, root, tmp_path):
    path = FOLDER / f'{name}.py'
    cfg = tiny(path, root)
    cfg.load_from = str(tmp_path / 'start.pth')
    torch.save(checkpoint_of(build_model(cfg)), cfg.load_from)
    cfg = launch.config_for_training(
        cfg,
        str(path),
        work_dir=str(tmp_path / 'run'),
        # mmengine finds a visualizer of the same name in the process again.
        cfg_options={'visualizer.name': str(tmp_path)},
        cuda=False)
    runner = launch.build_runner(cfg)
    runner.train()
    assert len(losses(tmp_path / 'run')) == 2 * 2
    assert (tmp_path / 'run' / 'epoch_2.pth').is_file()
