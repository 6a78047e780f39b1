"""``--device``, and what Ctrl-C says."""
import argparse
import os

import pytest
import torch
from tiny_training import CONFIG

from yolo_world_rep.engine import process_group
from yolo_world_rep_cli.commands import train
from yolo_world_rep_cli.main import main, make_parser
from yolo_world_rep_cli.parsing import prepare_device


@pytest.mark.parametrize(('given', 'device'), [
    (['--device', '0'], 'cuda:0'), (['--device', 'cuda:1'], 'cuda:1'),
    (['--device', 'cpu'], 'cpu'), (['--device', '0,2'], 'cuda:0,cuda:2'),
    ([], None)])
def test_a_device_is_called_alike(given, device):
    args = make_parser().parse_args(['train', __file__, *given])
    assert args.device == device
    if device and ',' not in device:
        args = make_parser().parse_args(['report', '.', *given])
        assert args.device == device


@pytest.mark.parametrize(('words', 'message'), [
    (['predict', __file__, 'x.png', '--device', '0,1'],
     '0,1: expected one device; train and test take several'),
    (['train', __file__, '--device', 'cpu,1'], 'cpu,1: CPU and GPU'),
    (['train', __file__, '--device', '77'],
     "device 'cuda:77': torch has no such device here; it has cpu"),
    (['train', __file__, '--device', '77,78'], "device 'cuda:77': torch has"),
])
def test_a_device_that_is_not_there_is_refused(capsys, monkeypatch, words,
                                               message):
    monkeypatch.setenv('LOCAL_RANK', '0')
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count('\n') == 1


def test_several_gpus_start_as_many_processes(monkeypatch):
    """torchrun gets the command; its processes see these GPUs alone."""
    calls = []
    monkeypatch.setattr('torch.distributed.run.main', calls.append)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,5,6')
    monkeypatch.setenv('LOCAL_RANK', '0')
    words = ['train', 'a.py', '--device', '0,2']
    assert process_group.run_in_processes(['cuda:0', 'cuda:2'], words) == 0
    assert os.environ['CUDA_VISIBLE_DEVICES'] == '4,6'
    assert 'LOCAL_RANK' not in os.environ
    (call, ), = [calls]
    assert '--nproc_per_node=2' in call
    assert call[call.index('-m'):] == [
        '-m', 'yolo_world_rep_cli', *words, '--launcher', 'pytorch']


def test_the_cpu_is_taken_where_there_are_gpus(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    monkeypatch.setenv('LOCAL_RANK', '0')
    args = argparse.Namespace(
        device='cpu', launcher='none', line=[], local_rank=0)
    prepare_device(args)
    assert os.environ['CUDA_VISIBLE_DEVICES'] == ''


@pytest.mark.parametrize(('given', 'saved', 'expected'), [
    (['--amp', '--resume', 'b.pth'], True, ['--amp', '--resume']),
    (['--resume', '--amp'], True, ['--amp', '--resume']),
    (['--work-dir', 'a b'], False, ['--work-dir', "'a b'"]),
])
def test_ctrl_c_says_how_to_go_on(tmp_path, given, saved, expected):
    (tmp_path / 'b.pth').touch()
    if saved:
        torch.save({}, tmp_path / 'epoch_1.pth')
    line = ['train', str(CONFIG), *given]
    args = make_parser().parse_args(
        [str(tmp_path / w) if w == 'b.pth' else w for w in line])
    args.line, args.resume = line, args.resume and args.resume.replace(
        f'{tmp_path}{os.sep}', '')
    assert train.how_to_resume(args, str(tmp_path)) == (
        f'; go on with: yolo-world-rep train {CONFIG} {" ".join(expected)}')
