"""Adds to a wheel what mim looks for; the metadata is in setup.cfg."""
import os
import shutil
from typing import Dict

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE = 'yolo_world_rep'
MIM_CONTENT = ('configs', 'tools', 'model-index.yml')


def mim_files() -> Dict[str, str]:
    """Each file of MIM_CONTENT, with the path that it has in a wheel."""
    files = []
    for name in MIM_CONTENT:
        if os.path.isfile(name):
            files.append(name)
        for folder, subfolders, names in os.walk(name):
            subfolders[:] = [sub for sub in subfolders if sub != '__pycache__']
            files.extend(os.path.join(folder, file) for file in names)
    return {
        file: os.path.join(PACKAGE, '.mim', file)
        for file in sorted(files) if not file.endswith('.pyc')
    }


class BuildPyWithMim(build_py):
    """build_py, and a copy of MIM_CONTENT in ``yolo_world_rep/.mim``.

    The copies go into the build folder only: the source tree stays as it
    is. An editable install gets none. Its configs and tools are those of
    the checkout, and mim would not see them anyway: it looks in
    site-packages, where an editable install has only a pointer.
    """

    def _mim_targets(self) -> Dict[str, str]:
        if self.editable_mode:
            return {}
        return {
            file: os.path.join(self.build_lib, target)
            for file, target in mim_files().items()
        }

    def run(self) -> None:
        super().run()
        # A file renamed since an earlier build must not be shipped.
        shutil.rmtree(
            os.path.join(self.build_lib, PACKAGE, '.mim'), ignore_errors=True)
        for file, target in self._mim_targets().items():
            self.mkpath(os.path.dirname(target))
            self.copy_file(file, target)

    def get_outputs(self, include_bytecode: bool = True) -> list:
        return [
            *super().get_outputs(include_bytecode),
            *self._mim_targets().values()
        ]

    def get_output_mapping(self) -> Dict[str, str]:
        targets = self._mim_targets().items()
        return {
            **super().get_output_mapping(),
            **{target: file for file, target in targets}
        }

    def get_source_files(self) -> list:
        """What an sdist must hold so that a wheel can be built from it."""
        return [*super().get_source_files(), *mim_files()]


setup(cmdclass={'build_py': BuildPyWithMim})
