import xml.etree.ElementTree as ElementTree

import pytest
from summary import paired, plot_seeds, spread


def test_spread_of_one_seed_and_of_several():
    assert spread([0.5]) == '0.500'
    assert spread([0.4, 0.6]) == '0.500 ± 0.141'


def test_differences_are_taken_seed_by_seed():
    assert paired([0.1, 0.6, 0.3], [0.2, 0.2, 0.5]) == (
        '+0.033 ± 0.321 (greater in 1 of 3)')
    # The spread of the seeds is no spread of the differences.
    assert paired([0.3, 0.9], [0.2, 0.8]) == (
        '+0.100 ± 0.000 (greater in 2 of 2)')


def test_pairs_need_the_same_seeds():
    with pytest.raises(ValueError, match='2 values and 1 others'):
        paired([1., 2.], [1.])


def test_plot_is_small_text_and_leaves_out_what_was_not_run(tmp_path):
    path = tmp_path / 'plot.svg'
    panels = [('AP', {'one way': [0.1, 0.2], 'another': []})]
    plot_seeds(path, panels)
    first = path.read_bytes()
    plot_seeds(path, panels)
    assert path.read_bytes() == first
    assert len(first) < 60_000
    texts = [
        element.text for element in ElementTree.parse(path).iter()
        if element.tag.endswith('}text')
    ]
    assert {'one way', 'AP'} <= set(texts)
    assert 'another' not in texts
