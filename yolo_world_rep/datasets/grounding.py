"""Images whose boxes belong to phrases of a caption.

The annotation files have COCO's form with a text of its own for each box,
as the mixed data of MDETR (Flickr30k Entities, GQA) and captions with boxes
that a detector found. Such an image brings its own vocabulary: the phrases
of its boxes, each once.
"""
import os.path as osp
from collections import defaultdict
from typing import Any, Dict, List, Mapping

from mmdet.datasets import CocoDataset
from mmengine.fileio import join_path, load
from mmengine.utils import is_abs
from mmyolo.datasets.yolov5_coco import BatchShapePolicyDataset
from mmyolo.registry import DATASETS

from ..registry import register
from ..utils.log import log


def caption_phrase(caption: str, spans: Any) -> str:
    """The words of a caption that a box belongs to; '' for no spans.

    ``spans`` are pairs of a first character and the one after the last; the
    pieces are joined by a space. A span outside of the caption raises
    ``ValueError``.
    """
    try:
        pairs = [(begin, end) for begin, end in spans]
        inside = all(0 <= begin < end <= len(caption) for begin, end in pairs)
    except (TypeError, ValueError):
        inside = False
    if not inside:
        raise ValueError(
            f'tokens_positive={spans!r}: expected pairs of a first character '
            f'and the one after the last, within the {len(caption)} of the '
            f'caption')
    return ' '.join(caption[begin:end] for begin, end in pairs)


@register(DATASETS)
class YOLOv5MixedGroundingDataset(BatchShapePolicyDataset, CocoDataset):
    """Boxes with phrases, as spans of the caption of their image.

    An entry of ``images`` has a ``caption``, one of ``annotations`` has
    ``tokens_positive`` (:func:`caption_phrase`) instead of a category, which
    is not read. Images carry ``texts``, one list of one phrase each in the
    order of the annotations, and ``is_detection``; labels are places in
    ``texts``. Boxes without a phrase are left out, and counted in the log.

    Args:
        *args: As mmdet's CocoDataset. ``data_prefix['img']`` may be a list
            of folders: an image is taken from the first that has it. Under
            ``filter_cfg`` with ``filter_empty_gt=True`` images without
            boxes are left out.
        **kwargs: As mmdet's CocoDataset, and ``batch_shapes_cfg``.

    Raises:
        ValueError: If the file is of another form, or an image is in none
            of several folders.
    """

    METAINFO = dict(classes=('object', ), palette=[(220, 20, 60)])
    #: What the images carry as ``is_detection``.
    is_detection = 1

    def phrase(self, image: Mapping[str, Any],
               annotation: Mapping[str, Any]) -> str:
        """The text of a box; '' for none."""
        return caption_phrase(image['caption'], annotation['tokens_positive'])

    def load_data_list(self) -> List[dict]:
        """Read images, boxes and phrases."""
        content = load(self.ann_file, backend_args=self.backend_args)
        self._wordless = 0
        try:
            images = {image['id']: image for image in content['images']}
            if len(images) < len(content['images']):
                raise ValueError('images share an id')
            boxes: Dict[Any, List[dict]] = defaultdict(list)
            for annotation in content['annotations']:
                boxes[annotation['image_id']].append(annotation)
            infos = [self.parse_data_info(dict(raw_img_info=image,
                                               raw_ann_info=boxes[number]))
                     for number, image in images.items()]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'{self.ann_file}: {type(error).__name__} {error}; '
                f'{type(self).__name__} expects lists "images" and '
                f'"annotations" in COCO\'s form, with a text of its own for '
                f'each box') from error
        except ValueError as error:
            raise ValueError(f'{self.ann_file}: {error}') from error
        if self._wordless:
            log(f'{self.ann_file}: left out {self._wordless} box(es) without '
                f'a phrase.')
        return infos

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """An image with its boxes, and the phrases as its texts."""
        image = raw_data_info['raw_img_info']
        width, height = image['width'], image['height']
        labels: Dict[str, int] = {}
        instances = []
        for annotation in raw_data_info['raw_ann_info']:
            try:
                phrase = self.phrase(image, annotation)
            except ValueError as error:
                raise ValueError(f'annotation {annotation.get("id")} of '
                                 f'image {image["id"]}: {error}') from error
            if not phrase.strip():
                self._wordless += 1
                continue
            label = labels.setdefault(phrase, len(labels))
            x, y, w, h = annotation['bbox']
            inside = (min(x + w, width) > max(x, 0)
                      and min(y + h, height) > max(y, 0))
            if (annotation.get('ignore') or not inside or w < 1 or h < 1
                    or annotation.get('area', w * h) <= 0):
                continue
            instance = dict(bbox=[x, y, x + w, y + h], bbox_label=label,
                            ignore_flag=int(bool(annotation.get('iscrowd'))))
            if annotation.get('segmentation'):
                instance['mask'] = annotation['segmentation']
            instances.append(instance)
        return dict(img_id=image['id'],
                    img_path=self._image_path(image['file_name']),
                    seg_map_path=None, height=height, width=width,
                    texts=[[phrase] for phrase in labels],
                    is_detection=self.is_detection, instances=instances)

    def _image_path(self, name: str) -> str:
        folders = self.data_prefix['img']
        if isinstance(folders, str):
            return osp.join(folders, name)
        for folder in folders:
            if osp.exists(osp.join(folder, name)):
                return osp.join(folder, name)
        raise ValueError(f'image {name} is in none of the folders '
                         f'{list(folders)} of data_prefix')

    def _join_prefix(self) -> None:
        """As mmengine's, for lists of folders too."""
        lists = {key: prefix for key, prefix in self.data_prefix.items()
                 if isinstance(prefix, (list, tuple))}
        self.data_prefix = {key: prefix
                            for key, prefix in self.data_prefix.items()
                            if key not in lists}
        super()._join_prefix()
        for key, prefix in lists.items():
            self.data_prefix[key] = [
                folder if is_abs(folder) or not self.data_root else join_path(
                    self.data_root, folder) for folder in prefix]

    def filter_data(self) -> List[dict]:
        """Leave out small images, and if so wished those without boxes."""
        if self.test_mode or self.filter_cfg is None:
            return self.data_list
        least = self.filter_cfg.get('min_size', 0)
        with_boxes = self.filter_cfg.get('filter_empty_gt', False)
        return [
            info for info in self.data_list
            if min(info['width'], info['height']) >= least
            and (info['instances'] or not with_boxes)
        ]


@register(DATASETS)
class YOLOv5GeneralGroundingDataset(YOLOv5MixedGroundingDataset):
    """Boxes with phrases given in the annotations.

    As :class:`YOLOv5MixedGroundingDataset`, but an entry of ``annotations``
    has its phrase under ``tokens``, and images need no caption.
    """

    is_detection = 0

    def phrase(self, image: Mapping[str, Any],
               annotation: Mapping[str, Any]) -> str:
        """The text of a box; '' for none."""
        tokens = annotation['tokens']
        if not isinstance(tokens, str):
            raise ValueError(f'tokens={tokens!r}: expected a string')
        return tokens
