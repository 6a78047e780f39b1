#!/usr/bin/env python
"""Compare Ultralytics' YOLO-World-v2 with ours, number by number.

Two environments take part, and files go from one to the other. Ultralytics'
is a throw-away one: it is no dependency of this package.

    python -m venv other
    other/bin/pip install torch==2.13.0 numpy matplotlib polars psutil \
        opencv-python-headless pyyaml requests
    other/bin/pip install --no-deps torchvision==0.28.0 ultralytics==8.4.190

    other/bin/python benchmarks/verify_ultralytics.py produce --size s \
        --out s
    python benchmarks/verify_ultralytics.py compare --size s s

``produce`` builds yolov8{size}-worldv2 of the yaml file that Ultralytics
ships, makes all of its weights and statistics random, and writes in float64
the model, texts, an image, and what the model makes of them. ``compare``
converts that file, folds the texts, and runs text-conditioned and folded
detectors on the same image. It ends with status 1 if any output is further
than 1e-10 of its range from Ultralytics', or if a detector with a
known mistake is not told from a right one.
"""
import argparse
import importlib.util
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Dict, Iterator, Tuple

import numpy as np
import torch
from torch import Tensor, library, nn

EXACT = 1e-10
# A mistake must show at least so much.
TOLD = 1e-5
SIZES = dict(
    s=dict(widen_factor=0.5, deepen_factor=0.33, last=1024),
    m=dict(widen_factor=0.75, deepen_factor=0.67, last=768),
    l=dict(widen_factor=1.0, deepen_factor=1.0, last=512),
    x=dict(widen_factor=1.25, deepen_factor=1.0, last=512))
NUM_TEXTS, WIDTH = 7, 512
# Of the random weights: outputs that neither fade nor saturate.
GAIN = 1.2
IMAGE = (2, 3, 96, 160)
CONFIG = Path(__file__).resolve().parents[1].joinpath(
    'configs', 'finetune_coco',
    'yolo_world_v2_s_rep_vlpan_bn_2e-4_80e_8gpus_mask-refine_finetune_coco.py')

Outputs = Dict[str, Tensor]


# ------------------- in the environment of Ultralytics -------------------


def allow_torchvision() -> None:
    """Let torchvision be imported where its compiled operators are missing.

    It describes them on import, and they must exist by name for that.
    """
    spec = importlib.util.find_spec('torchvision')
    if spec is None or spec.origin is None:
        raise SystemExit('torchvision is missing, see the docstring')
    text = (Path(spec.origin).parent / '_meta_registrations.py').read_text(
        encoding='utf-8')
    names = set(re.findall(r'register_fake\("torchvision::(\w+)"', text))
    schemas = library.Library('torchvision', 'FRAGMENT')
    for name in names:
        if not hasattr(torch.ops.torchvision, name):
            schemas.define(f'{name}(Tensor x) -> Tensor')
    allow_torchvision.schemas = schemas  # lives as long as the process


def randomize(model: nn.Module, generator: torch.Generator) -> None:
    """Random weights, biases, scales and statistics, none at its default."""
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point() or 'dfl' in name:
            continue
        noise = torch.rand(
            tensor.shape, generator=generator, dtype=tensor.dtype)
        if name.endswith('running_var'):
            tensor.copy_(0.5 + noise)
        elif re.search(r'(bn|norm)\.weight$', name):
            tensor.copy_(0.5 + noise)
        elif tensor.dim() < 2:
            tensor.copy_(noise - 0.5)
        else:
            bound = GAIN * (3 / tensor[0].numel())**0.5
            tensor.copy_(bound * (2 * noise - 1))


def record(model: nn.Module, image: Tensor, text: Tensor) -> Outputs:
    """Run Ultralytics' model; what enters and leaves its head's levels."""
    head = model.model[-1]
    outputs: Outputs = {}

    def inputs(_, args: tuple) -> None:
        for level, feature in enumerate(args[0]):
            outputs[f'neck{level}'] = feature

    def keep(name: str):

        def hook(_, args: tuple, output: Tensor) -> None:
            if name.startswith('bbox'):
                shape = output.shape
                output = head.dfl(output.flatten(2)).unflatten(
                    2, shape[2:])
            outputs[name] = output

        return hook

    head.register_forward_pre_hook(inputs)
    for level in range(3):
        head.cv2[level].register_forward_hook(keep(f'bbox{level}'))
        head.cv4[level].register_forward_hook(keep(f'cls{level}'))
    with torch.no_grad():
        model.predict(image, txt_feats=text[None])
    return {name: value.clone() for name, value in outputs.items()}


