"""A test with weights that detect nothing does not end well."""
import pytest
import torch
from tiny_training import (
    CONFIG,
    build_model,
    checkpoint_of,
    options,
    read_config,
    write_images,
)

from yolo_world_rep.engine import launch


@pytest.mark.parametrize(('part', 'value'), [
    ('conv.weight', float('nan')), ('running_var', -1.)])
def test_damaged_weights_are_not_tested(part, value, tmp_path):
    write_images(tmp_path)
    cfg = launch.config_for_test(
        read_config(), str(CONFIG), __file__, work_dir=str(tmp_path / 'work'),
        cfg_options=options(tmp_path), cuda=False)
    checkpoint = checkpoint_of(build_model(cfg))
    name = next(name for name in checkpoint['state_dict']
                if name.endswith(part))
    checkpoint['state_dict'][name].flatten()[0] = value
    torch.save(checkpoint, tmp_path / 'bad.pth')
    cfg.load_from = str(tmp_path / 'bad.pth')
    with pytest.raises(ValueError, match=rf'bad\.pth: {name} (has|is a var)'):
        launch.build_runner(cfg).test()
