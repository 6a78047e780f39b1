"""Several processes and one folder: every file is whole, and of one."""
import contextlib
import json
import multiprocessing
import os
import signal
from collections import Counter

import concurrent_writers
import cv2
import numpy as np
import pytest
import torch
from hostile_checkpoints import text_conditioned, texts

from yolo_world_rep.reparam import (
    META_KEY,
    convert_checkpoint,
    load_checkpoint,
)
from yolo_world_rep.text import load_embeddings
from yolo_world_rep.utils.files import atomic_path, sha256_of_file

SPAWN = multiprocessing.get_context('spawn')
WAIT = 120
READS = 300


@contextlib.contextmanager
def started(*calls, waiting=0):
    """Processes with a common barrier; they end with the block."""
    barrier = SPAWN.Barrier(len(calls) + waiting)
    processes = [
        SPAWN.Process(target=function, args=(barrier, *args), daemon=True)
        for function, *args in calls]
    try:
        for process in processes:
            process.start()
        if waiting:
            barrier.wait(WAIT)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join(WAIT)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


class Pair:
    """What two processes did at the same time, and where."""

    def __init__(self, folder):
        self.folder = folder
        np.save(folder / 't.npy', texts())
        for seed, name in enumerate('ab'):
            (folder / name).mkdir()
            torch.save(dict(state_dict=text_conditioned(seed), meta={}),
                       folder / name / 'm.pth')
        self.sources = [sha256_of_file(folder / name / 'm.pth')
                        for name in 'ab']
        with started(*((concurrent_writers.everything, folder, *each)
                       for each in (('a', 10), ('b', 200)))) as processes:
            for process in processes:
                process.join(WAIT)
                assert process.exitcode == 0
        self.told = [json.loads((folder / f'{name}.json').read_text())
                     for name in 'ab']

    def rounds(self, key):
        """Outcomes of both and the folder, of each round."""
        outcomes = list(zip(*(told[key] for told in self.told)))
        return [(each, self.folder / key / str(number))
                for number, each in enumerate(outcomes)]


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    return Pair(tmp_path_factory.mktemp('pair'))


@pytest.mark.parametrize('overwrite', [False, True])
def test_two_converters(pair, overwrite):
    """One wins whole; the other says so, or replaces it where it may."""
    rounds = pair.rounds(f'convert {overwrite}')
    assert len(rounds) == concurrent_writers.ROUNDS
    for outcomes, out in rounds:
        assert names_in(out) == ['m_rep_conv.pth']
        found = load_checkpoint(out / 'm_rep_conv.pth')
        told = found.meta[META_KEY]['source']['sha256']
        # Tensors and meta are of one.
        seed = pair.sources.index(told)
        stem = 'backbone.image_model.stem.conv.weight'
        assert torch.equal(found.state_dict[stem],
                           text_conditioned(seed)[stem])
        if overwrite:
            assert outcomes == ('worked', 'worked')
            continue
        assert sorted(outcomes)[1] == 'worked'
        assert 'm_rep_conv.pth exists' in sorted(outcomes)[0]
        assert outcomes[seed] == 'worked'


@pytest.mark.parametrize('overwrite', [False, True])
def test_two_exports(pair, overwrite):
    """Never the weights of one under the graph of the other."""
    for outcomes, out in pair.rounds(f'export {overwrite}'):
        assert names_in(out) == ['m.bin', 'm.xml']
        assert (out / 'm.bin').read_text() == (out / 'm.xml').read_text()
        counts = Counter(each.split(':')[0] for each in outcomes)
        assert counts['worked'] == (2 if overwrite else 1), outcomes


def test_two_predictions(pair):
    """Into one folder: of each file the last one stays, whole."""
    assert [told['predict'] for told in pair.told] == [['worked']] * 2
    out = pair.folder / 'predict'
    for index in range(concurrent_writers.ROUNDS):
        image = cv2.imread(str(out / 'p' / f'{index}.jpg'))
        assert image.shape == (64, 96, 3)
        assert (out / 't' / f'{index}.txt').read_text().count('\n') == 1
    rows = json.loads((out / 'r.json').read_text())
    assert len(rows) == concurrent_writers.ROUNDS
    assert len({row['category_name'] for row in rows}) == 1
    assert not [name for name in names_in(out / 'p') if name[0] == '.']


