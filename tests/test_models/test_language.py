"""Text encoders that run with the model."""
import pytest
import torch
from mmyolo.registry import MODELS


def build(folder, **kwargs):
    return MODELS.build(
        dict(
            type='HuggingCLIPLanguageBackbone',
            model_name=str(folder),
            **kwargs))


def test_clip(clip_folder):
    """Unit rows, the same whatever else is in the batch."""
    model = build(clip_folder, frozen_modules=['all']).eval()
    texts = [['red circle', 'cat'], ['cat', 'a much longer text than that']]
    with torch.no_grad():
        found = model(texts)
        alone = model([['cat']])
    assert found.shape == (2, 2, 64)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(2, 2))
    torch.testing.assert_close(found[0, 1], alone[0, 0])
    torch.testing.assert_close(found[1, 0], alone[0, 0])
    assert (found[0, 0] - found[0, 1]).abs().max() > 1e-3


def test_clip_keys_are_those_of_checkpoints(clip_folder):
    keys = build(clip_folder).state_dict()
    assert 'model.text_projection.weight' in keys
    assert 'model.text_model.embeddings.token_embedding.weight' in keys


@pytest.mark.parametrize(('frozen', 'trainable'), [
    (['all'], lambda name: False),
    ([], lambda name: True),
    (['text_model'], lambda name: 'text_projection' in name),
])
def test_clip_freezes_what_is_named(clip_folder, frozen, trainable):
    model = build(clip_folder, frozen_modules=frozen).train()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == trainable(name), name


def test_clip_truncates_at_its_length(clip_folder):
    model = build(clip_folder).eval()
    with torch.no_grad():
        assert model([['word ' * 100]]).isfinite().all()


def test_clip_does_not_take_a_mask(clip_folder):
    build(clip_folder, add_mask=False)
    with pytest.raises(ValueError, match='add_mask=True is not supported'):
        build(clip_folder, add_mask=True)


def test_text_of_synonyms_is_looked_up_by_the_first(tmp_path):
    """Unless the file has the whole of it."""
    path = tmp_path / 'table.pth'
    words = ('', 'aerosol can', 'w/o helmet', 'w')
    torch.save({w: torch.full((4, ), float(i)) for i, w in enumerate(words)},
               path)
    backbone = MODELS.build(
        dict(type='PseudoLanguageBackbone', text_embed_path=str(path)))
    texts = ['aerosol can/spray can', 'aerosol can', 'w/o helmet', 'w/x', '']
    assert backbone([texts])[0, :, 0].tolist() == [1, 1, 2, 3, 0]
    with pytest.raises(ValueError, match=r"\['kite'\]"):
        backbone([['kite/aerosol can']])
