"""How the commands are read from the documentation."""
import pytest
from docs_blocks import (
    PAGES,
    SHELLS,
    TYPED,
    Block,
    expand,
    pipeline,
    read_page,
    split_lines,
    statements,
)


def test_statements_of_a_block():
    block = Block(
        'a.md', 3, 'bash', '# a comment\nA=1   # another\n'
        'python x.py "#1" \\\n    --b  # c\n\n'
        'python -c "\nprint(1)  # kept\n"\n$ make demo\n')
    assert [each.text for each in statements(block)] == [
        'A=1', 'python x.py "#1" --b',
        'python -c "\nprint(1)  # kept\n"', 'make demo'
    ]
    with pytest.raises(ValueError, match='does not end'):
        list(split_lines('python "x'))


def test_words_of_a_pipe():
    assert pipeline("find a -name '*.jpg' | python p.py - --out 'b c'") == [
        ['find', 'a', '-name', '*.jpg'],
        ['python', 'p.py', '-', '--out', 'b c']
    ]
    assert pipeline('a work_dirs/…/b.pth')[0][1] == 'work_dirs/…/b.pth'
    with pytest.raises(ValueError, match="'>' is not understood"):
        pipeline('a > b')


def test_variables():
    assert expand('a $B ${B}c', dict(B='b')) == 'a b bc'
    with pytest.raises(KeyError):
        expand('$OTHER', {})


@pytest.mark.parametrize('page', PAGES)
def test_commands_stand_in_blocks_of_a_shell(page):
    for block in read_page(page)[0]:
        if block.language in SHELLS:
            continue
        for line in block.text.splitlines():
            assert not TYPED.match(line), (
                f'{block.place}: {line!r} is for a shell: write ```bash')
            assert '```' not in line, (
                f'{block.place}: a fence that is indented is no fence')
