"""Pages, docstrings, help texts and messages avoid phrases in one table.

Each of them once had to be read twice. `make lint` looks for more.
"""
import re

import pytest
from docs_blocks import PAGES, REPOSITORY
from source_texts import texts_in

#: What not to write, and what instead.
INSTEAD = {
    r'\b(one|a|an) [a-z]+ a (line|row|class|image|head|text|label|step|core|'
    r'process|GPU)\b': '"one row per class"',
    r'\b(one|two|\d+) an (epoch|image)\b': '"per epoch"',
    r'\bshall\b': '"should", or the present tense',
    r'\bwhom\b': 'the noun',
    r'\bWhether to\.': 'what it switches on',
    r'\b(?:of|are) no (file|text|model|image)\b': '"without a file"',
    r'\bis no image\b': '"is not an image"',
    r'\b(it|that) is said\b': 'who says it: "a message names them"',
    r'\b(has|have) brought\b': '"result", "report"',
    r'\bwhatever (it|they|its|the|N)\b': '"for any N", "regardless of"',
    r'\bin the place of\b': '"instead of"',
    r'\b(the same|another) after it\b': 'after what',
    r'\bmend(s|ed)?\b': '"fix"',
    r'\b(?!had|that\b)([a-z]{2,}) \1\b': 'the word once',
}


def sources():
    """The prose of each page, and each text of a module."""
    for page in (*PAGES, 'CHANGELOG.md', 'SECURITY.md'):
        text = (REPOSITORY / page).read_text(encoding='utf-8')
        yield page, re.sub('^```.*?^```|`[^`\n]+`', '…', text,
                           flags=re.M | re.S)
    for folder in ('yolo_world_rep', 'yolo_world_rep_cli'):
        for path in sorted((REPOSITORY / folder).rglob('*.py')):
            for text in texts_in(path.read_text(encoding='utf-8')):
                yield path.name, text


@pytest.fixture(scope='module')
def texts():
    return [(name, re.sub(r'\s+', ' ', text)) for name, text in sources()]


@pytest.mark.parametrize('pattern', INSTEAD)
def test_unwanted_phrases(texts, pattern):
    found = sorted({
        f'{name}: {text[max(0, match.start() - 30):match.end() + 30]}'
        for name, text in texts for match in re.finditer(pattern, text)})
    assert not found, f'write {INSTEAD[pattern]}:\n' + '\n'.join(found)
