"""mmyolo's data preprocessor, for batches that carry texts."""
from mmyolo.models.data_preprocessors import YOLOv5DetDataPreprocessor
from mmyolo.registry import MODELS

from ...registry import register


@register(MODELS)
class YOLOWDetDataPreprocessor(YOLOv5DetDataPreprocessor):
    """:class:`YOLOv5DetDataPreprocessor` that passes texts on.

    mmyolo's class rebuilds the dict of a training batch from the keys that
    it knows and drops all others. Testing needs nothing: there, texts are
    a field of each data sample. Made for batches of
    :func:`~yolo_world_rep.datasets.yolow_collate`.
    """

    #: What of a training batch goes to the model besides what mmyolo keeps.
    text_keys = ('texts', 'is_detection')

    def forward(self, data: dict, training: bool = False) -> dict:
        data = self.cast_data(data)
        output = super().forward(data, training)
        if training:
            for key in self.text_keys:
                if key in data['data_samples']:
                    output['data_samples'][key] = data['data_samples'][key]
        return output
