"""The commands, a module each.

A module's docstring is its description, ``add_arguments`` fills its parser
and ``run`` does it. Whatever takes time to import is imported in there.
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
                'embed the names of classes'),
        Command('reparameterize', 'reparameterize_yoloworld',
                'fold class names into a checkpoint (also: fold)', ('fold', )),
        Command('edit', 'edit_vocabulary',
                'keep, add and replace classes of a folded checkpoint'),
        Command('inspect', 'inspect_checkpoint', 'say what a checkpoint is'),
        Command('interpolate', 'interpolate_checkpoints',
                'weights between a checkpoint and its fine-tuning'),
        Command('convert-ultralytics', 'convert_ultralytics',
                'read a YOLO-World v2 file of Ultralytics'),
        Command('new-config', 'new_config',
                'check your data, write the config that trains on them'),
        Command('migrate-config', '',
                'rewrite a config of the original YOLO-World'),
        Command('train', 'train', 'train or fine-tune'),
        Command('test', 'test', 'test a checkpoint with a config'),
        Command('report', 'report', 'say what a training has brought'),
        Command('retention', 'eval_retention',
                'AP of held-out classes before and after a training'),
        Command('export', 'export',
                'write and check ONNX, OpenVINO or TorchScript'),
        Command('predict', 'predict', 'detect in images and videos'),
        Command('evaluate', 'evaluate', 'AP of a model of any form'),
        Command('bench', '', 'latency of several models, side by side'),
        Command('demo', 'demo', 'the whole story on generated images'),
        Command('completion', '', 'completion for bash or zsh'))}
#: What each may be called to what it is.
NAMES = {name: command.name for command in COMMANDS.values()
         for name in (command.name, *command.aliases)}
