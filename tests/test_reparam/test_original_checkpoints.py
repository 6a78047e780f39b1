"""Files of the original's tools: guides, names, width of the class branch."""
import json

import numpy as np
import pytest
import torch
from builders import (
    Golden,
    build_detector,
    detector_cfg,
    golden_detector,
    randomize,
    relative_error,
    run_detector,
    worst_error,
)
from mmengine.config import Config
from original_files import PRETRAINED, checkpoint, folded_tensors

from yolo_world_rep.detector.loading import load_detector
from yolo_world_rep.reparam import (
    convert_checkpoint,
    description_of,
    load_checkpoint,
    reparameterize_state_dict,
)
from yolo_world_rep.reparam.inspection import inspect_checkpoint
from yolo_world_rep.reparam.interpolation import interpolate_checkpoints
from yolo_world_rep.reparam.original_checkpoints import (
    read_guides,
    stray_names,
)
from yolo_world_rep.text.names import names_of_checkpoint

EXACT = 1e-10
NEEDLESS = 'embeddings'


def double(state):
    return {key: value.double() for key, value in state.items()}


def as_it_stands(state):
    """The wrong twin: the axes of the file taken for what they seem."""
    return {
        key: value.permute(2, 0, 1).contiguous()
        if key.endswith('.guide_weight') else value
        for key, value in state.items()
    }


def outputs_of(model, state, image):
    result = model.load_state_dict(state, strict=False)
    assert not result.missing_keys
    assert set(result.unexpected_keys) <= {NEEDLESS}
    return run_detector(model, image)


@pytest.mark.parametrize('name', ['v2_bn', 'v2_bn_unnormalized', 'v1_l2norm'])
def test_matrices_compute_what_the_original_does(golden_dir, name):
    golden = Golden(golden_dir, name)
    image = golden.io['image'].double()
    file = folded_tensors(
        double(golden.state_dict), golden.text.double(), 'rep_linear')
    read, note = read_guides(file, {})
    assert '(N, d, M)' in note
    parts = [f'{part}{level}' for part in ('neck', 'bbox')
             for level in range(3)]
    # The original's converter does not normalize for the head.
    if name != 'v2_bn_unnormalized':
        logits = outputs_of(golden_detector(golden, 'rep_linear'), read, image)
        for level in range(3):
            assert relative_error(logits[f'cls{level}'],
                                  golden.outputs[f'cls{level}']) < 1e-6
    found, wrong = (
        outputs_of(golden_detector(golden, 'rep_linear'), state, image)
        for state in (read, as_it_stands(file)))
    expected = {part: golden.outputs[part] for part in parts}
    assert worst_error({part: found[part] for part in parts},
                       expected) <= EXACT
    assert worst_error({part: wrong[part] for part in parts},
                       expected) > 1e-4


def test_the_files_here_have_the_originals_names_and_shapes(golden_dir):
    keys = json.loads((golden_dir / 'original_keys.json').read_text())

    def of(config):
        return keys[f'finetune_coco/yolo_world_v2_s_{config}_2e-4_80e_8gpus_'
                    f'mask-refine_finetune_coco.py']

    source = {key: torch.empty(shape, device='meta')
              for key, shape in of('vlpan_bn').items()}
    text = torch.empty(80, 512, device='meta')
    assert {
        key: list(tensor.shape)
        for key, tensor in folded_tensors(source, text, 'rep_conv').items()
    } == of('rep_vlpan_bn')


def text_model(seed=0, num_classes=5, **changes):
    model = randomize(
        build_detector('text', num_classes=num_classes, **changes), seed)
    return model.double()


@pytest.mark.parametrize('block', [
    None,
    dict(with_scale=True),
])
@pytest.mark.parametrize('embed', [(128, 256, 512), (256, 256, 512)])
def test_matrices_are_those_of_our_conversion(block, embed):
    # With embed convolutions and without, and with another width than the
    # heads' number.
    state = text_model(embed_channels=embed, block=block).state_dict()
    text = torch.randn(5, 64, dtype=torch.float64)
    file = folded_tensors(state, text, 'rep_linear')
    before = {key: value.clone() for key, value in file.items()}
    read, _ = read_guides(file, {})
    ours = reparameterize_state_dict(state, text, 'rep_linear')
    guides = [key for key in ours if key.endswith('.guide_weight')]
    assert len(guides) == 4
    for key in guides:
        assert relative_error(read[key], ours[key]) <= EXACT
        assert read[key].is_contiguous()
        assert torch.equal(file[key], before[key])  # nothing is changed
    # Ours are read as they are, and what is read already stays.
    for same in (ours, read):
        again, note = read_guides(same, {})
        assert not note
        assert all(torch.equal(again[key], same[key]) for key in guides)


def square(heads=4):
    """Guides of as many texts and channels as heads."""
    name = 'neck.top_down_layers.0.attn_block'
    return {
        f'{name}.bias': torch.zeros(heads),
        f'{name}.embed_conv.conv.weight': torch.ones(heads**2, 3, 1, 1),
        f'{name}.guide_weight': torch.randn(heads, heads, heads),
        'bbox_head.head_module.cls_contrasts.0.conv.weight':
        torch.ones(heads, 2, 1, 1)
    }


