"""A report in the work dir when a training is done."""
import logging
from typing import Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmyolo.registry import HOOKS

from yolo_world_rep.registry import register


@register(HOOKS)
class TrainingReportHook(Hook):
    """Write ``WORK_DIR/report``, as HTML and Markdown, after the last epoch.

    The main process evaluates the checkpoint before and the best one. A
    report that fails is logged and does not affect the training;
    ``yolo-world-rep report`` writes it again.

    Args:
        before (str, optional): The checkpoint that the training started
            from. Defaults to ``load_from`` of the config, which is another
            one in a training that is resumed.
    """

    # After the hook that writes the last checkpoint.
    priority = 'LOWEST'

    def __init__(self, before: Optional[str] = None) -> None:
        self.before = before

    def after_train(self, runner: Runner) -> None:
        if not is_main_process():
            return
        from . import write_report
        device = str(next(runner.model.parameters()).device)
        try:
            path = write_report(runner.work_dir, self.before, device=device)
        except Exception as error:  # the training must not be lost by it
            print_log(
                f'The report could not be written ({error}). Fix this, then '
                f'run: yolo-world-rep report {runner.work_dir}',
                'current', logging.ERROR)
        else:
            # As CheckpointHook does; no checkpoint carries it on.
            runner.message_hub.update_info('report', str(path), resumed=False)
            print_log(f'Report on the training: {path}', 'current')
