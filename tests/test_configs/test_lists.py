"""The lists of configs, for people and for mim, are complete."""
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {
    str(path.relative_to(ROOT / 'configs'))
    for path in (ROOT / 'configs').glob('*/*.py')
    if path.parent.name != '_base_'
}


def test_readme_links_every_config_once():
    text = (ROOT / 'configs' / 'README.md').read_text()
    linked = re.findall(r'\]\(([^)]+\.py)\)', text)
    assert sorted(linked) == sorted(CONFIGS)


def test_readme_rows_link_configs_of_their_size():
    text = (ROOT / 'configs' / 'README.md').read_text()
    rows = re.findall(r'^\| (S|M|L|X|XL) \|(.*)$', text, re.MULTILINE)
    assert len(rows) == 4 * 5
    for size, row in rows:
        sizes = re.findall(r'/yolo_world_v2_([a-z]+)_', row)
        assert set(sizes) == {size.lower()}


def test_model_index_lists_every_config_but_the_demo():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    listed = [
        model['Config'] for file in index['Import']
        for model in yaml.safe_load((ROOT / file).read_text())['Models']
    ]
    assert sorted(listed) == sorted(
        f'configs/{path}' for path in CONFIGS
        if not path.startswith('demo/'))
