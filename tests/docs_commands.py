"""Runs what the documentation tells its readers to type."""
import argparse
import ast
import contextlib
import io
import itertools
import os
import re
import runpy
import subprocess
import sys
import types
from configparser import ConfigParser
from pathlib import Path
from typing import Any, Dict, List, Optional
from unittest import mock

import cv2
import torch
from docs_blocks import REPOSITORY, Block, Statement, expand, pipeline
from docs_world import CLIP, COCO, FOLDED, SIDE, SMALL, World
from mmengine.config import Config
from mmyolo.registry import MODELS
from PIL import Image

from yolo_world_rep.engine import resolve_variables
from yolo_world_rep_cli.commands import COMMANDS, NAMES
from yolo_world_rep_cli.main import main
from yolo_world_rep_cli.parsing import Parser

#: What stands for something of the reader's.
PLACEHOLDERS = {
    'CONFIG': FOLDED,
    'CONFIG.py': FOLDED,
    'CKPT': 'checkpoints/yolo_world_v2_s.pth',
    'FILE.npy': 'classes.npy',
    'DIR': 'out',
    'work_dirs/…/epoch_80.pth': 'checkpoints/yolo_world_v2_s_rep_conv.pth',
}
#: The same, where a command needs something else.
OF_COMMAND = {'retention': {'CONFIG': 'own.py'}}
#: Files that a command takes from its config.
IMPLIED = {'train': ('checkpoints/yolo_world_v2_s_rep_conv.pth', )}
#: Commands that run a config, and take its settings.
OF_CONFIGS = ('train', 'test', 'retention')
#: A training in Python, and what is soon done in its place.
QUICK = 'epochs=40', (f'epochs=1, image_size=({SIDE}, {SIDE}), batch_size=2, '
                      'workers=0, report=False')
OUTPUTS = ('--out', '--out-dir', '--json-out')
#: Programs of others that are run as they are.
PROGRAMS = ('cat', 'find', 'head', 'ls')
NEW = itertools.count()
TOOLS = {command.tool: command.name for command in COMMANDS.values()}


class Parsed(Exception):
    """Raised in the place of what follows the parsing of arguments."""