@pytest.fixture
def writer(tmp_path):
    with started((concurrent_writers.overwrite_for_ever, tmp_path),
                 waiting=1) as processes:
        yield processes


def test_readers_during_writes(writer, tmp_path):
    """A reader gets the old file or the new one, or is told to wait."""
    seen = Counter()
    while not ((tmp_path / 'm.pth').exists()
               and (tmp_path / 'e.json').exists()):
        pass

    def read(load, name, refusal):
        try:
            return load(tmp_path / name)
        except ValueError as error:
            if refusal not in str(error):
                raise
            seen[name, 'refused'] += 1
            return None

    for _ in range(READS):
        found = read(load_checkpoint, 'm.pth', 'replaced again and again')
        if found is not None:
            value = found.meta['epoch']
            assert all((tensor == value).all()
                       for tensor in found.state_dict.values())
            seen['checkpoint', value] += 1
        embeddings = read(load_embeddings, 'e.npy', 'sha256 differs')
        if embeddings is not None:
            value = int(embeddings.vectors[0, 0]) - 1
            assert (embeddings.vectors == value + 1).all()
            assert embeddings.names == (f'{value} a', f'{value} b')
            seen['embeddings', value] += 1
    (tmp_path / 'enough').touch()
    assert {('checkpoint', 0), ('checkpoint', 1)} <= set(seen), seen
    assert {('embeddings', 0), ('embeddings', 1)} & set(seen), seen


def test_a_converter_that_is_killed(tmp_path):
    """No half file has the name; a later run works beside the litter."""
    torch.save(dict(state_dict=text_conditioned(), meta={}),
               tmp_path / 'm.pth')
    np.save(tmp_path / 't.npy', texts())
    with started((concurrent_writers.die_half_way, tmp_path),
                 waiting=1) as processes:
        os.kill(processes[0].pid, signal.SIGKILL)
        processes[0].join(WAIT)
    litter, = names_in(tmp_path / 'out')
    assert litter.startswith('.m_rep_conv.pth.')
    path = convert_checkpoint(tmp_path / 'm.pth', tmp_path / 't.npy',
                              tmp_path / 'out').path
    assert names_in(tmp_path / 'out') == [litter, path.name]
    assert load_checkpoint(path).meta[META_KEY]['num_classes'] == 3


class TestAtomicPath:

    def test_a_file_that_came_meanwhile_stays(self, tmp_path):
        def write():
            with atomic_path(tmp_path / 'x', overwrite=False) as temporary:
                temporary.write_text('late')
                (tmp_path / 'x').write_text('early')

        with pytest.raises(ValueError, match='another process'):
            write()
        assert (tmp_path / 'x').read_text() == 'early'
        assert names_in(tmp_path) == ['x']

    def test_a_file_system_without_links(self, tmp_path, monkeypatch):
        def refuse(*_):
            raise OSError(1, 'Operation not permitted')

        monkeypatch.setattr(os, 'link', refuse)
        with atomic_path(tmp_path / 'x', overwrite=False) as temporary:
            temporary.write_text('new')
        assert (tmp_path / 'x').read_text() == 'new'
        with pytest.raises(ValueError, match='x exists'), atomic_path(
                tmp_path / 'x', overwrite=False) as temporary:
            temporary.write_text('newer')
        assert (tmp_path / 'x').read_text() == 'new'

    @pytest.mark.parametrize('name', [
        'x' * 255, 'é' * 127, 'x.' + 'y' * 250, 'x' * 251 + '.pth'])
    def test_names_as_long_as_they_can_be(self, tmp_path, name):
        with atomic_path(tmp_path / name) as temporary:
            temporary.write_text('whole')
        assert names_in(tmp_path) == [name]

    def test_folders_that_were_made_go_again(self, tmp_path):
        with pytest.raises(OSError, match='full'), atomic_path(
                tmp_path / 'a' / 'b' / 'c'):
            raise OSError(28, 'disk full')
        assert not names_in(tmp_path)
