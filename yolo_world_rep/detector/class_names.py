"""The class names of a detector, from all places that have them."""
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from mmengine.registry import DefaultScope
from mmyolo.registry import DATASETS
from torch import nn

from yolo_world_rep.text import class_names, load_class_names, load_embeddings
from yolo_world_rep.text.names import name_differences, names_of


def test_dataset(cfg: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    """The test data set's config and those it wraps, the outermost first."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    layers = []
    while isinstance(dataset, Mapping):
        layers.append(dataset)
        dataset = dataset.get('dataset')
    return layers


def class_names_of(cfg: Mapping[str, Any],
                   model: nn.Module) -> Tuple[str, ...]:
    """The names of a model's classes; a ValueError unless they are clear."""
    conditioned = getattr(model, 'text_conditioned', False)
    texts = getattr(model, 'texts', None) if conditioned else None
    if texts is not None:
        return class_names(texts)
    layers = test_dataset(cfg)
    stated = next(filter(None, (names_of(layer.get('metainfo'))
                                for layer in layers)), None)
    loaded = names_of(getattr(model, 'dataset_meta', None))
    if conditioned:
        # The checkpoint's names are those it was trained with.
        count = len(model.prompts())
        path = model.embedding_path
        candidates = [('the embeddings',
                       load_embeddings(path).names if path else None),
                      ('class_text_path', _text_names(layers)),
                      ('metainfo', stated), ('the checkpoint', loaded)]
    else:
        count = model.bbox_head.num_classes
        if stated and loaded and stated != loaded:
            raise ValueError(
                f'The checkpoint and metainfo of the config name other '
                f'classes: {name_differences(loaded, stated)}. Set '
                f'class_names (metainfo=dict(classes=...)) to those of the '
                f'checkpoint.')
        candidates = [('the checkpoint', loaded), ('metainfo', stated),
                      ('class_text_path', _text_names(layers))]
    candidates.append(('the kind of data set', _names_of_kind(layers)))
    told = [(where, names) for where, names in candidates if names]
    for _, names in told:
        if len(names) == count:
            return names
    if not told:
        raise ValueError(
            f'The names of the {count} classes are unknown: neither the '
            f'checkpoint nor the config tells them. Set class_names '
            f'(metainfo=dict(classes=(...)) of the test data set).')
    counts = ', '.join(f'{where} {len(names)}' for where, names in told)
    raise ValueError(f'The model has {count} classes and the names are of '
                     f'another number: {counts}. Set class_names '
                     f'(metainfo=dict(classes=(...)) of the test data set).')


def _text_names(layers: Sequence[Mapping[str, Any]]) -> Optional[tuple]:
    for layer in layers:
        if layer.get('class_text_path'):
            return load_class_names(layer['class_text_path'])
    return None


def _names_of_kind(layers: Sequence[Mapping[str, Any]]) -> Optional[tuple]:
    """Such as those of COCO, of a data set that says nothing else."""
    if not layers or 'type' not in layers[-1]:
        return None
    kind = layers[-1]['type']
    if isinstance(kind, str):
        with DefaultScope.overwrite_default_scope('mmyolo'):
            kind = DATASETS.get(kind)
    return names_of(getattr(kind, 'METAINFO', None))
