"""Where the variables of a config go: a table, read by ``variables``."""
import os.path as osp
from typing import Any, Callable, List, Mapping, NamedTuple, Tuple

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
PIPELINES = LOADERS + ('custom_hooks', 'train_pipeline',
                       'train_pipeline_stage2', 'test_pipeline')


class Binding(NamedTuple):
    """A place in a config and how its value follows from variables.

    ``where`` is names with dots between: ``*`` is any key or index, ``**`` any
    depth, ``[Type]`` a dict of that ``type``. ``value`` makes the value from a
    mapping of variables, of which it reads ``needs``.
    """
    where: str
    needs: Tuple[str, ...]
    value: Callable[[Mapping[str, Any]], Any]


def _same(*places: str, name: str) -> List[Binding]:
    return [Binding(place, (name, ), lambda v: v[name]) for place in places]


def _switch_epoch(v: Mapping[str, Any]) -> int:
    return v['max_epochs'] - v['close_mosaic_epochs']


def _metainfo(v: Mapping[str, Any]) -> Any:
    names = v['class_names']
    if isinstance(names, str):
        # One class, or the file of names that mmengine would read.
        names = names if osp.isfile(names) else (names, )
    elif names:
        names = tuple(names)
    return dict(classes=names) if names else dict()


def _of_loader(part: str, loader: str) -> List[Binding]:
    workers = f'{part}_num_workers'
    return [
        *_same(f'{loader}.**.data_root', name='data_root'),
        *_same(f'{loader}.**.ann_file', name=f'{part}_ann_file'),
        *_same(f'{loader}.**.data_prefix.img', name=f'{part}_data_prefix'),
        *_same(f'{loader}.**.class_text_path', name='class_text_path'),
        Binding(f'{loader}.**.metainfo', ('class_names', ), _metainfo),
        # Beside a palette, which is long enough for fewer classes.
        Binding(f'{loader}.**.metainfo.classes', ('class_names', ),
                lambda v: _metainfo(v).get('classes')),
        *_same(f'{loader}.num_workers', name=workers),
        Binding(f'{loader}.persistent_workers',
                ('persistent_workers', workers),
                lambda v: bool(v['persistent_workers'] and v[workers])),
    ]


BINDINGS: Tuple[Binding, ...] = (
    # Before the number of classes alone, for configs without padding.
    *(Binding(place, ('num_classes', 'num_padding'),
              lambda v: v['num_classes'] + v['num_padding'])
      for place in ('model.neck.guide_channels',
                    'model.neck.block_cfg.guide_channels')),
    *_same('model.num_train_classes', 'model.num_test_classes',
           'model.neck.guide_channels', 'model.neck.block_cfg.guide_channels',
           'model.num_prompts', 'model.bbox_head.head_module.num_guide',
           'model.bbox_head.head_module.num_classes',
           'model.train_cfg.assigner.num_classes', name='num_classes'),
    *_same('model.embedding_path', name='embedding_path'),
    *_same('model.backbone.text_model.model_name', name='text_model_name'),
    *_same('model.**.norm_cfg', name='norm_cfg'),
    # -- data
    *_of_loader('train', 'train_dataloader'),
    *_of_loader('val', 'val_dataloader'),
    *_of_loader('val', 'test_dataloader'),
    *(Binding(f'{evaluator}.ann_file', ('data_root', 'val_ann_file'),
              lambda v: osp.join(v['data_root'], v['val_ann_file']))
      for evaluator in ('val_evaluator', 'test_evaluator')),
    *_same('val_dataloader.batch_size', 'test_dataloader.batch_size',
           name='val_batch_size_per_gpu'),
    *_same('train_dataloader.batch_size',
           'optim_wrapper.optimizer.batch_size_per_gpu',
           name='train_batch_size_per_gpu'),
    # -- schedule
    *_same('train_cfg.max_epochs', 'default_hooks.param_scheduler.max_epochs',
           name='max_epochs'),
    Binding('custom_hooks.*.[PipelineSwitchHook].switch_epoch',
            ('max_epochs', 'close_mosaic_epochs'), _switch_epoch),
    Binding('train_cfg.dynamic_intervals',
            ('max_epochs', 'close_mosaic_epochs', 'val_interval_stage2'),
            lambda v: [(max(_switch_epoch(v), 0), v['val_interval_stage2'])]),
    *_same('train_cfg.val_interval', 'default_hooks.checkpoint.interval',
           name='save_epoch_intervals'),
    *_same('default_hooks.param_scheduler.lr_factor', name='lr_factor'),
    *_same('optim_wrapper.optimizer.lr', name='base_lr'),
    *_same('optim_wrapper.optimizer.weight_decay', name='weight_decay'),
    # -- augmentation
    *(binding for root in PIPELINES for binding in (
        *_same(f'{root}.**.[Mosaic].img_scale',
               f'{root}.**.[MultiModalMosaic].img_scale',
               f'{root}.**.[YOLOv5KeepRatioResize].scale',
               f'{root}.**.[LetterResize].scale', name='img_scale'),
        Binding(f'{root}.**.[YOLOv5RandomAffine].border', ('img_scale', ),
                lambda v: tuple(-side // 2 for side in v['img_scale'])),
        Binding(f'{root}.**.[YOLOv5RandomAffine].scaling_ratio_range',
                ('affine_scale', ),
                lambda v: (1 - v['affine_scale'], 1 + v['affine_scale'])),
        *_same(f'{root}.**.[YOLOv5RandomAffine].min_area_ratio',
               name='min_area_ratio'),
        *_same(f'{root}.**.[LoadAnnotations].with_mask',
               f'{root}.**.[LoadAnnotations].mask2bbox',
               f'{root}.**.[YOLOv5RandomAffine].use_mask_refine',
               name='use_mask2refine'),
        *_same(f'{root}.**.[YOLOv5MixUp].prob',
               f'{root}.**.[YOLOv5MultiModalMixUp].prob', name='mixup_prob'),
        *_same(
            f'{root}.**.[RandomLoadText].max_num_samples', name='num_classes'),
        Binding(f'{root}.**.[RandomLoadText].num_neg_samples',
                ('num_classes', ), lambda v: (v['num_classes'], ) * 2),
        *_same(f'{root}.**.[YOLOv5CopyPaste].prob', name='copypaste_prob'),
    )),
)
