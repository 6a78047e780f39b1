"""Copies the origin of a folded checkpoint into new checkpoints."""
import copy
from typing import Any, Dict, Optional

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmyolo.registry import HOOKS

from ...registry import register
from ...reparam import META_KEY, description_of
from ...text.names import names_of
from .class_names_hook import unwrapped


@register(HOOKS)
class FoldedMetaHook(Hook):
    """Copy the origin of a folded model to new checkpoints, with its current
    classes.

    Without it ``yolo-world-rep edit`` could not change the classes of what
    was trained. The launcher and :class:`VariablesRunner` add this hook.
    """

    priority = 40

    def __init__(self) -> None:
        self._folded: Optional[Dict[str, Any]] = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember what the checkpoint says."""
        folded = (checkpoint.get('meta') or {}).get(META_KEY)
        self._folded = copy.deepcopy(folded) if folded else None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Say it in the one that is written."""
        if self._folded is None:
            return
        folded = copy.deepcopy(self._folded)
        names = names_of(
            getattr(unwrapped(runner.model), 'dataset_meta', None))
        if names is not None:
            if len(names) != folded.get('num_classes'):
                # A fresh head of another vocabulary: its rows are no
                # longer those of the neck's guides.
                folded['neck_vocabulary'] = 'own'
            folded.update(classes=names, num_classes=len(names))
        neck = description_of(checkpoint.get('state_dict', {})).neck
        if neck.startswith('rep_'):  # which loading may have changed
            folded['format'] = neck
        checkpoint.setdefault('meta', {})[META_KEY] = folded