def test_what_both_layouts_permit_is_refused(tmp_path):
    state = square()
    with pytest.raises(ValueError, match=r'\(4, 4, 4\).*Fold its source'):
        read_guides(state, {})
    torch.save(dict(state_dict=state), tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='x.pth.*nothing says which'):
        load_checkpoint(tmp_path / 'x.pth')
    # Our files say whose they are; another layer may decide as well.
    assert read_guides(state, dict(yolo_world_rep=dict()))[1] == ''
    name = 'neck.top_down_layers.1.attn_block'
    state.update({
        f'{name}.bias': torch.zeros(2),
        f'{name}.embed_conv.conv.weight': torch.ones(6, 3, 1, 1),
        f'{name}.guide_weight': torch.randn(4, 3, 2),
    })
    read, note = read_guides(state, {})
    assert '2 tensor(s)' in note
    assert read[f'{name}.guide_weight'].shape == (2, 4, 3)


def test_unknown_shapes_are_left_to_the_comparison():
    state = {**square(), 'a.guide_weight': torch.ones(3, 5)}
    assert read_guides(state, {}) == (state, '')


class TestNames:
    state = {'bbox_head.head_module.cls_contrasts.0.conv.weight':
             torch.ones(2, 4, 1, 1)}

    def test_of_the_pre_training_say_nothing_about_the_rows(self):
        meta = checkpoint({})['meta']
        assert names_of_checkpoint(meta, 2) is None
        assert '365 classes and its head has 2 row' in stray_names(
            meta, self.state)
        # A text-conditioned file has no rows to compare with.
        assert names_of_checkpoint(meta) == PRETRAINED
        assert stray_names(meta, {}) == ''

    @pytest.mark.parametrize('meta', [
        dict(dataset_meta=dict(classes=['a', 'b'])),
        dict(yolo_world_rep=dict(classes=('a', 'b')),
             dataset_meta=dict(classes=PRETRAINED)),
    ])
    def test_of_the_rows_count(self, meta):
        assert names_of_checkpoint(meta, 2) == ('a', 'b')
        assert stray_names(meta, self.state) == ''

    @pytest.mark.parametrize('meta', [
        {}, dict(dataset_meta=None), dict(dataset_meta=dict(classes=7)),
        dict(dataset_meta=dict(classes=()), yolo_world_rep=3)])
    def test_none(self, meta):
        assert names_of_checkpoint(meta, 2) is None
        assert stray_names(meta, self.state) == ''

    def test_one_class_without_a_comma(self):
        meta = dict(dataset_meta=dict(classes='cat'))
        assert names_of_checkpoint(meta, 1) == ('cat', )


@pytest.mark.parametrize(('shape', 'current', 'expected'), [
    ((128, 128), 80, None),   # S as published
    ((365, 128), 80, 365),    # its width followed the classes
    ((365, 128), 365, None),
    ((128, 128), 365, 128),   # the config asks for too much
    ((80, 64), 80, None),
    ((64, 64), 80, 64),
    ((64, 128), 80, None),    # of another kind: the comparison says so
])
def test_width_of_the_class_branch(shape, current, expected):
    key = 'bbox_head.head_module.cls_preds.0.0.conv.weight'
    state = {key: torch.ones(*shape, 1, 1)}
    assert description_of(state).pretrain_classes(current) == expected
    assert description_of({}).pretrain_classes(current) is None


@pytest.fixture
def matrices(tmp_path):
    """A file in the original's matrix form."""
    model = text_model().float()
    file = folded_tensors(model.state_dict(), torch.randn(5, 64),
                          'rep_linear')
    torch.save(checkpoint(file), tmp_path / 'rep_linear.pth')
    return tmp_path / 'rep_linear.pth'


def test_inspection(matrices):
    found = inspect_checkpoint(matrices)
    assert (found['classes'], found['guides']) == (5, 5)
    assert found['class_names'] is None
    assert found['class_branch'] == 80
    notes = ' '.join(found['notes'])
    assert '(N, d, M)' in notes
    assert '365 classes and its head has 5 row(s)' in notes


def test_detection(tmp_path):
    # The file and our own conversion of its source give the same.
    source = text_model().float()
    text = torch.nn.functional.normalize(torch.randn(5, 64), dim=1)
    np.save(tmp_path / 'text.npy', text.numpy())
    torch.save(checkpoint(source.state_dict()), tmp_path / 'text.pth')
    ours = convert_checkpoint(tmp_path / 'text.pth', tmp_path / 'text.npy',
                              tmp_path / 'ours', 'rep_linear').path
    torch.save(
        checkpoint(folded_tensors(source.state_dict(), text, 'rep_linear')),
        tmp_path / 'theirs.pth')
    cfg = Config(dict(model=detector_cfg('rep_linear', num_classes=5)))
    image = torch.rand(1, 3, 64, 96)
    found, expected = (
        run_detector(load_detector(cfg, path)[0], image)
        for path in (tmp_path / 'theirs.pth', ours))
    assert worst_error(found, expected) < 1e-4


def test_interpolation(matrices, tmp_path):
    interpolate_checkpoints(matrices, matrices, 0.5, tmp_path / 'mixed.pth')
    mixed = load_checkpoint(tmp_path / 'mixed.pth')
    assert not mixed.notes
    assert 'dataset_meta' not in mixed.meta
    expected = load_checkpoint(matrices).state_dict
    assert all(torch.allclose(value, expected[key])
               for key, value in mixed.state_dict.items())
