"""Ways of fine-tuning the demo's model: a config each, nothing else differs.

A *task* is a folder with the images to tune with (``tune``), others with the
same classes (``tune_val``), the embeddings of these (``tuned.npy``) and those
of all classes that its texts name (``all_pairs.npy``).
"""
import copy
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional

from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmyolo.registry import MODELS
from tuning_world import TUNE, TUNE_VAL, TUNED

import yolo_world_rep  # noqa: F401  mmyolo finds our models
from yolo_world_rep.config.recipes import frozen_parts
from yolo_world_rep.config.variables import find, resolve_variables
from yolo_world_rep.datasets.shapes import ANNOTATION_FILE, TEXT_FILE
from yolo_world_rep.demo import training
from yolo_world_rep.demo.training import FOLDED_CONFIG, TEXT_CONFIG
from yolo_world_rep.detector.detections import data_loader, evaluate_detector
from yolo_world_rep.detector.loading import load_detector
from yolo_world_rep.reparam import convert_checkpoint
from yolo_world_rep.report.retention import with_classes
from yolo_world_rep.text import load_embeddings
from yolo_world_rep.utils.files import PathLike


class Schedule(NamedTuple):
    """What all ways of fine-tuning share.

    Args:
        epochs (int): Of the training.
        lr (float): The learning rate.
        batch (int): Images a step.
    """
    epochs: int
    lr: float
    batch: int = 16

    def apply(self, cfg: Config) -> Config:
        """Set a config's variables; the trainer carries them on."""
        cfg.max_epochs, cfg.base_lr = self.epochs, self.lr
        cfg.train_batch_size_per_gpu = self.batch
        return cfg


class Ways:
    """The configs of a task.

    Args:
        configs (str | Path): Folder of the demo's configs.
        root (str | Path): Folder of the task.
        schedule (Schedule): Of all of them.
    """

    def __init__(self, configs: PathLike, root: PathLike,
                 schedule: Schedule) -> None:
        self.configs, self.root = Path(configs), Path(root)
        self.schedule = schedule
        self.classes, self.text_channels = load_embeddings(
            self.root / TUNED).vectors.shape

    def text(self, images: str = TUNE) -> Config:
        """Text-conditioned: every image asks for all classes.

        Args:
            images (str): Folder of the images. Defaults to 'tune'.
        """
        cfg = self._read(TEXT_CONFIG)
        self._set_text_channels(cfg)
        count = self.classes
        cfg.model.num_train_classes = count
        cfg.model.bbox_head.head_module.num_classes = count
        cfg.model.train_cfg.assigner.num_classes = count
        train = cfg.train_dataloader.dataset
        train.dataset.data_root = str(self.root / images)
        train.class_text_path = str(self.root / images / TEXT_FILE)
        for transform in train.pipeline:
            if transform.type == 'RandomLoadText':
                transform.num_neg_samples = (count, count)
                transform.max_num_samples = count
        return cfg

    def folded(self, options: Optional[Dict[str, Any]] = None) -> Config:
        """Reparameterized, of the form ``rep_conv``.

        Args:
            options (dict, optional): Dotted keys that make another recipe.
        """
        cfg = with_classes(
            self._read(FOLDED_CONFIG), self.classes, self.classes)
        self._set_text_channels(cfg)
        cfg.train_dataloader.dataset.data_root = str(self.root / TUNE)
        set_test_images(cfg, self.root / TUNE_VAL)
        cfg.merge_from_dict(options or {})
        return cfg

    def prompts(self) -> Config:
        """Text-conditioned: the embeddings train, and nothing else."""
        cfg = self.folded({'model.frozen': frozen_parts('head')})
        model, head = cfg.model, cfg.model.bbox_head
        model.update(
            reparameterized=False,
            prompt_dim=self.text_channels,
            num_prompts=self.classes,
            embedding_path=str(self.root / TUNED))
        model.neck.guide_channels = self.text_channels
        model.neck.block_cfg.type = 'MaxSigmoidCSPLayerWithTwoConv'
        head.type = 'YOLOWorldHead'
        head.head_module.type = 'YOLOWorldHeadModule'
        head.head_module.freeze_all = True
        del head.head_module['num_guide']
        return cfg

    def scratch(self, epochs: Optional[int] = None) -> Config:
        """A YOLOv8 with backbone and neck of that size, not pre-trained.

        Args:
            epochs (int, optional): Defaults to the schedule's.
        """
        cfg = self.folded()
        model = cfg.model
        image, module = model.backbone.image_model, model.bbox_head.head_module
        cfg.model = dict(
            type='YOLODetector',
            data_preprocessor=model.data_preprocessor,
            backbone=image,
            neck=dict(
                type='YOLOv8PAFPN', **_some(
                    model.neck, 'in_channels', 'out_channels',
                    'num_csp_blocks', 'norm_cfg', 'deepen_factor',
                    'widen_factor')),
            bbox_head=dict(
                type='YOLOv8Head',
                head_module=dict(
                    type='YOLOv8HeadModule', **_some(
                        module, 'num_classes', 'in_channels', 'widen_factor',
                        'norm_cfg'))),
            train_cfg=model.train_cfg,
            test_cfg=model.test_cfg)
        cfg.load_from = None
        cfg.max_epochs = epochs or self.schedule.epochs
        return cfg

    def _read(self, name: str) -> Config:
        cfg = training.read_config(self.configs / name, self.root)
        return self.schedule.apply(cfg)

    def _set_text_channels(self, cfg: Config) -> None:
        """The width of the texts, where the demo's is another."""
        cfg.model.bbox_head.head_module.embed_dims = self.text_channels
        if cfg.model.type == 'YOLOWorldDetector':
            cfg.model.neck.guide_channels = self.text_channels


