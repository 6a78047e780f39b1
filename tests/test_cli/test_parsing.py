"""Settings of a config, from the words of a command line."""
import argparse

import pytest

from yolo_world_rep_cli.parsing import (
    Parser,
    add_cfg_options,
    cfg_options,
    positive,
)


def read(*words):
    parser = Parser()
    add_cfg_options(parser)
    return cfg_options(parser.parse_args(words).cfg_options)


def test_values_are_those_of_mmengine():
    assert read() is None
    assert read('--cfg-options', 'a.b=1', 'c=[1,2.5]', 'd=x=y', 'e=None',
                'f=(True,a)') == {
                    'a.b': 1,
                    'c': [1, 2.5],
                    'd': 'x=y',
                    'e': None,
                    'f': (True, 'a')
                }


def test_settings_given_twice_add_up():
    assert read('--cfg-options', 'a=1', 'b=2', '--cfg-options', 'b=3') == {
        'a': 1,
        'b': 3
    }


def test_brackets_must_pair_up():
    with pytest.raises(ValueError, match='brackets'):
        read('--cfg-options', 'a=[(1,2]')


@pytest.mark.parametrize('word', ['0', '-1', 'x', '1.5'])
def test_positive(word):
    with pytest.raises(argparse.ArgumentTypeError, match=word):
        positive(word)
    assert positive('3') == 3
