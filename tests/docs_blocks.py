"""What the documentation tells its readers to type."""
import re
import shlex
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

from markdown_it import MarkdownIt

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = tuple(
    path.relative_to(REPOSITORY).as_posix() for path in (
        REPOSITORY / 'README.md', REPOSITORY / 'CONTRIBUTING.md',
        REPOSITORY / 'configs' / 'README.md',
        *sorted((REPOSITORY / 'docs').glob('**/*.md'))))
SHELLS = ('bash', 'shell', 'sh', 'console')
#: How a line begins that is to be typed into a shell.
TYPED = re.compile(r'(\$ )?(python3? |yolo-world-rep |make |pip |uv |'
                   r'tools/|benchmarks/)')


class Block(NamedTuple):
    """A fenced block of a page.

    Args:
        page (str): Relative to the repository.
        line (int): Of its first line, counted from 1.
        language (str): Empty if there is none.
        text (str): Without the fences.
    """
    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Where it stands, as editors understand it."""
        return f'{self.page}:{self.line}'


class Statement(NamedTuple):
    """A line of a shell, continuations and quoted lines included.

    Args:
        place (str): Page and line of its block.
        text (str): As it stands there, in one line where it can be.
    """
    place: str
    text: str


def read_page(page: str) -> Tuple[List[Block], List[str]]:
    """The fenced blocks of a page, and its inline code."""
    text = REPOSITORY.joinpath(page).read_text(encoding='utf-8')
    blocks, inline = [], []
    for token in MarkdownIt('commonmark').enable('table').parse(text):
        if token.type == 'fence':
            blocks.append(
                Block(page, token.map[0] + 2,
                      token.info.split()[0].lower() if token.info else '',
                      token.content))
        elif token.type == 'code_block':
            blocks.append(Block(page, token.map[0] + 1, '', token.content))
        elif token.type == 'inline':
            inline += [
                ' '.join(child.content.split()) for child in token.children
                if child.type == 'code_inline'
            ]
    return blocks, inline


def split_lines(text: str) -> Iterator[str]:
    """A script in its statements, without comments.

    Newlines within quotes are kept; those after a backslash are not.
    """
    quote, statement, previous = '', '', '\n'
    characters = iter(text.replace('\\\n', ' ') + '\n')
    for character in characters:
        if quote:
            quote = '' if character == quote else quote
        elif character in '\'"':
            quote = character
        elif character == '#' and previous.isspace():
            character = next(c for c in characters if c == '\n')
        if character == '\n' and not quote:
            if statement.strip():
                yield statement.strip()
            statement = ''
        else:
            statement += character
        previous = character
    if quote:
        raise ValueError(f'a quote {quote} that does not end: {text}')


def statements(block: Block) -> List[Statement]:
    """What a block of a shell says."""
    found = []
    for line in split_lines(block.text):
        text = line if '\n' in line else ' '.join(line.split())
        found.append(Statement(block.place, re.sub(r'^\$ ', '', text)))
    return found


def expand(text: str, variables: Dict[str, str]) -> str:
    """``$NAME`` replaced; an unknown one is an error."""
    return re.sub(r'\$\{?(\w+)\}?', lambda match: variables[match[1]], text)


def pipeline(text: str) -> List[List[str]]:
    """The words of the commands of a pipe.

    Raises:
        ValueError: For anything of a shell but quotes and pipes.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars='|;&<>')
    lexer.whitespace_split = True
    lexer.commenters = ''
    commands: List[List[str]] = [[]]
    for word in lexer:
        if word == '|':
            commands.append([])
        elif word and set(word) <= set(';&<>|'):
            raise ValueError(f'{word!r} is not understood: {text}')
        else:
            commands[-1].append(word)
    return commands
