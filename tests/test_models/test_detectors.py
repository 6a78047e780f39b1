"""Detectors: texts in, named detections out."""
import copy
import json

import numpy as np
import pytest
import torch
from builders import (
    EFFICIENT,
    build_detector,
    detector_cfg,
    encoder_detector_cfg,
    randomize,
)
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmyolo.registry import MODELS

from yolo_world_rep.reparam import reparameterize_state_dict
from yolo_world_rep.reparam.fit import under
from yolo_world_rep.text import save_embeddings

NAMES = ('red circle', 'blue circle', 'red square', 'blue square',
         'green star', 'pink star', 'grey moon')
IMAGE = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def build(cfg):
    init_default_scope('mmyolo')
    return MODELS.build(ConfigDict(cfg))


def samples(**metainfo):
    """Meta information of the two images."""
    meta = dict(
        ori_shape=(64, 96),
        img_shape=(64, 96),
        scale_factor=(1.0, 1.0),
        pad_param=np.zeros(4),
        batch_input_shape=(64, 96),
        **metainfo)
    return [DetDataSample(metainfo=copy.deepcopy(meta)) for _ in range(2)]


@torch.no_grad()
def predict(model, batch):
    """Detections of the two images."""
    return model.predict(IMAGE, batch)


def ground_truth():
    """Boxes of two images, as the fast collate gives them."""
    boxes = torch.tensor([[0, 1, 8, 8, 40, 40], [1, 4, 10, 5, 60, 50.]])
    metas = [dict(batch_input_shape=(64, 96))] * 2
    return dict(bboxes_labels=boxes, img_metas=metas)


