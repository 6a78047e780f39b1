"""Break the folding on purpose, and see that the tests notice.

Each mutation is a small change of the source. It is made in a copy of the
repository, where the tests of what folds are run until one fails. A mutation
that no test notices SURVIVED, and the exit status is 1.

    python tests/mutations.py
    python tests/mutations.py --only 'eps of the batch norms' --jobs 2
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import List, NamedTuple, Optional

from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[1]
# The quick ones first: most mutations end there.
TESTS = ('tests/test_reparam/test_state_dict.py',
         'tests/test_detector/test_fusion.py',
         'tests/test_models/test_golden.py',
         'tests/test_reparam/test_guide_max.py',
         'tests/test_models/test_detectors.py',
         'tests/test_reparam/test_checkpoint.py',
         'tests/test_reparam/test_editing.py',
         'tests/test_detector/test_layout.py')
PARTS = ('yolo_world_rep', 'yolo_world_rep_cli', 'tests', 'tools', 'configs')
FILES = ('setup.cfg', 'pyproject.toml')
LONGEST = 900  # seconds


class Mutation(NamedTuple):
    """A change that must not go unnoticed.

    Args:
        name (str): What is wrong then.
        file (str): Below ``yolo_world_rep``.
        old (str): Text that stands once in the file.
        new (str): What takes its place.
    """
    name: str
    file: str
    old: str
    new: str

    def apply(self, package: Path) -> None:
        """Change the file of a copy.

        Raises:
            ValueError: If the text does not stand in it once.
        """
        path = package / self.file
        content = path.read_text()
        count = content.count(self.old)
        if count != 1:
            raise ValueError(
                f'mutation {self.name!r}: its text stands {count} times in '
                f'{self.file}; expected once. Fit it to the source.')
        path.write_text(content.replace(self.old, self.new))


FOLDING = 'reparam/folding.py'
STATE_DICT = 'reparam/state_dict.py'
FUSION = 'detector/fusion.py'
ATTENTION = 'models/layers/max_sigmoid.py'

MUTATIONS = (
    Mutation('head: texts not normalized', FOLDING,
             'weight_ND = normalize_text(text_ND) * logit_scale.exp()',
             'weight_ND = text_ND * logit_scale.exp()'),
    Mutation('head: scale without its exponential', FOLDING,
             'weight_ND = normalize_text(text_ND) * logit_scale.exp()',
             'weight_ND = normalize_text(text_ND) * logit_scale'),
    Mutation('head: scale dropped', FOLDING,
             'weight_ND = normalize_text(text_ND) * logit_scale.exp()',
             'weight_ND = normalize_text(text_ND)'),
    Mutation('head: bias dropped', FOLDING,
             'bias.reshape(1).repeat(len(text_ND))',
             'bias.reshape(1).repeat(len(text_ND)) * 0'),
    Mutation('head: every level folded with the scale of the first',
             STATE_DICT,
             "scale = state_dict[f'{name}.logit_scale']",
             "scale = state_dict[name[:-1] + '0.logit_scale']"),
    Mutation('head: folded in single precision', STATE_DICT,
             'folding.fold_contrast(text_ND.double(), scale.double(),',
             'folding.fold_contrast(text_ND.float(), scale.float(),'),
    Mutation('neck: texts normalized', FOLDING,
             'split_heads(F.linear(text_ND, weight, bias), num_heads)',
             'split_heads(F.linear(normalize_text(text_ND), weight, bias), '
             'num_heads)'),
    Mutation('neck: bias of the guides dropped', FOLDING,
             'split_heads(F.linear(text_ND, weight, bias), num_heads)',
             'split_heads(F.linear(text_ND, weight), num_heads)'),
    Mutation('neck: channels assigned to the heads in turn', FOLDING,
             'guide_NE.unflatten(-1, (num_heads, -1)).transpose(-3, -2)',
             'guide_NE.unflatten(-1, (-1, num_heads)).movedim(-1, -3)'),
    Mutation('neck: heads in the opposite order', FOLDING,
             'for weight in guide_MNd]', 'for weight in guide_MNd.flip(0)]'),
    Mutation('neck: √ of the width of all heads', FOLDING,
             'gate_BMS = (peak_BMS / width_head**0.5',
             'gate_BMS = (peak_BMS / (width_head * num_heads)**0.5'),
    Mutation('neck: bias of the gates dropped', FOLDING,
             '+ bias_M[:, None]).sigmoid()', ').sigmoid()'),
    Mutation('neck: factor of the gates inside the sigmoid', FOLDING,
             'gate_BMS = gate_BMS * scale.reshape(-1, 1)',
             'gate_BMS = (gate_BMS.logit() * scale.reshape(-1, 1)).sigmoid()'),
    Mutation('neck: mean in place of the maximum', 'reparam/guide_max.py',
             'piece_BMS = torch.matmul(piece_MNd, embed_BMdS).amax(dim=-2)',
             'piece_BMS = torch.matmul(piece_MNd, embed_BMdS).mean(dim=-2)'),
    Mutation('neck: maximum of only the last piece of the guides',
             'reparam/guide_max.py',
             'peak_BMS = piece_BMS if peak_BMS is None else torch.maximum(\n'
             '            peak_BMS, piece_BMS)', 'peak_BMS = piece_BMS'),
    Mutation('neck: winners counted from zero in each piece',
             'reparam/guide_max.py', 'index_BMS + start', 'index_BMS'),
    Mutation('neck: padding prompt forgotten', STATE_DICT,
             'guided, state_dict, neck_text, neck_form)',
             'guided, state_dict, neck_text[:len(text)], neck_form)'),
    Mutation('neck: guides of the head\'s vocabulary', STATE_DICT,
             'guided, state_dict, neck_text, neck_form)',
             'guided, state_dict, text, neck_form)'),
    Mutation('neck: convolutions in another order of heads', STATE_DICT,
             'for head, conv in enumerate(folding.guide_to_convs(guide))',
             'for head, conv in enumerate(\n'
             '            reversed(folding.guide_to_convs(guide)))'),
    Mutation('dual neck: queries without the layer norm', FOLDING,
             'return F.linear(norm, weight, bias)',
             'return F.linear(text_ND, weight, bias)'),
    Mutation('dual neck: bias of the queries dropped', FOLDING,
             'return F.linear(norm, weight, bias)',
             'return F.linear(norm, weight)'),
    Mutation('dual neck: texts normalized', STATE_DICT,
             ".texts': text_ND.to(dtype)",
             ".texts': folding.normalize_text(text_ND).to(dtype)"),
    Mutation('dual neck: √ of the width of all heads',
             'models/layers/image_pooling.py',
             'weights = (weights / query.shape[-1]**0.5).softmax(-1)',
             'weights = (weights / (query.shape[-1] * self.num_heads)**0.5)'
             '.softmax(-1)'),
    Mutation('deploy: 1/√d forgotten', ATTENTION,
             'guide = folding.fold_width(self.guide().double())',
             'guide = self.guide().double()'),
    Mutation('deploy: ε of the batch norms forgotten', FUSION,
             'model.eval().requires_grad_(False)\n',
             'model.eval().requires_grad_(False)\n'
             '    for norm in model.modules():\n'
             '        if isinstance(norm, _BatchNorm):\n'
             '            norm.eps = 0.\n'),
    Mutation('deploy: running means forgotten', FUSION,
             'model.eval().requires_grad_(False)\n',
             'model.eval().requires_grad_(False)\n'
             '    for norm in model.modules():\n'
             '        if isinstance(norm, _BatchNorm):\n'
             '            norm.running_mean.zero_()\n'),
    Mutation('deploy: factor of the gates dropped', ATTENTION,
             'if self.scale is not None:', 'if False:'),
    Mutation('deploy: gates assigned to the channels in turn', ATTENTION,
             'torch.eye(self.num_heads).repeat_interleave(\n'
             '            last.out_channels // self.num_heads, 0)',
             'torch.eye(self.num_heads).repeat(\n'
             '            last.out_channels // self.num_heads, 1)'),
    Mutation('deploy: bias of the class branch is not multiplied by the texts',
             FOLDING, 'weight_ND @ bias_D + bias_N', 'bias_N'),
    Mutation('deploy: bias of the embedding is not multiplied by the guides',
             FOLDING, '(guide_MNd @ bias_Md1).flatten(1) + bias_M[:, None]',
             'bias_M[:, None].expand(-1, guide_MNd.shape[1])'),
    Mutation('deploy: length without the bias', FOLDING,
             'return factor[:, :-1], factor[:, -1]',
             'return factor[:, :-1], 0 * factor[:, -1]'),
    Mutation('deploy: the bias of the L2 head divided by the length',
             'models/dense_heads/contrastive.py',
             'torch.zeros_like(texts[1]))', 'texts[1])'),
    Mutation('deploy: levels of the class branch exchanged', FUSION,
             'head.cls_contrasts[level].fuse(',
             'head.cls_contrasts[min(level, 1)].fuse('),
)


def copy_to(folder: Path) -> Path:
    """What the tests need of the repository; gives the package."""
    ignore = shutil.ignore_patterns('__pycache__', '*.pyc')
    for part in PARTS:
        shutil.copytree(REPOSITORY / part, folder / part, ignore=ignore)
    for file in FILES:
        shutil.copy(REPOSITORY / file, folder)
    return folder / 'yolo_world_rep'


def first_failure(mutation: Optional[Mutation]) -> Optional[str]:
    """The first test that fails, or None.

    Raises:
        ValueError: If the mutation does not fit the source.
        RuntimeError: If the tests could not be run.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        package = copy_to(folder)
        if mutation is not None:
            mutation.apply(package)
        data = REPOSITORY.parent / 'shared'
        env = {
            'YWR_TEST_DATA': str(data / 'data'),
            'YWR_TEST_GOLDEN': str(data / 'golden'),
            **os.environ,
            'PYTHONPATH': str(folder),
            # The copy must be what is imported, not an install.
            'YWR_TEST_PACKAGE': str(package)
        }
        try:
            done = subprocess.run(
                [
                    sys.executable, '-m', 'pytest', '-x', '-q', '-rfE', '-p',
                    'no:cacheprovider', 'tests/imported_copy.py', *TESTS
                ],
                cwd=folder, env=env, capture_output=True, text=True,
                timeout=LONGEST)
        except subprocess.TimeoutExpired:
            return f'nothing ended within {LONGEST} s'
    if done.returncode == 0:
        return None
    found = re.search(r'^(?:FAILED|ERROR) (\S+)', done.stdout, re.M)
    found = found or re.search(r'^_{3,} (?:ERROR \w+ )*(.+?) _{3,}$',
                               done.stdout, re.M)
    if not found or 'test_the_copy_is_imported' in found[1]:
        raise RuntimeError(
            f'the tests did not run:\n{done.stdout[-3000:]}{done.stderr}')
    return found[1]


