#!/usr/bin/env python
"""Convert, fine-tune, resume and train in two processes on coco128.

Everything the fine-tuning guide claims was measured with this command; it
starts the project's own commands and reads their logs. The checkpoint is a
full-size YOLO-World-v2-S with random weights under the official names.
"""
import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIG = REPOSITORY.joinpath(
    'configs', 'finetune_coco',
    'yolo_world_v2_s_rep_vlpan_bn_2e-4_80e_8gpus_mask-refine_finetune_coco.py')
PARTS = ('resume', 'processes', 'overfit')


def write_checkpoint(path: Path, seed: int = 0) -> None:
    """A text-conditioned v2-S as it is before any training."""
    import torch
    from mmengine.config import Config
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope
    from mmyolo.registry import MODELS

    import yolo_world_rep  # noqa: F401
    # A line for each tensor that is initialized is too much.
    MMLogger.get_instance('mmengine', log_level='WARNING')
    init_default_scope('mmyolo')
    torch.manual_seed(seed)
    cfg = Config.fromfile(CONFIG).model
    cfg.reparameterized = False
    cfg.neck.guide_channels = 512
    cfg.neck.block_cfg = dict(type='MaxSigmoidCSPLayerWithTwoConv')
    head = cfg.bbox_head
    head.type = 'YOLOWorldHead'
    head.head_module.type = 'YOLOWorldHeadModule'
    head.head_module.pop('num_guide')
    model = MODELS.build(cfg)
    model.init_weights()
    state_dict = model.state_dict()
    state_dict.pop('embeddings')
    torch.save(dict(state_dict=state_dict), path)


def write_subset(data: Path, path: Path, count: int) -> None:
    """Annotations of the first ``count`` training images with boxes."""
    whole = json.loads(
        (data / 'annotations' / 'instances_train2017.json').read_text(
            encoding='utf-8'))
    used = {a['image_id'] for a in whole['annotations']}
    images = [i for i in whole['images'] if i['id'] in used][:count]
    ids = {image['id'] for image in images}
    boxes = [a for a in whole['annotations'] if a['image_id'] in ids]
    path.write_text(
        json.dumps(dict(whole, images=images, annotations=boxes)),
        encoding='utf-8')


def command(parts: List[Any], log: Path) -> None:
    """Run a command of the project; its output goes to a file."""
    line = [str(part) for part in parts]
    print('$', ' '.join(line), flush=True)
    path = os.pathsep.join(
        [str(REPOSITORY), *filter(None, [os.environ.get('PYTHONPATH')])])
    environment = {
        'OMP_NUM_THREADS': '1',
        **os.environ, 'PYTHONPATH': path,
        'PYTHON': sys.executable
    }
    with open(log, 'w', encoding='utf-8') as file:
        status = subprocess.run(
            line, stdout=file, stderr=subprocess.STDOUT,
            env=environment).returncode
    if status:
        sys.exit(f'failed with status {status}; its output is in {log}')


def options(data: Path, **more: Any) -> List[str]:
    """``--cfg-options`` of a short run on few cores."""
    values: Dict[str, Any] = {
        'data_root': f'{data}/',
        'img_scale': '(192,192)',
        'train_num_workers': 0,
        'val_num_workers': 0,
        'randomness.seed': 0,
        'default_hooks.logger.interval': 1,
        'log_processor.window_size': 1,  # the loss of each step, no means
        # A warm-up of 1,000 steps is longer than these runs.
        'default_hooks.param_scheduler.warmup_mim_iter': 20,
        'default_hooks.param_scheduler.warmup_epochs': 0,
        **more
    }
    return ['--cfg-options'] + [f'{k}={v}' for k, v in values.items()]


def rows(work_dir: Path) -> List[dict]:
    """The log of the last run in a folder, one dict a line."""
    path = sorted(work_dir.glob('*/vis_data/scalars.json'))[-1]
    lines = path.read_text(encoding='utf-8').splitlines()
    return [json.loads(line) for line in lines]


def epoch_losses(work_dir: Path) -> Dict[int, float]:
    """Mean of the loss over the steps of each epoch."""
    gathered: Dict[int, List[float]] = {}
    for row in rows(work_dir):
        if 'loss' in row:
            gathered.setdefault(row['epoch'], []).append(row['loss'])
    return {k: sum(v) / len(v) for k, v in gathered.items()}


def last_metric(work_dir: Path, name: str) -> Optional[float]:
    """The last value of a metric of the validation."""
    values = [row[name] for row in rows(work_dir) if name in row]
    return values[-1] if values else None


def train(config: Path, work_dir: Path, data: Path, checkpoint: Path,
          *extra: Any, **more: Any) -> None:
    """``tools/train.py``."""
    work_dir.mkdir(parents=True, exist_ok=True)
    command([
        sys.executable, REPOSITORY / 'tools' / 'train.py', config,
        '--work-dir', work_dir, *extra,
        *options(data, load_from=checkpoint, **more)
    ], work_dir / 'output.txt')