def produce(size: str, out: Path, seed: int) -> None:
    """Write the model, its inputs and its outputs."""
    settings = tempfile.mkdtemp()
    os.environ.setdefault('YOLO_CONFIG_DIR', settings)
    allow_torchvision()
    import ultralytics
    from ultralytics.nn.tasks import WorldModel
    generator = torch.Generator().manual_seed(seed)
    model = WorldModel(
        f'yolov8{size}-worldv2.yaml', nc=NUM_TEXTS, verbose=False)
    model = model.double().eval()
    with torch.no_grad():
        randomize(model, generator)
    out.mkdir(parents=True, exist_ok=True)
    # Before the hooks, which do not belong into the file.
    torch.save(
        dict(model=model, ema=None, version=ultralytics.__version__),
        out / 'model.pt')
    image = torch.rand(IMAGE, generator=generator, dtype=torch.float64)
    text = torch.randn(NUM_TEXTS, WIDTH, generator=generator)
    norms = torch.linspace(0.5, 2, NUM_TEXTS)[:, None]
    text = text / text.norm(dim=1, keepdim=True) * norms
    np.save(out / 'text.npy', text.numpy())
    outputs = record(model, image, text.double())
    np.savez(
        out / 'io.npz',
        image=image.numpy(),
        **{name: value.numpy() for name, value in outputs.items()})
    (out / 'about.json').write_text(
        json.dumps(
            dict(
                size=size,
                ultralytics=ultralytics.__version__,
                torch=torch.__version__,
                tensors=len(model.state_dict()))), encoding='utf-8')
    print(f'wrote {out}')


# --------------------------- in ours ---------------------------


