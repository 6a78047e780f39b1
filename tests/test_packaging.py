"""What an installed package holds, and that its versions agree."""
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from email.parser import Parser
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import yolo_world_rep
from yolo_world_rep.compat.versions import SUPPORTED

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = 'yolo_world_rep'
CLI = 'yolo_world_rep_cli'
PYTHONS = ('3.10', '3.11', '3.12', '3.13', '3.14')
# What packages are built from; a checkout may hold data sets beside it.
SOURCES = ('setup.py', 'setup.cfg', 'pyproject.toml', 'MANIFEST.in', 'LICENSE',
           'Makefile', 'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md',
           'CITATION.cff', 'model-index.yml', 'requirements', 'configs',
           'tools', 'tests', PACKAGE, CLI)


def files_below(folder):
    """Relative paths of the files in a folder, caches left out."""
    return {
        str(file.relative_to(folder.parent))
        for file in folder.rglob('*')
        if file.is_file() and file.suffix != '.pyc'
    }


def requirements(name):
    """The requirements of a file in requirements/, comments left out."""
    lines = (ROOT / 'requirements' / name).read_text().splitlines()
    return [
        Requirement(line) for line in lines
        if line.strip() and not line.startswith('#')
    ]


def build(what, source, target):
    """Build a 'wheel' or an 'sdist' with the setuptools installed here."""
    target.mkdir()
    environment = {**os.environ, 'PYTHONPATH': ''}
    subprocess.run([
        sys.executable, '-c', f'from setuptools import build_meta; '
        f'build_meta.build_{what}({str(target)!r})'
    ],
                   cwd=source,
                   env=environment,
                   check=True,
                   capture_output=True)
    built, = target.iterdir()
    return built


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A copy of the checkout, so that building leaves nothing in it."""
    pytest.importorskip('setuptools', '77', reason='builds a wheel')
    copy = tmp_path_factory.mktemp('source')
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name,
                copy / name,
                ignore=shutil.ignore_patterns('__pycache__', '.mim'))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    with zipfile.ZipFile(build('wheel', source, folder / 'out')) as archive:
        yield archive


class TestWheel:

    @pytest.mark.parametrize('package', [PACKAGE, CLI])
    def test_has_every_module_and_says_it_is_typed(self, wheel, package):
        modules = files_below(ROOT / package)
        assert f'{package}/py.typed' in modules
        assert modules <= set(wheel.namelist())

    def test_brings_the_command(self, wheel):
        name, = (name for name in wheel.namelist()
                 if name.endswith('.dist-info/entry_points.txt'))
        entry_points = ConfigParser()
        entry_points.read_string(wheel.read(name).decode())
        module, function = entry_points['console_scripts'][
            'yolo-world-rep'].split(':')
        assert callable(getattr(import_module(module), function))

    @pytest.mark.parametrize('folder', ['configs', 'tools'])
    def test_carries_what_mim_looks_for(self, wheel, folder):
        files = files_below(ROOT / folder)
        assert files
        expected = {f'{PACKAGE}/.mim/{file}' for file in files}
        assert expected <= set(wheel.namelist())
        assert f'{PACKAGE}/.mim/model-index.yml' in wheel.namelist()

    def test_scripts_stay_executable(self, wheel):
        scripts = [
            file for file in files_below(ROOT / 'tools')
            if os.access(ROOT / file, os.X_OK)
        ]
        for script in scripts:
            info = wheel.getinfo(f'{PACKAGE}/.mim/{script}')
            assert info.external_attr >> 16 & 0o100, script

    def test_has_nothing_else(self, wheel):
        tops = {name.split('/')[0] for name in wheel.namelist()}
        tops = {top for top in tops if not top.endswith('.dist-info')}
        assert tops == {PACKAGE, CLI}
        assert not [name for name in wheel.namelist() if '.pyc' in name]

    def test_metadata(self, wheel):
        name, = (name for name in wheel.namelist()
                 if name.endswith('.dist-info/METADATA'))
        metadata = Parser().parsestr(wheel.read(name).decode())
        assert metadata['Version'] == yolo_world_rep.__version__
        assert metadata['License'] == 'GPL-3.0-only'
        needed = {
            requirement.name
            for requirement in map(Requirement,
                                   metadata.get_all('Requires-Dist'))
            if requirement.marker is None
        }
        assert needed == {
            requirement.name
            for requirement in requirements('runtime.txt')
        }
        # Users without a working torchvision are users all the same.
        assert 'torchvision' not in needed

    def test_building_leaves_no_copies_in_the_source_tree(
            self, source, wheel):
        assert not (source / PACKAGE / '.mim').exists()

    def test_is_the_same_from_an_sdist(self, source, wheel, tmp_path):
        sdist = build('sdist', source, tmp_path / 'sdist')
        with tarfile.open(sdist) as archive:
            archive.extractall(tmp_path / 'unpacked')
        unpacked, = (tmp_path / 'unpacked').iterdir()
        again = build('wheel', unpacked, tmp_path / 'wheel')
        with zipfile.ZipFile(again) as archive:
            assert sorted(archive.namelist()) == sorted(wheel.namelist())
        # who gets the sdist can test it
        assert (unpacked / 'tests' / 'test_packaging.py').exists()
        assert (unpacked / 'Makefile').exists()
        assert (unpacked / 'CITATION.cff').exists()


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == yolo_world_rep.__version__
    assert citation['license'] == 'GPL-3.0-only'


class TestModelIndex:

    @pytest.fixture(scope='class')
    def metafiles(self):
        index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
        return {
            path: yaml.safe_load((ROOT / path).read_text())
            for path in index['Import']
        }

    def test_names_configs_that_exist(self, metafiles):
        models = [model for file in metafiles.values()
                  for model in file['Models']]
        assert models
        for model in models:
            config = ROOT / model['Config']
            assert config.is_file(), model['Config']
            assert config.stem == model['Name']

    def test_collections_are_defined(self, metafiles):
        for path, content in metafiles.items():
            collections = {entry['Name'] for entry in content['Collections']}
            for model in content['Models']:
                assert model['In Collection'] in collections, path


class TestRequirements:

    @pytest.mark.parametrize('name', SUPPORTED)
    def test_ranges_are_those_of_the_check_at_import(self, name):
        first, end, distributions = SUPPORTED[name]
        requirement, = (requirement
                        for requirement in requirements('runtime.txt')
                        if requirement.name in distributions)
        bounds = {
            specifier.operator: Version(specifier.version)
            for specifier in requirement.specifier
        }
        assert set(bounds) <= {'>=', '<'}
        # A lower bound may name a pre-release only to let pip choose one.
        assert bounds['>='].release == Version(first).release
        assert bounds.get('<') == (Version(end) if end else None)

    @pytest.mark.parametrize(('file', 'python'), [
        *(('pins.txt', python) for python in PYTHONS),
        ('pins-old.txt', '3.10'),
    ])
    def test_pins_are_unique_and_in_range(self, file, python):
        environment = {'python_version': python}

        def wanted(name):
            return [
                requirement for requirement in requirements(name)
                if requirement.marker is None
                or requirement.marker.evaluate(environment)
            ]

        pins = {}
        for requirement in wanted(file):
            name = canonicalize_name(requirement.name)
            assert name not in pins
            specifier, = requirement.specifier
            assert specifier.operator == '=='
            pins[name] = specifier.version
        if file == 'pins-old.txt':
            # What only builds packages, for which there is a newer one.
            pins['setuptools'] = '77'
        for requirement in (*wanted('runtime.txt'), *wanted('tests.txt')):
            version = pins[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version, prereleases=True), (
                f'{requirement} and the pin {version}')


class TestMakeVenv:

    @pytest.fixture
    def make_venv(self):
        path = ROOT / 'requirements' / 'make_venv.py'
        spec = importlib.util.spec_from_file_location('make_venv', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def test_starting_over_leaves_an_unfinished_stamp(self, make_venv,
                                                      tmp_path):
        stamp = make_venv.Stamp(tmp_path / '.venv')
        stamp.start_over()
        (stamp.folder / 'lib').mkdir()
        (stamp.folder / 'lib' / 'module.py').touch()
        (stamp.folder / 'lib64').symlink_to('lib')
        (stamp.folder / 'pyvenv.cfg').touch()
        stamp.write({'packages': 'a', 'project': 'b'})
        assert stamp.read() == {'packages': 'a', 'project': 'b'}
        stamp.start_over()
        assert stamp.read() == {}
        assert list(stamp.folder.iterdir()) == [stamp.path]

    def test_a_folder_made_by_somebody_else_is_kept(self, make_venv,
                                                    tmp_path):
        foreign = tmp_path / '.venv'
        foreign.mkdir()
        (foreign / 'pyvenv.cfg').touch()
        with pytest.raises(make_venv.SetupError, match='not made by'):
            make_venv.Stamp(foreign).start_over()
        assert (foreign / 'pyvenv.cfg').exists()

    def test_fingerprints_follow_what_they_stand_for(self, make_venv,
                                                     source, tmp_path):
        root = tmp_path / 'checkout'
        shutil.copytree(source, root)
        before = make_venv.fingerprints(root)
        assert before == make_venv.fingerprints(root)

        (root / 'CHANGELOG.md').write_text('changed')
        assert make_venv.fingerprints(root) == before

        with open(root / make_venv.PINS, 'a') as pins:
            pins.write('# changed\n')
        after = make_venv.fingerprints(root)
        assert after['packages'] != before['packages']
        assert after['project'] == before['project']

        with open(root / 'setup.cfg', 'a') as metadata:
            metadata.write('# changed\n')
        assert make_venv.fingerprints(root)['project'] != before['project']

        # A virtual environment does not survive being moved.
        elsewhere = root.rename(tmp_path / 'elsewhere')
        assert (make_venv.fingerprints(elsewhere)['packages'] !=
                after['packages'])


@pytest.mark.skipif(shutil.which('make') is None, reason='no make here')
def test_make_refuses_an_interpreter_in_one_line(tmp_path):
    shutil.copy(ROOT / 'Makefile', tmp_path)
    # The tests may be run by make themselves.
    environment = {
        name: value
        for name, value in os.environ.items() if 'MAKE' not in name
    }
    result = subprocess.run(['make', 'test', 'PYTHON=no-such-python'],
                            cwd=tmp_path,
                            env=environment,
                            capture_output=True,
                            text=True)
    assert result.returncode == 2
    error, closing = result.stderr.splitlines()
    assert error == ("error: 'no-such-python' is not a working Python 3.10 to "
                     '3.14; name one: make test PYTHON=...')
    assert closing.startswith('make: ***')  # make's own
