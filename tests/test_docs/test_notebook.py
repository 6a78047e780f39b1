"""The notebook runs from top to bottom."""
import os
import re
import sys

import pytest
from docs_blocks import REPOSITORY

nbformat = pytest.importorskip(
    'nbformat', reason='nbclient is not installed: pip install nbclient '
    'ipykernel')
PATH = REPOSITORY / 'docs' / 'notebooks' / 'quick_start.ipynb'


@pytest.fixture
def notebook():
    return nbformat.read(PATH, as_version=4)


@pytest.fixture
def execute(notebook, tmp_path, monkeypatch):
    """Run it in a folder of its own, as a user of this checkout would."""

    def execute(**environment):
        from nbclient import NotebookClient
        programs = tmp_path / 'bin'
        programs.mkdir()
        command = programs / 'yolo-world-rep'
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m '
                           f'yolo_world_rep_cli "$@"\n')
        command.chmod(0o755)
        for name, value in dict(
                environment,
                PATH=f'{programs}{os.pathsep}{os.environ["PATH"]}',
                PYTHONPATH=str(REPOSITORY),
                # Nothing of the reader's own settings.
                IPYTHONDIR=str(tmp_path / 'ipython'),
                NO_ALBUMENTATIONS_UPDATE='1',
                OMP_NUM_THREADS='1').items():
            monkeypatch.setenv(name, value)
        folder = tmp_path / 'notebooks'
        folder.mkdir()
        NotebookClient(
            notebook, timeout=600, kernel_name='python3',
            resources=dict(metadata=dict(path=str(folder)))).execute()
        return '\n'.join(
            output.get('text', '') for cell in notebook.cells
            for output in cell.get('outputs', ()))

    return execute


def test_is_kept_without_results(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == 'code':
            assert cell.outputs == []
            assert cell.execution_count is None


def test_links_lead_somewhere(notebook):
    text = '\n'.join(cell.source for cell in notebook.cells
                     if cell.cell_type == 'markdown')
    links = re.findall(r'\]\(([^)#]+)', text)
    assert links
    for link in links:
        assert (PATH.parent / link).is_file(), link


def test_runs_with_next_to_no_training(execute):
    said = execute(YWR_NOTEBOOK='quick')
    assert 'largest difference of the logits' in said
    assert 'Traceback' not in said


@pytest.mark.slow
def test_detects_what_it_was_never_shown(execute):
    said = execute()
    line = next(each for each in said.splitlines()
                if each.startswith('folded'))
    unseen = float(line.rsplit(': ', 1)[1].strip('}'))
    assert unseen > 0.3
