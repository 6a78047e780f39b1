"""A runner for configs whose variables are not carried on yet."""
from typing import Union

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from mmyolo.registry import RUNNERS

from ..config.variables import check_config, resolve_variables
from ..registry import register
from ..utils.log import log
from .adapt import keep_names_and_origin


@register(RUNNERS)
class VariablesRunner(Runner):
    """mmengine's runner, which updates the values derived from changed
    variables.

    Our configs name it as their ``runner_type``, so that they also run under
    mmyolo's own tools and ``mim``, which know nothing of
    :func:`resolve_variables`.
    """

    @classmethod
    def from_cfg(cls, cfg: Union[Config, ConfigDict, dict]) -> Runner:
        """Build the runner of a copy of a config with everything carried on.

        Raises:
            ValueError: If parts of the config contradict each other.
        """
        if not isinstance(cfg, Config):
            cfg = Config(cfg)
        cfg, notes = resolve_variables(cfg)
        for note in notes:
            log(f'Config: {note}')
        check_config(cfg)
        keep_names_and_origin(cfg)
        return super().from_cfg(cfg)