class Reader:
    """Somebody who types what a page says, in a folder of its own.

    Args:
        world (World): Where the files come from.
        root (Path): The folder.
        monkeypatch (pytest.MonkeyPatch): Goes to that folder.
    """

    def __init__(self, world: World, root: Path, monkeypatch: Any) -> None:
        self.world, self.root = world, world.sandbox(root)
        self.variables: Dict[str, str] = {}
        # Of the Python of a page, from one block to the next.
        self.names: Dict[str, Any] = {}
        self.monkeypatch = monkeypatch
        monkeypatch.chdir(root)
        monkeypatch.syspath_prepend(str(REPOSITORY / 'benchmarks'))
        # It formats the config with yapf for a second, again and again.
        monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode',
                            lambda text, **_: (text, True))
        # mmengine's loggers keep streams that are gone since.
        monkeypatch.setattr('logging.raiseExceptions', False)

    # ------------------------------ commands ------------------------------
    def type(self, statement: Statement, run: bool = True) -> None:
        """Type a statement.

        Args:
            statement (Statement): Of a block.
            run (bool): Whether it is run, or only its parts are looked at.

        Raises:
            AssertionError: If it fails.
        """
        text = statement.text
        assignment = re.fullmatch(r'(export )?(\w+)=(\S*)', text)
        if assignment:
            export, name, value = assignment.groups()
            self.variables[name] = value
            if export:
                self.monkeypatch.setenv(name, value)
            return
        text = expand(text, self.variables)
        # What a shell does with the output of a command is not looked at.
        text = re.sub(r'^eval "\$\((.*)\)"$', r'\1', text)
        text, _, target = text.partition(' > ')
        optional = re.findall(r' \[([^]]*)\]', text)
        piped: Optional[str] = None
        try:
            for words in pipeline(re.sub(r' \[[^]]*\]', '', text)):
                if run:
                    piped = self.run(words, piped)
                else:
                    self.check(words)
                for group in optional:
                    check_options(words, group.split())
            assert piped or not target, f'nothing to write to {target}'
        except AssertionError as error:
            raise AssertionError(
                f'{statement.place}: {statement.text}\n{error}') from None

    def run(self, words: List[str], piped: Optional[str]) -> str:
        """Run a command; gives what it printed."""
        if words[:2] == ['python', '-c']:
            code = re.sub(r"'CONFIG'", repr(FOLDED), words[2])
            return self.call(lambda: exec(code, {}), [], piped)
        name = command_of(words)
        if name is None:
            assert words[0] in PROGRAMS, 'neither run nor listed'
            done = subprocess.run(
                words, input=piped, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return done.stdout
        self.bring(name, words)
        places = {**PLACEHOLDERS, **OF_COMMAND.get(name, {})}
        words = [places.get(word, word) for word in words]
        self.bring(name, words)
        arguments = words[2 if words[0] == 'python' else 1:]
        refused = refusal(words)
        if words[0] == 'yolo-world-rep':
            arguments += settings(name, words)
            return self.call(lambda: main(arguments),
                             ['yolo-world-rep', *arguments], piped, refused)
        tool = words[1] if words[0] == 'python' else words[0]
        assert Path(tool).is_file(), f'no file {tool}'
        return self.call(
            lambda: runpy.run_path(tool, run_name='__main__'),
            [tool, *arguments, *settings(name, words)], piped, refused)

    def bring(self, name: str, words: List[str]) -> None:
        """Have the files at hand that a command reads."""
        for before, word in zip(['', *words], words):
            if before not in OUTPUTS:
                self.world.put(word.split('=')[-1], self.root)
        # What embeds words unless another is named.
        clip = (CLIP, ) if '--words' in words or name == 'train' else ()
        for path in (*IMPLIED.get(name, ()), *clip):
            self.world.put(path, self.root)

    def call(self, function, argv: List[str], piped: Optional[str],
             refused: str = '') -> str:
        """Call what ends as a command does, or as ``refused`` if given."""
        out, err = io.StringIO(), io.StringIO()
        stdin = io.TextIOWrapper(io.BytesIO((piped or '').encode()))
        status: Any = 0
        with mock.patch.object(sys, 'argv', argv), mock.patch.object(
                sys, 'stdin', stdin), contextlib.redirect_stdout(
                    out), contextlib.redirect_stderr(err):
            try:
                function()
            except SystemExit as ended:
                status = ended.code
        if refused:
            assert (status, err.getvalue()) == (2, refused)
            return ''
        assert not status, f'status {status}: {err.getvalue()[-2000:]}'
        return out.getvalue()

    # --------------------------- without running ---------------------------
    def check(self, words: List[str]) -> None:
        """Look at the parts of a command: its file, options, names."""
        if words[0].endswith('.sh'):
            self.check_launcher(words)
        elif words[0] == 'make':
            check_make(words)
        elif words[0] in ('pip', 'uv'):
            check_extras(words)
        elif words[0].endswith('python') and words[1].startswith('benchm'):
            self.check_benchmark(words[1:])
        else:
            assert command_of(words), f'{words[0]} is not known here'
            check_options(words, words)

    def check_benchmark(self, words: List[str]) -> None:
        """Whether a program takes its arguments."""
        original = argparse.ArgumentParser.parse_args

        def parse_args(parser: argparse.ArgumentParser, *args: Any) -> None:
            original(parser, *args)
            raise Parsed

        assert Path(words[0]).is_file(), f'no file {words[0]}'
        with mock.patch.dict(os.environ), mock.patch.object(
                argparse.ArgumentParser, 'parse_args', parse_args):
            try:
                self.call(
                    lambda: runpy.run_path(words[0], run_name='__main__'),
                    words, None)
            except Parsed:
                return
        raise AssertionError(f'{words[0]} has not parsed its arguments')

    def check_launcher(self, words: List[str]) -> None:
        """Whether torchrun and the tool take what the shell script gives."""
        from torch.distributed.run import get_args_parser
        done = subprocess.run(
            ['bash', *words],
            env=dict(os.environ, PYTHON='echo'),
            capture_output=True,
            text=True)
        assert done.returncode == 0, done.stderr
        given = done.stdout.split()
        assert given[:2] == ['-m', 'torch.distributed.run']
        args = get_args_parser().parse_args(given[2:])
        assert args.nproc_per_node in words[2:]
        name = TOOLS[Path(args.training_script).stem]
        parser = parser_of(name)
        self.call(lambda: parser.parse_args(args.training_script_args), [],
                  None)

    # ------------------------------- Python -------------------------------
    def execute(self, block: Block) -> None:
        """Execute Python; what only assigns dicts is a part of a config."""
        tree = ast.parse(block.text)
        if any(isinstance(each, (ast.Import, ast.ImportFrom, ast.With)) or (
                isinstance(each, ast.Name) and each.id in self.names)
               for each in ast.walk(tree)):
            self.execute_code(block)
        elif '_base_' in block.text:
            self.load(block, block.text)
        else:
            # Each may be an alternative to the one before.
            for each in tree.body:
                self.load(block, ast.unparse(each))

    def execute_code(self, block: Block) -> None:
        """Execute a program with the names that it leaves to the reader."""
        # fold(['cat', 'dog']) embeds by CLIP.
        for name in ('openai/clip-vit-base-patch32',
                     *re.findall(r"'([^']+)'", block.text)):
            self.world.put(name, self.root)
        if 'fold(' in block.text:
            self.world.put(CLIP, self.root)
        if not self.names:
            self.names.update(self.left_to_the_reader())
        code = compile(block.text.replace(*QUICK), block.place, 'exec')
        self.call(lambda: exec(code, self.names), [], None)

    def left_to_the_reader(self) -> Dict[str, Any]:
        """What programs of the pages name and do not make."""
        array = cv2.imread('a.jpg')
        text = torch.load(self.world.text(), weights_only=True)
        supervision = types.ModuleType('supervision')
        supervision.Detections = lambda **values: values
        self.monkeypatch.setitem(sys.modules, 'supervision', supervision)
        return dict(
            config=small_config(),
            paths=['a.jpg', 'image.jpg'],
            array_bgr=array,
            pillow_image=Image.fromarray(array[..., ::-1]),
            state_dict=text['state_dict'],
            text=torch.nn.functional.normalize(torch.rand(len(COCO), 512)))

    def load(self, block: Block, text: str) -> None:
        """Load a config that says so, and build its model."""
        folder = self.root / 'configs' / 'finetune_coco'
        path = folder / f'docs_{block.line}.py'
        if '_base_' not in text:
            text = f"_base_ = './{Path(FOLDED).name}'\n{text}"
        path.write_text(f'num_classes = {len(COCO)}\n{text}')
        cfg = resolve_variables(Config.fromfile(path))[0]
        for part in ('backbone', 'neck', 'bbox_head'):
            # Told without the model around it.
            if part in cfg:
                cfg.merge_from_dict({f'model.{part}': cfg[part]})
        # CLIP's weights are not here.
        cfg.model.backbone.update(text_model=None, with_text_model=False)
        MODELS.build(cfg.model)


def small_config() -> Config:
    """The config of the folded model, on small images."""
    cfg = Config.fromfile(FOLDED)
    cfg.img_scale = (SIDE, SIDE)
    return resolve_variables(cfg)[0]


def command_of(words: List[str]) -> Optional[str]:
    """The command of this package that words begin with, if one."""
    if words[0] == 'yolo-world-rep':
        return NAMES.get(words[1])
    tool = words[1] if words[0] == 'python' else words[0]
    return TOOLS.get(Path(tool).stem) if tool.startswith('tools/') else None


def settings(name: str, words: List[str]) -> List[str]:
    """What is appended so that a command is soon done."""
    of_config = any(word.endswith(('.py', '.pth')) for word in words[2:])
    if name == 'test' and '--data' in words:
        return []
    if name in OF_CONFIGS:
        # mmengine would find a visualizer of the same name again.
        return ['--cfg-options', *SMALL, f'visualizer.name=docs{next(NEW)}']
    if name in ('export', 'predict', 'evaluate', 'bench') and of_config:
        return ['--cfg-options', SMALL[0]]
    return []


def refusal(words: List[str]) -> str:
    """The line of a command that this processor cannot do, else ''."""
    precision = dict(zip(words, words[1:])).get('--precision')
    if precision is None:
        return ''
    import openvino
    able = openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    if dict(bf16='BF16', f16='FP16', f32='FP32')[precision] in able:
        return ''
    return (f'error: precision {precision}: the CPU has no such '
            f'instructions. Leave it out.\n')


def parser_of(name: str) -> Parser:
    """The parser of a command."""
    parser = Parser()
    COMMANDS[name].module.add_arguments(parser)
    return parser


def check_options(words: List[str], options: List[str]) -> None:
    """Whether a command knows the options among some words."""
    name = command_of(words)
    assert name, f'no command: {words}'
    known = parser_of(name)._option_string_actions
    for option in options:
        option = option.strip('[]')
        if option.startswith('--'):
            assert option.split('=')[0] in {*known, '--debug'}, (
                f'{name} has no {option}')


def check_make(words: List[str]) -> None:
    """Whether there is the target, and what its arguments name."""
    done = subprocess.run(['make', '-n', *words[1:]],
                          cwd=REPOSITORY,
                          capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    assert 'Nothing to be done' not in done.stdout, done.stdout
    for word in ' '.join(words).replace('ARGS=', '').split():
        if '/' in word:
            assert (REPOSITORY / word).exists(), f'no {word}'


def check_extras(words: List[str]) -> None:
    """Whether the package has the extras that pip is asked for."""
    setup = ConfigParser()
    setup.read(REPOSITORY / 'setup.cfg')
    known = setup['options.extras_require']
    for extras in re.findall(r'\[([\w, ]+)\]', ' '.join(words)):
        for extra in extras.replace(' ', '').split(','):
            assert extra in known, f'no extra {extra}'
    assert 'install' in words