@pytest.fixture
def table(tmp_path):
    """An embeddings file with names, and one name nobody asks for."""
    names = (*NAMES, 'unused')
    vectors = np.random.default_rng(0).normal(size=(len(names), 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    path = tmp_path / 'table.npy'
    save_embeddings(path, vectors.astype(np.float32), names)
    return path


@pytest.fixture
def text_detector(table):
    """YOLO-World with a table in the place of its text encoder."""
    return randomize(build(encoder_detector_cfg(table))).eval()


def test_predictions_have_class_names():
    """A folded detector names what it detects."""
    model = randomize(build_detector('rep_conv'))
    results = predict(model, samples())
    assert 'label_names' not in results[0].pred_instances
    model.dataset_meta = dict(classes=NAMES)
    instances = predict(model, samples())[0].pred_instances
    assert len(instances) > 0
    assert instances.label_names == [NAMES[i] for i in instances.labels]


def test_wrong_names_are_worse_than_none():
    model = randomize(build_detector('rep_conv'))
    model.dataset_meta = dict(classes=NAMES[:-1])
    results = predict(model, samples())
    assert 'label_names' not in results[0].pred_instances


def test_drawings_have_class_names(monkeypatch):
    """mmdet's visualizer writes the names the detector gives."""
    from mmdet.visualization import DetLocalVisualizer
    model = randomize(build_detector('rep_conv'))
    model.dataset_meta = dict(classes=NAMES)
    sample = predict(model, samples())[0]
    drawn = []
    monkeypatch.setattr(DetLocalVisualizer, 'draw_texts',
                        lambda self, text, *args, **kw: drawn.append(text))
    DetLocalVisualizer().add_datasample(
        'x',
        np.zeros((64, 96, 3), np.uint8),
        sample,
        draw_gt=False,
        pred_score_thr=0.0)
    assert drawn
    assert all(any(name in text for name in NAMES) for text in drawn)


def test_zero_shot_equals_folded(text_detector, table):
    """The same detections with the texts encoded and with them folded."""
    text_detector.reparameterize([[name, 'synonym'] for name in NAMES])
    found = predict(text_detector, samples())[0].pred_instances
    text = text_detector.backbone.forward_text([NAMES])[0]
    folded = build_detector('rep_conv')
    folded.load_state_dict(
        reparameterize_state_dict(text_detector.state_dict(), text))
    folded.dataset_meta = dict(classes=NAMES)
    same = predict(folded, samples())[0].pred_instances
    assert len(found) > 0
    assert found.label_names == same.label_names
    torch.testing.assert_close(found.scores, same.scores)
    torch.testing.assert_close(found.bboxes, same.bboxes, rtol=0, atol=1e-2)


def test_texts_of_the_samples(text_detector):
    """Texts in the meta information; the vocabulary may be any subset."""
    few = samples(texts=NAMES[2:4])
    instances = predict(text_detector, few)[0].pred_instances
    assert set(instances.label_names) == set(NAMES[2:4])
    with pytest.raises(ValueError, match='got no texts.*LoadText'):
        predict(text_detector, samples())
    with pytest.raises(ValueError, match=r"not in .*\['heron'\]"):
        predict(text_detector, samples(texts=('heron', 'red circle')))


def test_texts_in_training(text_detector):
    """A list of texts an image; another number is an error that says so."""
    text_detector.train()
    batch = dict(ground_truth(), texts=[list(NAMES), list(NAMES[::-1])])
    losses = text_detector.loss(IMAGE, batch)
    sum(losses.values()).backward()
    contrast = text_detector.bbox_head.head_module.cls_contrasts[0]
    assert contrast.logit_scale.grad.abs() > 0
    batch['texts'] = [list(NAMES[:3])] * 2
    with pytest.raises(ValueError, match='3 texts.*num_classes is 7'):
        text_detector.loss(IMAGE, batch)
    batch['texts'] = [list(NAMES), list(NAMES[:3])]
    with pytest.raises(ValueError, match='same number of texts'):
        text_detector.loss(IMAGE, batch)


@pytest.mark.parametrize('dual', [None, dict(embed_channels=32, num_heads=4)],
                         ids=['v2', 'dual'])
@pytest.mark.parametrize('form', ['rep_conv', 'rep_linear'])
def test_folded_training_reaches_every_parameter(form, dual):
    """Neck and head train independently of any text."""
    model = randomize(build_detector(form, dual=dual)).train()
    sum(model.loss(IMAGE, ground_truth()).values()).backward()
    idle = [
        name for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().any()
    ]
    assert not [
        name for name in idle
        if 'guide' in name or 'cls' in name or 'query' in name
    ]


@pytest.mark.parametrize(('adapter', 'frozen'), [(False, False),
                                                 (True, False),
                                                 (True, True)])
def test_prompt_tuning(table, adapter, frozen):
    """Prompts start from the file and train, unless they are frozen."""
    cfg = detector_cfg(num_classes=8)
    cfg.update(
        num_prompts=8,
        embedding_path=str(table),
        freeze_prompt=frozen,
        use_mlp_adapter=adapter)
    cfg['neck'].update(freeze_all=True)
    cfg['bbox_head']['head_module'].update(freeze_all=True)
    cfg['backbone'].update(frozen_stages=4)
    model = randomize(build(cfg))
    model.train()
    statistics = {
        key: value.clone()
        for key, value in model.state_dict().items() if 'running' in key
    }
    sum(model.loss(IMAGE, ground_truth()).values()).backward()
    trained = {
        name.split('.')[0]
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    expected = set() if frozen else {'embeddings'}
    assert trained == (expected | {'adapter'} if adapter else expected)
    if not frozen:
        assert model.embeddings.grad.abs().sum() > 0
    assert all(
        torch.equal(model.state_dict()[key], value)
        for key, value in statistics.items())


def test_prompts_are_the_rows_of_the_file(table):
    cfg = detector_cfg(num_classes=8)
    cfg.update(num_prompts=8, embedding_path=str(table))
    model = build(cfg)
    np.testing.assert_allclose(
        model.prompts().detach(), np.load(table), rtol=1e-6)
    cfg.update(num_prompts=7)
    with pytest.raises(ValueError, match=r'\(8, 64\).*\(7, 64\)'):
        build(cfg)


@pytest.mark.parametrize(('change', 'message'), [
    (dict(reparameterized=False), 'does not go with YOLOv8Head'),
    (dict(mm_neck=False, neck=dict(block_cfg=dict(
        type='MaxSigmoidCSPLayerWithTwoConv'))), 'got no text embeddings'),
    (dict(neck=dict(guide_channels=3, block_cfg=dict(guide_channels=7))),
     'guide_channels=3.*block_cfg has guide_channels=7'),
    (dict(neck=dict(num_heads=[4, 8])), 'num_heads=.* one entry for each'),
    (dict(neck=dict(num_heads=[24, 24, 24])), 'multiple of num_heads=3'),
    (dict(bbox_head=dict(head_module=dict(num_guide=6))),
     'num_guide=6 must be num_classes=7'),
    (dict(backbone=dict(frozen_stages=5)), 'frozen_stages=5.*stage4'),
    (dict(backbone=dict(with_text_model=True)), 'text_model=None'),
])
def test_config_errors(change, message):
    """What does not fit is said where it enters."""
    cfg = ConfigDict(detector_cfg('rep_conv'))

    def merge(base, child):
        for key, value in child.items():
            if isinstance(value, dict):
                merge(base[key], value)
            else:
                base[key] = value

    merge(cfg, change)
    with pytest.raises(ValueError, match=message):
        predict(build(cfg), samples())


def test_both_spellings_of_the_text_enhancer():
    enhancer = dict(
        type='ImagePoolingAttentionModule', embed_channels=32, num_heads=4)
    cfg = detector_cfg(dual=enhancer)
    wrong = build(cfg)
    neck = cfg['neck']
    neck['text_enhancer'] = neck['text_enhancder']
    with pytest.raises(ValueError, match='two spellings'):
        build(cfg)
    neck.pop('text_enhancder')
    assert build(cfg).state_dict().keys() == wrong.state_dict().keys()


@pytest.mark.parametrize('form', ['text', 'rep_conv', 'rep_linear'])
@pytest.mark.parametrize('dual', [None, dict(embed_channels=32, num_heads=4)])
def test_efficient_neck_starts_from_a_guided_checkpoint(form, dual):
    """What the gates alone have is left over, and nothing is missing."""
    guided = build(detector_cfg(form, dual=dual, block=dict(with_scale=True)))
    cfg = detector_cfg(form, block=dict(type=EFFICIENT))
    model = build(cfg)
    result = model.load_state_dict(guided.state_dict(), strict=False)
    assert not result.missing_keys
    left_over = set(result.unexpected_keys)
    assert any('.attn_block.' in name for name in left_over)
    allowed = model.checkpoint_allowances()['unexpected']
    assert not [name for name in left_over if not under(name, allowed)]
    # And no more than that.
    assert not under('neck.top_down_layers.0.attn_block.project_conv.conv',
                     allowed)


def test_efficient_neck_of_the_release():
    """Up to 0.10.0 the attended branch ended in x·σ(x)."""
    plain, acted = (
        randomize(build(detector_cfg(block=dict(type=EFFICIENT, **more))))
        for more in ({}, dict(with_act=True)))
    x = torch.randn(1, 96, 8, 12)
    plain, acted = (model.neck.top_down_layers[1] for model in (plain, acted))
    seen = []
    for layer in (plain, acted):
        layer.final_conv.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0]))
        layer.eval()(x)
    branch = layer.mid_channels
    torch.testing.assert_close(seen[0][:, :-branch], seen[1][:, :-branch])
    torch.testing.assert_close(
        seen[1][:, -branch:],
        seen[0][:, -branch:] * seen[0][:, -branch:].sigmoid())


