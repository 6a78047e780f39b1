"""From a checkpoint and data as they are to a report, by one command."""
import json
import shlex

import pytest
import torch
from own_data import (
    NAMES,
    folded_checkpoint,
    save_text_checkpoint,
    write_data,
)

from yolo_world_rep.config.composition import Wishes
from yolo_world_rep.config.data_layouts import find_data
from yolo_world_rep.engine import finetune
from yolo_world_rep.reparam import load_checkpoint
from yolo_world_rep_cli.main import main

TINY = '--img-size 64 --epochs 1 --batch 4 --workers 0'
# So that untrained weights find something.
FIND = '--cfg-options model.test_cfg.score_thr=0.0'


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """Data, split in two folders, and checkpoints, in one folder."""
    root = tmp_path_factory.mktemp('world')
    write_data(root / 'pets')
    save_text_checkpoint(root / 'text.pth')
    (root / 'c.py').touch()
    torch.save(folded_checkpoint(), root / 'folded.pth')
    torch.save(folded_checkpoint(names=('a', 'b', 'c')), root / 'abc.pth')
    return root


@pytest.fixture
def run(world, monkeypatch, capsys):
    """Run a command there: status, output, errors."""
    monkeypatch.chdir(world)
    # It formats the config with yapf for a second, again and again.
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode',
                        lambda text, **_: (text, True))
    # mmengine's loggers keep streams that pytest has closed since.
    monkeypatch.setattr('logging.raiseExceptions', False)
    # It would be for the tests after this, too.
    monkeypatch.setattr('yolo_world_rep_cli.models.be_quiet',
                        lambda *models: None)

    def run_command(words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(words))
        return ended.value.code, *capsys.readouterr()

    return run_command


def test_names_are_folded_and_trained_by_one_command(run, world):
    words = (f'train text.pth --data pets --cache 1 --encoder words {TINY} '
             f'{FIND}')
    status, shown, errors = run(words)
    assert status == 0, errors[-2000:]
    assert 'train: pets/train/annotations.json, 4 images' in shown
    assert 'val: pets/val/annotations.json, 2 images' in shown
    lines = dict(line.split(maxsplit=1) for line in shown.splitlines())
    start = world / 'work_dirs' / 'pets' / 'start'
    folded = load_checkpoint(start / 'text_rep_conv.pth')
    assert folded.class_names == NAMES
    best = lines['best']
    assert best.startswith(str(world / 'work_dirs' / 'pets' / 'best_coco'))
    assert 'after' in (world / lines['report']).read_text()
    assert lines['pictures'].startswith('of the first batches, in ')
    assert (world / 'work_dirs' / 'pets' / 'batches' / '0.jpg').is_file()
    export = shlex.split(lines['export'])
    assert export[:4] == ['yolo-world-rep', 'export', best, '--format']
    # The config is the short one, and trains again as it is.
    config = world / lines['config']
    assert config.read_text().count('\n') < 60

    status, shown, errors = run(words)
    assert status == 2
    assert 'choose another --work-dir, continue with --resume, or pass ' \
           '--overwrite' in errors

    # It goes on, and an older report is not said to be of this run.
    status, shown, errors = run(
        words.replace('--epochs 1', '--epochs 2 --no-report --resume'))
    assert status == 0, errors[-2000:]
    assert 'resumed after 1' in shown
    assert 'report ' not in shown

    # What was trained is tested by its name and the data's.
    status, shown, errors = run(f'test {best} --data pets')
    assert (status, errors) == (0, '')
    assert 'val: pets/val/annotations.json, 2 images' in shown
    assert 'AP50' in shown
    status, shown, _ = run(f'evaluate {best} --data pets --split train')
    assert status == 0
    assert '4 images, ' in shown.splitlines()[-1]