def _some(values: Mapping[str, Any], *keys: str) -> Dict[str, Any]:
    return {key: values[key] for key in keys}


def set_test_images(cfg: Config, folder: PathLike) -> None:
    """Make a config without texts validate and test on a folder."""
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(folder)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = str(Path(folder) / ANNOTATION_FILE)


def ap_on(cfg: Config, checkpoint: PathLike, folder: Path) -> float:
    """AP over all classes that occur in a folder's images."""
    cfg = copy.deepcopy(cfg)
    set_test_images(cfg, folder)
    model, _ = load_detector(cfg, checkpoint)
    return evaluate_detector(
        model, data_loader(cfg.test_dataloader), cfg.test_evaluator).mean()


class Trainings:
    """Trainings of one seed in one folder; none is done twice.

    Args:
        work_dir (str | Path): The folder.
        tools (str | Path): Folder of ``train.py``.
        seed (int): Of the trainings.
        say (Callable): Told which training begins. Defaults to nothing.
        threads (int): Of torch. Defaults to 1.
    """

    def __init__(self,
                 work_dir: PathLike,
                 tools: PathLike,
                 seed: int,
                 say: Callable[[str], None] = lambda text: None,
                 threads: int = 1) -> None:
        self.work_dir, self.tools = Path(work_dir), Path(tools)
        self.seed, self.say, self.threads = seed, say, threads

    def train(self, cfg: Config, name: str, **options: object) -> Path:
        """Train through ``tools/train.py``.

        Args:
            cfg (Config): What to train.
            name (str): Of the training's folder.
            **options: As of ``demo.training.training_command``.

        Returns:
            Path: The last checkpoint.
        """
        work_dir = self.work_dir / name
        last = work_dir / 'last_checkpoint'
        path = self.dump(cfg, name)
        if not last.exists():
            self.say(f'seed {self.seed}: training {name}')
            command = training.training_command(
                self.tools,
                path,
                work_dir,
                randomness__seed=self.seed,
                **options)
            # The config that was dumped names its data itself.
            training.run_training(command, '', self.work_dir / f'{name}.log',
                                  self.threads)
        return work_dir / Path(last.read_text(encoding='utf-8')).name

    def dump(self, cfg: Config, name: str) -> Path:
        """Write a config among the others."""
        path = self.work_dir / 'configs' / f'{name}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        cfg.dump(path)
        return path

    def fold(self, checkpoint: Path, text_embed: PathLike,
             name: str) -> Path:
        """Fold texts into a text-conditioned checkpoint.

        Args:
            checkpoint (Path): The checkpoint.
            text_embed (str | Path): ``.npy`` of the texts, or
                ``'checkpoint'`` for those it was tuned to.
            name (str): Of the result's folder.
        """
        return convert_checkpoint(
            checkpoint,
            text_embed,
            self.work_dir / name,
            'rep_conv',
            overwrite=True).path

def training_step(config: PathLike,
                  width: Optional[float] = None) -> Callable[[], None]:
    """A call that makes a step on the first batch of a training.

    Args:
        config (str | Path): Of a training; its checkpoint is not loaded.
        width (float, optional): Another ``widen_factor`` of all parts.
    """
    cfg, _ = resolve_variables(Config.fromfile(config))
    if width is not None:
        for holder, name, _ in find(cfg._cfg_dict,
                                    ['model', '**', 'widen_factor']):
            holder[name] = width
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    with DefaultScope.overwrite_default_scope('mmyolo'):
        model = MODELS.build(cfg.model).train()
        batch = next(iter(Runner.build_dataloader(
            cfg.train_dataloader, seed=0)))
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper)

    def call() -> None:
        model.train_step(batch, optimizer)

    return call