def main() -> int:
    """Try the mutations that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--only', metavar='WORDS', default='', help='those with it in names')
    parser.add_argument('--jobs', type=int, default=1)
    args = parser.parse_args()
    chosen = [x for x in MUTATIONS if args.only in x.name]
    console = Console(highlight=False)
    if not chosen:
        names = '\n'.join(x.name for x in MUTATIONS)
        console.print(f'no mutation has {args.only!r} in its name:\n{names}')
        return 2
    failure = first_failure(None)
    if failure:
        console.print(f'without any mutation, {failure} fails')
        return 1
    table = Table('mutation', 'noticed by', 's')
    survived: List[str] = []

    def attempt(mutation: Mutation) -> tuple:
        start = time.perf_counter()
        return (mutation, first_failure(mutation),
                f'{time.perf_counter() - start:.0f}')

    with ThreadPoolExecutor(args.jobs) as pool:
        for mutation, noticed, seconds in pool.map(attempt, chosen):
            table.add_row(mutation.name, noticed or 'SURVIVED', seconds)
            console.print(f'{mutation.name}: {noticed or "SURVIVED"}')
            if noticed is None:
                survived.append(mutation.name)
    console.width = max(console.width, 160)
    console.print(table)
    console.print(f'{len(chosen) - len(survived)} of {len(chosen)} noticed')
    return 1 if survived else 0


if __name__ == '__main__':
    sys.exit(main())