def part_resume(root: Path, data: Path, checkpoint: Path) -> None:
    """Four epochs on 128 images; the last two again, from a checkpoint."""
    short = dict(
        max_epochs=4,
        close_mosaic_epochs=1,
        save_epoch_intervals=1,
        train_batch_size_per_gpu=2,
        **{'default_hooks.checkpoint.max_keep_ckpts': -1})
    train(CONFIG, root / 'whole', data, checkpoint, **short)
    train(CONFIG, root / 'resumed', data, checkpoint, '--resume',
          root / 'whole' / 'epoch_2.pth', **short)
    whole, resumed = root / 'whole', root / 'resumed'
    print('mean loss of each epoch:', epoch_losses(whole))
    print('of the resumed run:     ', epoch_losses(resumed))
    steps = {
        row['step']: row['loss'] for row in rows(whole) if 'loss' in row
    }
    worst = max(
        abs(row['loss'] - steps[row['step']]) / steps[row['step']]
        for row in rows(resumed) if 'loss' in row)
    print(f'greatest relative difference of a step: {worst:.1e}')
    metric = 'coco/bbox_mAP'
    print(f'{metric} on 64 validation images: {last_metric(whole, metric)}; '
          f'resumed: {last_metric(resumed, metric)}')


def part_processes(root: Path, data: Path, checkpoint: Path) -> None:
    """One epoch on 128 images in two gloo processes."""
    work_dir = root / 'processes'
    work_dir.mkdir(parents=True, exist_ok=True)
    arguments = options(
        data,
        load_from=checkpoint,
        max_epochs=2,
        close_mosaic_epochs=1,
        save_epoch_intervals=1,
        train_batch_size_per_gpu=1)
    command([
        sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2',
        f'--master_port={os.environ.get("PORT", "29511")}',
        Path(__file__).resolve(), '--rank-of', work_dir, *arguments
    ], work_dir / 'output.txt')
    print('mean loss of each epoch:', epoch_losses(work_dir))
    output = (work_dir / 'output.txt').read_text(encoding='utf-8')
    print(re.findall('ranks: .*', output)[-1])


def run_rank(work_dir: Path, cfg_options: dict) -> None:
    """What tools/train.py does, and then a comparison of the ranks."""
    import torch
    from mmengine.config import Config
    from torch import distributed

    from yolo_world_rep.engine import launch
    cfg = launch.config_for_training(
        Config.fromfile(CONFIG),
        str(CONFIG),
        work_dir=str(work_dir),
        cfg_options=cfg_options,
        launcher='pytorch')
    model = launch.build_runner(cfg).train().module
    mine = torch.cat([p.detach().flatten() for p in model.parameters()])
    first = mine.clone()
    distributed.broadcast(first, 0)
    apart = (mine - first).abs().max()
    distributed.all_reduce(apart, distributed.ReduceOp.MAX)
    if distributed.get_rank() == 0:
        print(f'ranks: {distributed.get_world_size()}, greatest difference '
              f'of {len(mine)} parameters after '
              f'training: {float(apart):.1e}', flush=True)


def part_overfit(root: Path, data: Path, checkpoint: Path) -> None:
    """Eight images, trained on and validated with."""
    subset = root / 'eight.json'
    write_subset(data, subset, 8)
    train(
        CONFIG,
        root / 'overfit',
        data,
        checkpoint,
        train_ann_file=subset,
        val_ann_file=subset,
        val_data_prefix='train2017/',
        max_epochs=80,
        close_mosaic_epochs=80,
        img_scale='(256,256)',
        save_epoch_intervals=20,
        val_interval_stage2=20,
        train_batch_size_per_gpu=2,
        base_lr=1e-3,
        mixup_prob=0.0,
        copypaste_prob=0.0,
        # The default of 0.03 leaves the statistics stale in short runs.
        **{
            'norm_cfg.momentum': 0.2,
            # By heart: the images as they are, but for flips and colours.
            'custom_hooks.1.switch_pipeline.4.scaling_ratio_range': '(1,1)'
        })
    losses = epoch_losses(root / 'overfit')
    print('mean loss of each tenth epoch:',
          {k: round(v, 2) for k, v in losses.items() if k % 10 in (0, 1)})
    for name in ('coco/bbox_mAP', 'coco/bbox_mAP_50'):
        print(name, [row[name] for row in rows(root / 'overfit')
                     if name in row])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, help='folder of coco128')
    parser.add_argument('--embeddings', type=Path, help='80 COCO classes')
    parser.add_argument('--texts', type=Path, help='JSON of their names')
    parser.add_argument('--work-dir', type=Path, default='work_dirs/coco128')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=PARTS)
    args = parser.parse_args()
    root, data = args.work_dir.resolve(), args.data.resolve()
    root.mkdir(parents=True, exist_ok=True)
    source, folded = root / 'v2_s.pth', root / 'v2_s_rep_conv.pth'
    if not folded.exists():
        write_checkpoint(source)
        tool = REPOSITORY / 'tools' / 'reparameterize_yoloworld.py'
        command([
            sys.executable, tool, '--model', source,
            '--out-dir', root, '--text-embed', args.embeddings, '--texts',
            args.texts
        ], root / 'conversion.txt')
    for part in args.parts:
        print(f'\n{part}', flush=True)
        globals()[f'part_{part}'](root, data, folded)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--rank-of']:
        from mmengine.config import DictAction
        rank = argparse.ArgumentParser()
        rank.add_argument('--rank-of', type=Path)
        rank.add_argument('--cfg-options', nargs='+', action=DictAction)
        rank_args = rank.parse_args()
        run_rank(rank_args.rank_of, rank_args.cfg_options)
    else:
        main()
