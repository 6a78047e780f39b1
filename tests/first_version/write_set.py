"""Write a tiny set of what users of the first version have.

``python write_set.py ROOT`` in an empty folder, with the first version, which
is in ROOT, and the makers of its tests on ``PYTHONPATH``.
"""
import copy
import importlib.util
import json
import sys
from pathlib import Path
from typing import Callable, Sequence

import cv2
import numpy as np
import own_data
import read_set
import torch
import yapf.yapflib.yapf_api
from builders import build_detector, randomize
from tiny_deploy import NAMES, SMALL, model_cfg, pipeline
from tiny_training import CONFIG, write_images
from ultralytics_files import rename, save_pickled, tiny_state_dict

import yolo_world_rep
from yolo_world_rep.deploy import onnx_file

V1 = dict(
    use_bn_head=False,
    dual=dict(
        type='ImagePoolingAttentionModule',
        embed_channels=32,
        num_heads=4,
        pool_size=3))
# Form, classes and changes of a model, by the folder of its files.
FORMS = dict(
    text=('text', NAMES, {}),
    conv=('rep_conv', NAMES, {}),
    linear=('rep_linear', NAMES, {}),
    head=('text_neck', NAMES, {}),
    text_v1=('text', NAMES, V1),
    conv_v1=('rep_conv', NAMES, V1),
    conv_four=('rep_conv', ('kite', 'ball', 'disc', 'star'), {}),
    linear_two=('rep_linear', ('disc', 'star'), {}))


def dataset(names: Sequence[str]) -> str:
    """Of a config, what detection reads."""
    data = dict(
        type='YOLOv5CocoDataset',
        metainfo=dict(classes=names),
        pipeline=pipeline())
    return f'test_dataloader = dict(dataset={data})\n'


# Configs as users write them, which name classes each in its own way.
CONFIGS = dict(
    finetune=f"""_base_ = {str(CONFIG)!r}
custom_imports = dict(
    imports=['yolo_world_rep'], allow_failed_imports=False)
data_root = 'data/'
train_ann_file = val_ann_file = 'annotations.json'
train_data_prefix = val_data_prefix = 'images/'
num_classes = {len(NAMES)}
class_names = {NAMES}
load_from = 'conv/tiny_rep_conv.pth'
img_scale = (64, 64)
train_batch_size_per_gpu = 2
train_num_workers = val_num_workers = 0
max_epochs = close_mosaic_epochs = save_epoch_intervals = 1
model = {model_cfg('rep_conv', **SMALL)}
default_hooks = dict(
    param_scheduler=dict(warmup_mim_iter=2),
    checkpoint_guard=dict(type='CheckpointGuardHook'))
""",
    by_scope="""_base_ = './finetune.py'
custom_imports = dict(
    imports=['yolo_world_rep.models', 'yolo_world_rep.datasets',
             'yolo_world_rep.engine.hooks', 'yolo_world_rep.registry'],
    allow_failed_imports=False)
model = dict(type='mmyolo.SimpleYOLOWorldDetector',
             neck=dict(type='mmyolo.YOLOWorldPAFPN'))
""",
    by_path="""_base_ = './finetune.py'
custom_imports = dict(imports='yolo_world_rep', allow_failed_imports=False)
model = dict(
    type='yolo_world_rep.models.detectors.SimpleYOLOWorldDetector',
    neck=dict(type='yolo_world_rep.models.necks.YOLOWorldPAFPN'))
optim_wrapper = dict(
    constructor='yolo_world_rep.engine.optimizers.YOLOWv5OptimizerConstructor')
default_hooks = dict(checkpoint_guard=dict(
    type='yolo_world_rep.engine.hooks.CheckpointGuardHook'))
""",
    by_class=f"""from yolo_world_rep.models.detectors import (
    SimpleYOLOWorldDetector)
from yolo_world_rep.models.necks import YOLOWorldPAFPN
model = {model_cfg('rep_conv', **SMALL)}
model.update(type=SimpleYOLOWorldDetector)
model['neck'].update(type=YOLOWorldPAFPN)
{dataset(NAMES)}""")


def write_pictures() -> None:
    """A wide one and a tall one."""
    random = np.random.default_rng(0)
    Path('images').mkdir()
    for name, shape in (('wide', (50, 80, 3)), ('tall', (96, 40, 3))):
        image = random.integers(0, 256, shape, np.uint8)
        cv2.rectangle(image, (10, 5), (32, 40), (9, 200, 30), -1)
        cv2.imwrite(f'images/{name}.png', image)


def write_sources() -> None:
    """What the commands start from."""
    write_pictures()
    write_images(Path('data'))
    own_data.write_data(Path('own'), train=2, val=2)
    torch.save(own_data.folded_checkpoint(), 'own/rep_conv.pth')
    save_pickled('worldv2.pt', rename(tiny_state_dict()))
    Path('names.txt').write_text('\n'.join(NAMES))
    Path('more.txt').write_text('disc\nstar')
    for folder, (form, names, changes) in FORMS.items():
        changes = {**SMALL, 'num_classes': len(names), **changes}
        Path(folder).mkdir()
        Path(folder, 'tiny.py').write_text(
            f'model = {model_cfg(form, **changes)}\n{dataset(names)}')
        model = randomize(build_detector(form, **changes))
        torch.save(
            dict(
                state_dict=model.state_dict(),
                meta=dict(dataset_meta=dict(classes=names))),
            f'{folder}/tiny.pth')
    for name, text in CONFIGS.items():
        Path(f'{name}.py').write_text(text)


def followed_once(to_onnx: Callable) -> Callable:
    """Follow the one model once for each outputs: it takes seconds."""
    made = {}

    def follow(module, spec, names, opset):
        if tuple(names) not in made:
            made[tuple(names)] = to_onnx(module, spec, names, opset)
        return copy.deepcopy(made[tuple(names)])

    return follow


def write_set() -> None:
    """All files but ``expected.json``, printing what is left out."""
    write_sources()
    read_set.run('new-config --data own --train-ann train/annotations.json '
                 '--val-ann val/annotations.json --checkpoint '
                 'own/rep_conv.pth --img-size 64 --workers 0 --out own.py')
    for words in (*read_set.COMMANDS, read_set.TRAIN,
                  *read_set.AFTER_TRAINING):
        read_set.run(words)
    for needed, exports in read_set.EXPORTS:
        missing = [name for name in needed.split()
                   if importlib.util.find_spec(name) is None]
        for words in exports:
            if missing:
                print(f'left out: export {words}: no {missing[0]}')
            else:
                read_set.run(read_set.EXPORT + words)


def main(root: Path) -> None:
    """The set and what the first version says of it."""
    assert root.resolve() in Path(yolo_world_rep.__file__).resolve().parents
    # Every training formats its config again and again, for seconds.
    yapf.yapflib.yapf_api.FormatCode = lambda text, **_: (text, True)
    onnx_file.to_onnx = followed_once(onnx_file.to_onnx)
    write_set()
    expected = dict(
        checkpoints={
            str(path): read_set.inspect(path)
            for kind in ('pth', 'safetensors')
            for path in sorted(Path().rglob(f'*.{kind}'))
        },
        detections={
            model: read_set.detect(model) for model in read_set.MODELS
            if Path(model.partition(' ')[0]).exists()
        },
        configs={path: read_set.build(path) for path in read_set.CONFIGS},
        arguments=read_set.arguments(),
        tools=sorted(path.name for path in (root / 'tools').iterdir()),
        names=read_set.public_names(root))
    Path('expected.json').write_text(json.dumps(expected))


if __name__ == '__main__':
    main(Path(sys.argv[1]))
