"""What the package makes and says of a set; run by the first and by this one.

Both run the same commands and imports, so all of them are the first version's.
"""
import argparse
import contextlib
import importlib
import io
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence

# From the sources of write_set.py to embeddings and checkpoints.
COMMANDS = (
    'embed --encoder words --dim 32 --text names.txt --out names.npy --pad',
    'embed --encoder words --dim 32 --text more.txt --out more.npy',
    'convert-ultralytics --model worldv2.pt --out from_worldv2.pth',
    'reparameterize --model text/tiny.pth --out-dir conv '
    '--text-embed names.npy --conv-neck',
    'reparameterize --model text/tiny.pth --out-dir linear '
    '--text-embed names.npy',
    'reparameterize --model text/tiny.pth --out-dir head '
    '--text-embed names.npy --head-only',
    'reparameterize --model text/tiny.pth --out-dir padded '
    '--text-embed names.npy --conv-neck --pad',
    'reparameterize --model text_v1/tiny.pth --out-dir conv_v1 '
    '--text-embed names.npy --conv-neck',
    'edit conv/tiny_rep_conv.pth --out edited.pth --keep kite ball '
    '--add more.npy',
    'edit linear/tiny_rep_linear.pth --out swapped.safetensors '
    '--replace more.npy')
TRAIN = 'train finetune.py --work-dir trained'
AFTER_TRAINING = (
    'edit trained/epoch_1.pth --out trained.pth --keep kite ball '
    '--add more.npy',
    'interpolate conv/tiny_rep_conv.pth trained/epoch_1.pth --alpha 0.25 '
    '--out between.pth')
EXPORT = 'export conv/tiny.py conv/tiny_rep_conv.pth --image-count 2 --out '
# By what they are run in; the modules that it takes come first.
EXPORTS = (
    ('onnx onnxscript onnxruntime', (
        'onnx', 'nms --with-nms --half',
        'int8 --int8 --calibration images')),
    ('openvino', ('openvino --format openvino', )),
    ('', ('torchscript --format torchscript --batch dynamic', )))
# What is predicted with: a model, then its options.
MODELS = (
    'text/tiny.py --checkpoint text/tiny.pth',
    'text_v1/tiny.py --checkpoint text_v1/tiny.pth',
    'conv/tiny.py --checkpoint conv/tiny.pth',
    'conv/tiny.py --checkpoint conv/tiny_rep_conv.pth',
    'linear/tiny.py --checkpoint linear/tiny_rep_linear.pth',
    'head/tiny.py --checkpoint head/tiny_rep_head.pth',
    'conv/tiny.py --checkpoint padded/tiny_rep_conv.pth --cfg-options '
    'model.neck.guide_channels=4',
    'conv_v1/tiny.py --checkpoint conv_v1/tiny_rep_conv.pth',
    'conv_four/tiny.py --checkpoint edited.pth',
    'linear_two/tiny.py --checkpoint swapped.safetensors',
    'trained/finetune.py --checkpoint trained/epoch_1.pth',
    'conv_four/tiny.py --checkpoint trained.pth',
    'by_scope.py --checkpoint between.pth',
    'by_path.py --checkpoint between.pth',
    'by_class.py --checkpoint conv/tiny_rep_conv.pth',
    'onnx/tiny_rep_conv.onnx', 'nms/tiny_rep_conv_nms_fp16.onnx',
    'int8/tiny_rep_conv_int8.onnx',
    'openvino/tiny_rep_conv.xml', 'torchscript/tiny_rep_conv.torchscript')
CONFIGS = ('finetune.py', 'by_scope.py', 'by_path.py', 'trained/finetune.py',
           'own.py')


def run(words: str) -> str:
    """What a command prints; its status must be 0."""
    from yolo_world_rep_cli.main import main
    out, status = io.StringIO(), None
    with contextlib.redirect_stdout(out):
        try:
            main(words.split())
        except SystemExit as end:
            status = end.code
    if status:
        raise AssertionError(f'status {status} of {words}')
    return out.getvalue()


def inspect(path: str) -> Dict[str, Any]:
    """What a checkpoint is said to be."""
    return json.loads(run(f'inspect --json {path}'))


def detect(model: str) -> List[Dict[str, Any]]:
    """Detections of one of ``MODELS`` in both images."""
    model, _, options = model.partition(' ')
    run(f'predict {model} images/tall.png images/wide.png --threads 1 '
        f'--score 0.1 --json found.json {options}')
    return json.loads(Path('found.json').read_text())


def build(config: str) -> Dict[str, List[int]]:
    """Shapes of the model of a training that is ready to begin."""
    from yolo_world_rep.engine import launch, migration
    cfg = launch.config_for_training(
        migration.config_from_file(config), config, work_dir='built',
        cuda=False, cfg_options={'visualizer.name': config})
    launch.check_files(cfg, ('train_dataloader', 'val_dataloader'))
    runner = launch.build_runner(cfg)
    loop = runner.build_train_loop(runner._train_loop)
    runner.build_optim_wrapper(runner.optim_wrapper)
    assert next(iter(loop.dataloader))['inputs'].shape[1] == 3
    runner.build_val_loop(runner._val_loop)
    return {key: list(value.shape)
            for key, value in runner.model.state_dict().items()}


def about(action: argparse.Action) -> Dict[str, Any]:
    """What an argument takes."""
    return dict(dest=action.dest, nargs=action.nargs,
                required=action.required,
                choices=sorted(map(str, action.choices or ())))


def arguments() -> Dict[str, Dict[str, Any]]:
    """Of each command its options by their names, and what stands alone."""
    from yolo_world_rep_cli.main import make_parser
    commands = next(action.choices for action in make_parser()._actions
                    if isinstance(action, argparse._SubParsersAction))
    return {
        name: dict(
            options={
                word: about(action) for action in parser._actions
                for word in action.option_strings
            },
            others=[about(action) for action in parser._actions
                    if not action.option_strings])
        for name, parser in commands.items()
    }


def public_names(root: Path) -> Dict[str, Sequence[str]]:
    """By each module that can be imported: its ``__all__``, if it has one."""
    found = {}
    for package in ('yolo_world_rep', 'yolo_world_rep_cli'):
        for path in sorted((root / package).rglob('*.py')):
            words = path.relative_to(root).with_suffix('').parts
            name = '.'.join(words).removesuffix('.__init__')
            if words[-1] == '__main__':
                continue
            with contextlib.suppress(ImportError):  # of optional packages
                module = importlib.import_module(name)
                found[name] = getattr(module, '__all__', [])
    return found
