"""The commands, one module per command.

A module's docstring is its description, ``add_arguments`` fills its parser
and ``run`` runs it. Slow imports are inside ``run``.
"""
from importlib import import_module
from typing import Any, NamedTuple, Tuple


class Command(NamedTuple):
    """A command; its module is named as it is."""
    name: str
    tool: str  # the stem of its file in ``tools``, empty for none
    summary: str  # half a line
    aliases: Tuple[str, ...] = ()

    @property
    def module(self) -> Any:
        return import_module(f'.{self.name.replace("-", "_")}', __name__)


#: In the order in which one meets them.
COMMANDS = {
    command.name: command
    for command in (
        Command('download', '', 'fetch a public checkpoint by its name'),
        Command('embed', 'generate_text_prompts',
                'compute text embeddings of class names'),
        Command('reparameterize', 'reparameterize_yoloworld',
                'fold class names into a checkpoint (also: fold)', ('fold', )),
        Command('edit', 'edit_vocabulary',
                'keep, add and replace classes of a folded checkpoint'),
        Command('inspect', 'inspect_checkpoint', 'show what a file is'),
        Command('interpolate', 'interpolate_checkpoints',
                'average a checkpoint and its fine-tuned version'),
        Command('convert-ultralytics', 'convert_ultralytics',
                'convert a YOLO-World v2 file of Ultralytics'),
        Command('new-config', 'new_config',
                'check your data and write a config to train on them'),
        Command('migrate-config', '',
                'rewrite a config of the original YOLO-World to run here'),
        Command('train', 'train', 'train or fine-tune'),
        Command('test', 'test', 'evaluate on the test data of a config'),
        Command('report', 'report', 'write a report on a training'),
        Command('retention', 'eval_retention',
                'AP of held-out classes before and after training'),
        Command('export', 'export',
                'export to ONNX, OpenVINO or TorchScript, and check it'),
        Command('predict', 'predict', 'detect in images and videos'),
        Command('evaluate', 'evaluate', 'average precision of any model'),
        Command('bench', '', 'compare the latency of several models'),
        Command('demo', 'demo', 'all steps on generated images'),
        Command('completion', '', 'shell completion for bash or zsh'))}
#: What each may be called to what it is.
NAMES = {name: command.name for command in COMMANDS.values()
         for name in (command.name, *command.aliases)}
