"""A runner for configs whose variables are not carried on yet."""
import logging
from typing import Union

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmyolo.registry import RUNNERS

from yolo_world_rep.config.variables import check_config, resolve_variables
from yolo_world_rep.registry import register

from .adapt import with_names_and_origin


@register(RUNNERS)
class VariablesRunner(Runner):
    """mmengine's runner of a config with its variables carried on.

    Our configs name it as their ``runner_type``, so that they also run under
    mmyolo's own tools and ``mim``, which know nothing of
    :func:`resolve_variables`.
    """

    @classmethod
    def from_cfg(cls, cfg: Union[Config, ConfigDict, dict]) -> Runner:
        """Build the runner.

        Args:
            cfg (Config | dict): A config; not changed.

        Returns:
            VariablesRunner: Of a copy where everything follows from the
            variables.

        Raises:
            ValueError: If parts of the config contradict each other.
        """
        if not isinstance(cfg, Config):
            cfg = Config(cfg)
        cfg, notes = resolve_variables(cfg)
        for note in notes:
            print_log(f'Config: {note}', 'current', logging.INFO)
        check_config(cfg)
        return super().from_cfg(with_names_and_origin(cfg))
