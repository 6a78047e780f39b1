import subprocess
import sys
from pathlib import Path

import pytest

from yolo_world_rep.utils import configs
from yolo_world_rep.utils.configs import base_reference, config_root

ROOT = Path(__file__).resolve().parents[2]
# Loads the module alone, from wherever a copy of it lies.
SCRIPT = """
import sys, types
sys.path.insert(0, sys.argv[1])
package = types.ModuleType('yolo_world_rep')
package.__path__ = [sys.argv[1] + '/yolo_world_rep']
sys.modules['yolo_world_rep'] = package
from yolo_world_rep.utils.configs import base_reference, config_root
root = config_root()
print(root)
print(base_reference(root / 'a.py', sys.argv[2]))
"""


def copied(site: Path, where: str) -> Path:
    """A package with its configs where a checkout or a wheel has them."""
    target = site / 'yolo_world_rep' / 'utils'
    target.mkdir(parents=True)
    for name in ('__init__.py', 'configs.py', 'files.py'):
        source = Path(configs.__file__).with_name(name)
        (target / name).write_text(source.read_text())
    sign = site / where / '_base_' / 'finetune_recipe.py'
    sign.parent.mkdir(parents=True)
    sign.touch()
    return site / where


def ask(site: Path, out: Path):
    done = subprocess.run([sys.executable, '-c', SCRIPT, site, out],
                          capture_output=True, text=True)
    return done.stdout.splitlines(), done.stderr


def test_checkout():
    assert config_root() == ROOT / 'configs'


def test_wheel_has_them_inside_the_package(tmp_path):
    root = copied(tmp_path, 'yolo_world_rep/.mim/configs')
    (found, base), _ = ask(tmp_path, tmp_path / 'yolo_world_rep' / 'my.py')
    assert found == str(root)
    assert base == str(root / 'a.py')


def test_neither_is_told(tmp_path):
    copied(tmp_path, 'elsewhere')
    _, error = ask(tmp_path, tmp_path / 'my.py')
    assert 'install the package again' in error


def test_relative_within_a_checkout_and_absolute_elsewhere(tmp_path):
    root = copied(tmp_path / 'repo', 'configs')
    (_, inside), _ = ask(tmp_path / 'repo', tmp_path / 'repo/mine/my.py')
    assert inside == '../configs/a.py'
    (_, outside), _ = ask(tmp_path / 'repo', tmp_path / 'my.py')
    assert outside == str(root / 'a.py')


@pytest.mark.parametrize('out', ['my.py', 'work/my.py'])
def test_reference_leads_to_the_file(out):
    base = config_root() / 'finetune_coco' / 'x.py'
    found = base_reference(base, ROOT / out)
    assert not Path(found).is_absolute()
    assert ((ROOT / out).parent / found).resolve() == base