def test_prompts_keep_their_norm_for_the_neck():
    """The head normalizes; only an adapter does for both."""
    model, adapted = (
        randomize(build(detector_cfg(use_mlp_adapter=adapter)))
        for adapter in (False, True))
    assert torch.equal(model.prompts(), model.embeddings)
    assert (model.embeddings.norm(dim=1) - 1).abs().min() > 0.1
    torch.testing.assert_close(adapted.prompts().norm(dim=1), torch.ones(7))


def test_table_of_a_pth_file(tmp_path):
    """The other format of PseudoLanguageBackbone, with its own test set."""
    train, test = tmp_path / 'train.pth', tmp_path / 'test.pth'
    torch.save({'a': torch.ones(4), 'b': torch.zeros(4)}, train)
    torch.save({'c': torch.full((4, ), 2.0)}, test)
    backbone = MODELS.build(
        dict(
            type='PseudoLanguageBackbone',
            text_embed_path=str(train),
            test_embed_path=str(test)))
    assert backbone([['b', 'a']])[0, :, 0].tolist() == [0, 1]
    assert not backbone.state_dict()
    backbone.eval()
    assert backbone([['c']]).tolist() == [[[2.0] * 4]]
    with pytest.raises(ValueError, match="test.pth: \\['a'\\]"):
        backbone([['a']])
    test.write_text(json.dumps({}))
    with pytest.raises(Exception, match='test.pth|[Ii]nvalid|weights'):
        MODELS.build(
            dict(
                type='PseudoLanguageBackbone', text_embed_path=str(test)))
