"""A loop of mmengine's runner that is built, with a data set and no more."""
from types import SimpleNamespace

from mmengine.runner import BaseLoop


class Loop(BaseLoop):

    def __init__(self, names, **attributes):
        metainfo = dict(classes=names)
        self.dataset = SimpleNamespace(metainfo=metainfo, **attributes)

    @property
    def dataloader(self):
        return SimpleNamespace(dataset=self.dataset)

    def run(self):
        raise NotImplementedError
