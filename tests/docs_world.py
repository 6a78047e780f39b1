"""What the commands of the documentation find: small, under their names."""
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Sequence

import cv2
import numpy as np
import pytest
import torch
from docs_blocks import REPOSITORY
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from tiny_clip import save_tiny_clip
from tiny_training import build_model, write_images
from ultralytics_files import rename, save_pickled

from yolo_world_rep.datasets.shapes import seen_pairs, write_dataset
from yolo_world_rep.reparam import convert_checkpoint
from yolo_world_rep.text import WordEncoder, save_embeddings

COCO = CocoDataset.METAINFO['classes']
PETS = ('cat', 'dog', 'bird')
OTHERS = ('fox', 'owl')
FOLDED = ('configs/finetune_coco/yolo_world_v2_s_rep_vlpan_bn_2e-4_80e_'
          '8gpus_mask-refine_finetune_coco.py')
SEGMENTING = ('configs/segmentation/yolo_world_v2_seg_s_rep_vlpan_bn_2e-4_'
              '80e_8gpus_finetune_coco.py')
TEXT = FOLDED.replace('_rep_', '_')
SIDE = 64
CLIP = 'openai/clip-vit-base-patch32'
#: Appended where a config runs: the same on small images, and soon done.
SMALL = (f'img_scale=({SIDE},{SIDE})', 'max_epochs=1',
         'close_mosaic_epochs=1', 'save_epoch_intervals=1',
         'train_batch_size_per_gpu=2', 'train_num_workers=0',
         'val_num_workers=0',
         'default_hooks.param_scheduler.warmup_mim_iter=2')


def write_coco(root: Path, images: str, annotations: str,
               names: Sequence[str], suffix: str = '.jpg') -> None:
    """Four drawn images and their COCO file, at places under ``root``."""
    made = root / 'made'
    write_images(made, names=names)
    for source in (made / 'images').iterdir():
        target = root / images / f'{source.stem}{suffix}'
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), cv2.imread(str(source)))
    target = root / annotations
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        (made / 'annotations.json').read_text().replace('.png', suffix))
    shutil.rmtree(made)


def write_lvis(root: Path, names: Sequence[str]) -> None:
    """The images of COCO, annotated as LVIS does."""
    source = root / 'annotations' / 'instances_val2017.json'
    content = json.loads(source.read_text())
    for image in content['images']:
        image.update(
            coco_url='http://images.cocodataset.org/val2017/' +
            image['file_name'],
            neg_category_ids=[],
            not_exhaustive_category_ids=[])
    content['categories'] = [
        dict(id=number, name=name, synonyms=[name], frequency='f')
        for number, name in enumerate(names, 1)
    ]
    target = root / 'lvis' / 'lvis_v1_minival_inserted_image_name.json'
    target.parent.mkdir()
    target.write_text(json.dumps(content))