def build_detector(size: str, form: str) -> nn.Module:
    """A detector of full size, in float64, without its weights."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmyolo.registry import MODELS

    import yolo_world_rep  # noqa: F401
    init_default_scope('mmyolo')
    scale = dict(SIZES[size])
    last = scale.pop('last')
    channels = [256, 512, last]
    guides = WIDTH if form == 'text' else NUM_TEXTS
    block = dict(
        text='MaxSigmoidCSPLayerWithTwoConv',
        rep_conv='RepConvMaxSigmoidCSPLayerWithTwoConv',
        rep_linear='RepMaxSigmoidCSPLayerWithTwoConv')[form]
    model = Config.fromfile(CONFIG).model
    model.num_train_classes = model.num_test_classes = NUM_TEXTS
    model.train_cfg.assigner.num_classes = NUM_TEXTS
    model.backbone.image_model.update(last_stage_out_channels=last, **scale)
    model.neck.update(
        in_channels=channels,
        out_channels=channels,
        guide_channels=guides,
        embed_channels=[128, 256, last // 2],
        num_heads=[4, 8, last // 2 // 32],
        block_cfg=dict(type=block, guide_channels=guides),
        **scale)
    head = model.bbox_head.head_module
    head.update(
        in_channels=channels,
        widen_factor=scale['widen_factor'],
        num_classes=NUM_TEXTS,
        num_guide=NUM_TEXTS)
    if form == 'text':
        model.reparameterized = False
        model.bbox_head.type = 'YOLOWorldHead'
        head.type = 'YOLOWorldHeadModule'
        head.pop('num_guide')
    return MODELS.build(model).double().eval()


def run(model: nn.Module, image: Tensor, text: Tensor) -> Outputs:
    """The same outputs of one of our detectors."""
    text = text.expand(len(image), -1, -1)
    with torch.no_grad():
        features = model.backbone.forward_image(image)
        if model.text_conditioned:
            neck = model.neck(features, text)
            cls, bbox = model.bbox_head((neck, text))
        else:
            neck = model.neck(features)
            cls, bbox = model.bbox_head(neck)
    return {
        f'{name}{level}': value
        for name, levels in (('neck', neck), ('cls', cls), ('bbox', bbox))
        for level, value in enumerate(levels)
    }


def mistakes(model: nn.Module, text: Tensor
             ) -> Iterator[Tuple[str, nn.Module, Tensor]]:
    """Detectors, or texts, with one known mistake each."""
    yield 'texts normalized for the neck', model, nn.functional.normalize(
        text, dim=-1)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.eps = 1e-5
    yield 'batch norms of eps 1e-5', model, text
    for norm in norms:
        norm.eps = 1e-3
    pooling = model.backbone.image_model.stage4[2].conv1
    pooling.with_activation = False
    yield 'no activation before the pooling', model, text
    pooling.with_activation = True
    weight = model.neck.top_down_layers[0].main_conv.conv.weight
    half = weight.shape[1] // 2
    with torch.no_grad():
        weight.copy_(weight.roll(half, 1))
    yield 'neck\'s concatenation in another order', model, text
    with torch.no_grad():
        weight.copy_(weight.roll(-half, 1))


def relative_error(found: Outputs, expected: Outputs) -> Dict[str, float]:
    """Largest difference over the range of values, by kind of output."""
    assert found.keys() == expected.keys()
    errors: Dict[str, float] = {}
    for name, value in expected.items():
        assert found[name].shape == value.shape
        spread = value.max() - value.min()
        error = float((found[name] - value).abs().max() / spread)
        kind = name[:-1]
        errors[kind] = max(error, errors.get(kind, 0.0))
    return errors


def compare(size: str, folder: Path) -> bool:
    """Convert, fold, run and print; whether everything is as it must be."""
    from yolo_world_rep.reparam import convert_checkpoint, load_checkpoint
    from yolo_world_rep.reparam.ultralytics_file import convert_ultralytics
    about = json.loads((folder / 'about.json').read_text(encoding='utf-8'))
    arrays = {
        name: torch.from_numpy(value)
        for name, value in np.load(folder / 'io.npz').items()
    }
    image = arrays.pop('image')
    text = torch.from_numpy(np.load(folder / 'text.npy')).double()
    with tempfile.TemporaryDirectory(dir=folder) as work:
        path = Path(work) / 'ours.pth'
        result = convert_ultralytics(folder / 'model.pt', path)
        print(f'ultralytics {about["ultralytics"]}, torch {about["torch"]}, '
              f'yolov8{size}-worldv2: {about["tensors"]} tensors, '
              f'{result.num_tensors} converted, size {result.size}; image '
              f'{tuple(image.shape)}, float64')
        right = result.size == size
        checkpoints = dict(text=path)
        for form in ('rep_conv', 'rep_linear'):
            checkpoints[form] = convert_checkpoint(
                path, folder / 'text.npy', work, form).path
        for form, checkpoint in checkpoints.items():
            model = build_detector(size, form)
            state_dict = load_checkpoint(checkpoint).state_dict
            # The detector's own texts, which are given here instead.
            own = ['embeddings'] if form == 'text' else []
            keys = model.load_state_dict(state_dict, strict=False)
            assert keys.missing_keys == own
            assert not keys.unexpected_keys
            errors = relative_error(run(model, image, text), arrays)
            right &= max(errors.values()) <= EXACT
            print(f'{form:12}' + ''.join(
                f'{kind} {error:.1e}  ' for kind, error in errors.items()))
            if form != 'text':
                continue
            for name, twin, twin_text in mistakes(model, text):
                error = max(
                    relative_error(run(twin, image, twin_text),
                                   arrays).values())
                right &= error > TOLD
                print(f'  mistake: {name}: {error:.1e}')
    print('as it must be' if right else 'NOT AS IT MUST BE')
    return right


def main() -> int:
    """One of the two halves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest='command', required=True)
    first = commands.add_parser('produce', help='with Ultralytics')
    first.add_argument('--out', type=Path, required=True)
    first.add_argument('--seed', type=int, default=0)
    second = commands.add_parser('compare', help='with this package')
    second.add_argument('folder', type=Path)
    for command in (first, second):
        command.add_argument('--size', choices=SIZES, required=True)
    args = parser.parse_args()
    if args.command == 'produce':
        produce(args.size, args.out, args.seed)
        return 0
    return 0 if compare(args.size, args.folder) else 1


if __name__ == '__main__':
    sys.exit(main())