def test_the_advised_commands_work(run, world):
    """After an edit, and for other classes than those of the data."""
    start = f'a {shlex.quote(NAMES[1])} {shlex.quote(NAMES[0])}'
    assert run(f'fold text.pth --words {start} --encoder words --out-dir '
               f'folded')[0] == 0
    first = 'folded/text_rep_conv.pth'
    status, _, errors = run(
        f'train {first} --data pets {TINY} --work-dir advised')
    assert status == 2
    advised = errors.rpartition('Run: yolo-world-rep ')[2]
    assert '--keep' in advised
    assert '--order' in advised
    assert run(f'{advised} --encoder words')[0] == 0
    own = 'folded/text_rep_conv_own.pth'
    assert run(f'new-config --data pets --checkpoint {own} --out own.py '
               f'{TINY}')[0] == 0

    status, _, errors = run(f'test own.py {first} --work-dir out')
    assert status == 2
    assert len(errors.strip().splitlines()) == 1
    assert 'have other classes: ' in errors
    assert 'other shape' not in errors
    evaluate = errors.rpartition('yolo-world-rep ')[2].partition('. If')[0]
    status, shown, errors = run(evaluate)
    assert status == 0, errors
    assert '2 images' in shown
    renamed = shlex.join([f'{NAMES[0]}=b', f'{NAMES[1]}=a'])
    assert run(f'edit {own} --out ab.pth --drop {shlex.quote(NAMES[2])} '
               f'--rename {renamed}')[0] == 0
    assert load_checkpoint(world / 'ab.pth').class_names == ('b', 'a')


@pytest.mark.parametrize(('words', 'message'), [
    ('train folded.pth', 'folded.pth is no config (.py): say by --data'),
    ('train c.py --data pets', 'c.py is a config, and --data goes with'),
    ('train c.py --epochs 3', 'c.py is a config, and --epochs goes with'),
    ('train abc.pth --data pets',
     'Run: yolo-world-rep edit abc.pth --out abc_own.pth --replace-words '),
    ('train folded.pth --data pets --words a b c',
     'has its classes already: leave --words and --encoder out'),
    ('train text.pth --data pets --encoder words --words a b',
     '--words are 2: expected one for each class of the data, which'),
    ('train folded.pth --data pets --folds 9 --img-size 64',
     '--folds 9: expected 2 to 4'),
    ('train folded.pth --data pets --folds 2 --device cpu,cpu',
     '--folds goes with one --device'),
    ('train folded.pth --data .', 'no annotations in a usual place'),
    ('train folded.pth --data pets/train/annotations.json --val-fraction 2',
     '--val-fraction 2.0: expected a number between 0 and 1'),
    ('test folded.pth', 'expected a config and its checkpoint, or a model'),
    ('test folded.pth --data pets --tta', '--tta goes with a config'),
    ('test folded.pth --data pets --split test', 'has train, val.'),
    ('evaluate folded.pth', 'expected the annotations and the folder'),
])
def test_mistakes_end_with_one_line_and_status_2(run, world, words, message):
    before = sorted(world.rglob('*'))
    out = ' --work-dir out' if words.startswith('train') else ''
    status, _, errors = run(words + out)
    assert status == 2
    line, = (line for line in errors.splitlines() if line[:7] == 'error: ')
    assert message in line
    assert sorted(world.rglob('*')) == before


def test_a_checkpoint_in_memory(world, tmp_path):
    """Of a model that was folded or edited and not saved."""
    loaded = load_checkpoint(world / 'folded.pth')
    changed = 'bbox_head.head_module.cls_contrasts.0.conv.bias'
    loaded.state_dict[changed] += 1
    layout = find_data(world / 'pets/train/annotations.json')
    made = finetune.prepare(loaded, layout, tmp_path / 'run',
                            wishes=Wishes(image_size=(64, 64)))
    assert made.path == tmp_path / 'run' / 'start' / 'run.py'
    assert made.model.path == tmp_path / 'run' / 'start' / 'folded.pth'
    written = load_checkpoint(made.model.path).state_dict
    assert torch.equal(written[changed], loaded.state_dict[changed])
    # One set only: its parts are files beside the config.
    for split, count in (('train', 3), ('val', 1)):
        path = made.path.with_name(f'run_{split}.json')
        assert len(json.loads(path.read_text())['images']) == count
        assert f'{split}_ann_file = {str(path)!r}' in made.text