class World:
    """Folders in which the commands of a page run.

    What takes time is made once, when it is first asked for: the models are
    S as it is, with random weights.

    Args:
        cache (Path): Folder of what is made once.
    """

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        folded = partial(self.folded, COCO)
        pets = partial(self.folded, PETS)
        text = self.text
        onnx, openvino = (partial(self.exported, name)
                          for name in ('onnx', 'openvino'))
        #: What makes a file, by the name that the pages have for it.
        self.makers: Dict[str, Callable[[], Path]] = {
            'checkpoints/yolo_world_v2_s.pth': text,
            'yolo_world_v2_seg_l.pth': text,
            'yolov8s-worldv2.pt': self.ultralytics,
            'checkpoints/yolo_world_v2_s_rep_conv.pth': folded,
            'epoch_80.pth': folded,
            'best.pth': folded,
            'yolo_world_v2_s.pth': self.text,
            's.pth': folded,
            'checkpoints/pets_rep_conv.pth': pets,
            'folded.pth': pets,
            'tuned.pth': self.tuned,
            'text_rep_conv.pth': partial(self.folded, seen_pairs()[:5]),
            'classes.npy': partial(self.embedded, COCO),
            'new.npy': partial(self.embedded, OTHERS),
            'held_out.npy': partial(self.embedded, OTHERS),
            'seg.pth': self.segmenting,
            'best.onnx': onnx,
            'best.xml': openvino,
            'best.bin': openvino,
            'film.mp4': self.film,
            'own.py': self.own,
            CLIP: self.clip,
            'clip-vit-base-patch32': self.clip,
        }

    def sandbox(self, root: Path) -> Path:
        """The data, texts and programs that need no time."""
        shutil.copytree(REPOSITORY / 'configs', root / 'configs')
        for name in ('tools', 'benchmarks'):
            (root / name).symlink_to(REPOSITORY / name)
        for split in ('train', 'val'):
            write_coco(root / 'data' / 'coco', f'{split}2017',
                       f'annotations/instances_{split}2017.json', COCO)
            write_coco(root / 'data' / 'pets', 'images',
                       f'annotations/{split}.json', PETS)
            write_dataset(root / 'world' / split, 6, seen_pairs()[:5],
                          (0, len(split)))
        write_coco(root, 'images', 'annotations.json', COCO)
        for name in ('image.jpg', 'a.jpg', 'images/below/b.jpg'):
            (root / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(root / 'images' / '000.jpg', root / name)
        (root / 'classes.txt').write_text('\n'.join(COCO) + '\n')
        lvis = [f'thing{number}' for number in range(1203)]
        (root / 'data' / 'texts').mkdir()
        for name, names in (('coco', COCO), ('lvis_v1', lvis)):
            (root / 'data' / 'texts' / f'{name}_class_texts.json').write_text(
                json.dumps([[each] for each in names]))
        write_lvis(root / 'data' / 'coco', lvis)
        (root / 'embeddings').mkdir()
        return root

    def put(self, name: str, root: Path) -> None:
        """Bring what a command names and nothing has written yet."""
        target = root / name
        if name not in self.makers or target.exists():
            return
        made = self.makers[name]()
        target.parent.mkdir(parents=True, exist_ok=True)
        if made.is_dir():
            shutil.copytree(made, target)
            return
        shutil.copyfile(made.with_suffix(target.suffix), target)
        # The names of embeddings, the weights of OpenVINO.
        for suffix in ('.json', '.bin'):
            beside = made.with_suffix(suffix)
            if beside.exists() and target.suffix in ('.npy', '.xml'):
                shutil.copyfile(beside, target.with_suffix(suffix))

    # ------------------------------- makers -------------------------------
    def text(self) -> Path:
        """The text-conditioned model."""
        path = self.cache / 'text.pth'
        if not path.exists():
            cfg = Config.fromfile(REPOSITORY / TEXT)
            cfg.model.backbone.update(text_model=None, with_text_model=False)
            torch.save(
                dict(state_dict=build_model(cfg).state_dict(), meta={}), path)
        return path

    def embedded(self, names: Sequence[str]) -> Path:
        """Embeddings of names."""
        path = self.cache / f'{len(names)}_{names[0]}.npy'
        if not path.exists():
            save_embeddings(path, WordEncoder(512).encode(names), names)
        return path

    def folded(self, names: Sequence[str]) -> Path:
        """The model with names in its weights."""
        embeddings = self.embedded(names)
        path = self.cache / embeddings.stem / 'text_rep_conv.pth'
        if not path.exists():
            convert_checkpoint(self.text(), embeddings, path.parent,
                               neck_form='rep_conv')
        return path

    def segmenting(self) -> Path:
        """A folded model with masks that rounding does not decide."""
        path = self.cache / 'seg.pth'
        if not path.exists():
            cfg = Config.fromfile(REPOSITORY / SEGMENTING)
            state = build_model(cfg).state_dict()
            state['bbox_head.head_module.proto_pred.conv3.bn.bias'] = (
                torch.linspace(-3, 3, 32))
            torch.save(
                dict(
                    state_dict=state,
                    meta=dict(dataset_meta=dict(classes=COCO))), path)
        return path

    def tuned(self) -> Path:
        """Another one, as after a training."""
        path = self.cache / 'tuned.pth'
        if not path.exists():
            content = torch.load(self.folded(PETS), weights_only=False)
            for name, tensor in content['state_dict'].items():
                if name.startswith('bbox_head') and name.endswith('weight'):
                    tensor *= 1.01
            torch.save(content, path)
        return path

    def ultralytics(self) -> Path:
        """The same model under other names."""
        path = self.cache / 'ultralytics.pt'
        if not path.exists():
            content = torch.load(self.text(), weights_only=True)
            save_pickled(path, rename(content['state_dict'],
                                      {2: 1, 4: 2, 6: 2, 8: 1, 12: 1, 15: 1,
                                       18: 1, 21: 1}))
        return path

    def exported(self, kind: str) -> Path:
        """A file for a runtime."""
        from yolo_world_rep_cli.main import main
        suffix = dict(onnx='.onnx', openvino='.xml')[kind]
        path = self.cache / kind / f'best{suffix}'
        if not path.exists():
            checkpoint = self.cache / 'best.pth'
            shutil.copyfile(self.folded(COCO), checkpoint)
            with pytest.raises(SystemExit) as ended:
                main([
                    'export',
                    str(REPOSITORY / FOLDED),
                    str(checkpoint), '--format', kind, '--out',
                    str(path.parent), '--image-count', '2', '--cfg-options',
                    SMALL[0]
                ])
            assert not ended.value.code
        return path

    def film(self) -> Path:
        """A video of three frames."""
        path = self.cache / 'film.mp4'
        if not path.exists():
            writer = cv2.VideoWriter(
                str(path), cv2.VideoWriter_fourcc(*'mp4v'), 5, (SIDE, SIDE))
            rng = np.random.default_rng(0)
            for _ in range(3):
                writer.write(
                    rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8))
            writer.release()
        return path

    def own(self) -> Path:
        """A config whose test data have the held-out classes, too."""
        root = self.cache / 'own'
        path = root / 'own.py'
        if not path.exists():
            names = (*PETS, *OTHERS)
            write_coco(root, 'images', 'annotations.json', names)
            path.write_text(f"""
_base_ = '{REPOSITORY / FOLDED}'
num_classes = {len(names)}
class_names = {names}
data_root = '{root}/'
train_ann_file = val_ann_file = 'annotations.json'
train_data_prefix = val_data_prefix = 'images/'
""")
        return path

    def clip(self) -> Path:
        """A CLIP of a few kilobytes whose embeddings are 512 wide."""
        pytest.importorskip('transformers', reason='transformers is not '
                            'installed: pip install "yolo-world-rep[clip]"')
        folder = self.cache / 'clip'
        if not folder.exists():
            save_tiny_clip(folder, projection_dim=512)
        return folder
