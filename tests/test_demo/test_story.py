import io
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope
from mmyolo.registry import MODELS
from rich.console import Console

from yolo_world_rep.datasets.shapes import all_pairs
from yolo_world_rep.demo import story
from yolo_world_rep.demo.world import Sizes
from yolo_world_rep.reparam import load_checkpoint

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _restore():
    from mmengine.logging import MMLogger
    logger, threads = MMLogger.get_current_instance(), torch.get_num_threads()
    level = logger.level
    yield
    logger.setLevel(level)
    torch.set_num_threads(threads)


def _options(tmp_path, **kwargs):
    return story.Options(
        work_dir=tmp_path / 'demo',
        tools=REPOSITORY / 'tools',
        configs=REPOSITORY / 'configs' / 'demo',
        rounds=2,
        **kwargs)


class _Untrained(story.Story):
    """Models as they are made, without the minutes of training."""

    def train(self, config, name, epochs, load_from=None):
        path = self.work_dir / f'{name}.pth'
        if load_from is not None:
            return load_from
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope('mmyolo'):
            model = MODELS.build(self.config(config).model)
        # A few boxes pass the least score; of its own accord, none would.
        for contrast in model.bbox_head.head_module.cls_contrasts:
            contrast.bias.data.fill_(-7.)
        torch.save(dict(state_dict=model.state_dict(), meta={}), path)
        return path


def test_steps_fit_together(tmp_path):
    console = Console(file=io.StringIO(), width=120)
    scores = _Untrained(_options(tmp_path, sizes=Sizes(4, 6, 4)),
                        console).run()

    assert scores[story.TEXT] == scores[story.FOLDED]
    assert set(scores[story.TUNED]) == {'seen', 'unseen', 'all'}
    folder = tmp_path / 'demo'
    assert (folder / 'detections.png').stat().st_size > 10000
    meta = load_checkpoint(folder / 'folded' / 'text_rep_conv.pth').meta
    assert tuple(meta['dataset_meta']['classes']) == all_pairs()
    shown = console.file.getvalue()
    for text in ('[8/8]', 'never shown in training: red circle', 'AP unseen',
                 'folded, fine-tuned', str(folder / 'detections.png')):
        assert text in shown
    assert f'[{story.Story.steps + 1}/' not in shown


def test_a_folded_model_that_is_another_one_is_refused(tmp_path):

    class Wrong(_Untrained):

        def load(self, config, checkpoint):
            model = super().load(config, checkpoint)
            if config == story.FOLDED_CONFIG:
                head = model.bbox_head.head_module
                weight = head.cls_contrasts[0].conv.weight
                weight.data = weight.data.roll(1, dims=0)  # other names
            return model

    with pytest.raises(RuntimeError, match='is not the text-conditioned'):
        Wrong(
            _options(tmp_path, sizes=Sizes(4, 6, 4)),
            Console(file=io.StringIO())).run()


@pytest.mark.slow
def test_the_trainings_of_a_tiny_demo_run(tmp_path):
    """Half a minute: both trainings, in processes of their own."""
    options = _options(
        tmp_path, sizes=Sizes(64, 10, 32), epochs=1, finetune_epochs=1)
    story.Story(options, Console(file=io.StringIO())).run()


@pytest.mark.slow
def test_the_demo_keeps_its_promise(tmp_path):
    """Minutes: unseen pairs are found, and better after fine-tuning."""
    scores = story.Story(_options(tmp_path), Console(stderr=True)).run()
    assert scores[story.TEXT] == scores[story.FOLDED]
    assert scores[story.TEXT]['unseen'].ap50 > 0.8
    for group in ('unseen', 'all'):
        gain = scores[story.TUNED][group].ap - scores[story.TEXT][group].ap
        assert gain > 0.02
