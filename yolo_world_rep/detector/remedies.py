"""Fixes for a checkpoint that does not fit a model."""
from typing import Any, List, Mapping, Sequence

from torch import Tensor, nn

from yolo_world_rep.reparam import META_KEY, Description, description_of
from yolo_world_rep.reparam.editing import command_to_edit
from yolo_world_rep.reparam.fit import Fit
from yolo_world_rep.text.names import names_of
from yolo_world_rep.utils.wording import command

HEAD_MODULE = 'model.bbox_head.head_module'
BN_HEAD = ('The head of the file is of the batch-norm form (v2): set '
           f'{HEAD_MODULE}.use_bn_head=True.')
ADAPTER = ('The prompts of the file have an adapter: set '
           'model.use_mlp_adapter=True.')
L2_HEAD = ('The head of the file is of the L2 form (v1): set '
           f'{HEAD_MODULE}.use_bn_head=False.')
FOLDED = ('The file is folded and the model takes texts: give a config of a '
          'folded model (yolo-world-rep new-config writes one), or the '
          'text-conditioned checkpoint that the file was folded from.')
# Its rows are as many as the prototypes' layers are wide.
PROTOTYPES = 'bbox_head.head_module.proto_pred.conv1.conv.weight'
PROJECTION = '.attn_block.project_conv.conv.weight'
OLD_EFFICIENT = ('The file is of the efficient neck of version 0.1 of this '
                 'package, which had no attended branch and is another '
                 'network: train it again from a checkpoint with guides.')
AGAIN = ('fold other names into the text-conditioned checkpoint that the file '
         'was folded from, with yolo-world-rep fold')
HEAD_ALONE = ('The head alone is folded in the file, and the model\'s neck is '
              'folded too: fold its source again as a whole, with '
              'yolo-world-rep reparameterize.')
NO_PROMPTS = ('The file has no prompts: set model.embedding_path to a file of '
              'yolo-world-rep embed.')


def remedies(fit: Fit, model: nn.Module, state: Mapping[str, Any],
             meta: Mapping[str, Any], path: Any) -> List[str]:
    """The shortest fixes for a checkpoint that does not fit, a sentence each.

    ``state`` is what the checkpoint holds for the model.
    """
    wanted = model.state_dict()
    # The file, the model, what the one has alone, and what the other has.
    have, want, more, less = (
        description_of({name: each[name] for name in names
                        if isinstance(each[name], Tensor)})
        for each, names in ((state, state), (wanted, wanted),
                            (state, fit.unexpected), (wanted, fit.missing)))
    names = names_of(getattr(model, 'dataset_meta', None)) or ()
    folded_model = getattr(model, 'reparameterized', False)
    if folded_model and have.folded and have.neck == 'text' and more.guided:
        return [HEAD_ALONE]
    if folded_model and (more.guided or more.contrasts):
        texts = (['--text-embed', 'checkpoint'] if have.prompts else
                 ['--words', *(names or ('cat', 'dog'))])
        form = ['--head-only'] if want.neck == 'text' else []
        return [f'The file is text-conditioned and the model is folded: load '
                f'the file that comes of folding your classes into it, as by '
                f'{command("fold", path, *form, *texts)}.']
    if less.contrasts and have.folded:
        return [FOLDED]
    if have.head is not None and any(
            name.endswith(PROJECTION) for name in fit.missing) and not any(
                name.endswith('.attn_block.bias') for name in wanted):
        return [OLD_EFFICIENT]
    if None not in (have.size, want.size) and have.size != want.size:
        return [f'The file is of size {have.size} and the model of size '
                f'{want.size}: take a config of the size of the file.']
    found = _of_prototypes(fit)
    if more.head == 'bn':
        found.append(BN_HEAD)
    if more.adapter:
        found.append(ADAPTER)
    if have.head == 'l2' and less.head == 'bn':
        found.append(L2_HEAD)
    found += _of_widths(have, want)
    if not folded_model and less.prompts is not None:
        found.append(NO_PROMPTS)
    prompts = have.prompts or ()
    kind = '' if want.prompts else 'model.type=\'SimpleYOLOWorldDetector\', '
    if not folded_model and len(prompts) == 2 and prompts != want.prompts:
        found.append(
            f'The file has {prompts[0]} prompts of width {prompts[1]}: set '
            f'{kind}model.num_prompts={prompts[0]}, '
            f'model.prompt_dim={prompts[1]} and num_classes={prompts[0]}.')
    return found + _of_rows(have, want, meta, names, path)


def _of_prototypes(fit: Fit) -> List[str]:
    # The first version of this package scaled them by ``widen_factor``.
    return [
        f'Its prototypes are {found[0]} wide: set '
        f'{HEAD_MODULE}.proto_channels={found[0]}, in the config or as '
        f'`cfg_options`.' for name, found, _ in fit.misshapen
        if name == PROTOTYPES]


def _of_widths(have: Description, want: Description) -> List[str]:
    found = []
    widths = [each.class_branch and each.class_branch[0]
              for each in (have, want)]
    if None not in widths and widths[0] != widths[1]:
        found.append(
            f'The class branch of the file is {widths[0]} channels wide and '
            f'the model\'s {widths[1]}, as its width followed the number of '
            f'classes: set {HEAD_MODULE}.pretrain_classes={widths[0]}.')
    widths = [each.text_width for each in (have, want)]
    if None not in widths and widths[0] != widths[1]:
        found.append(
            f'The file takes texts of width {widths[0]} and the model of '
            f'{widths[1]}: set {HEAD_MODULE}.embed_dims={widths[0]}, and '
            f'model.neck.guide_channels where the neck takes texts '
            f'(text_channels={widths[0]} in our configs).')
    return found


def _of_rows(have: Description, want: Description, meta: Mapping[str, Any],
             names: Sequence[str], path: Any) -> List[str]:
    classes, wanted = have.classes, want.classes
    guides, others = have.guides, want.guides
    if None in (guides, others):  # one has none, or may do without
        guides = others = None
    if classes is None or wanted is None or (
            (classes, guides) == (wanted, others)):
        return []
    about = meta.get(META_KEY)
    change = AGAIN
    if isinstance(about, Mapping) and about.get('text_layers') and names:
        change = ('for yours run '
                  f'{command_to_edit(path, about.get("classes"), names)}')
    texts, mine, padding = f'{classes} class(es)', f'{wanted}', ''
    if guides:
        texts += f' and {guides} guides'
        mine += f' and {others}'
        padding = f', num_padding={guides - classes}'
    return [f'The file is folded for {texts} and the model for {mine}: set '
            f'num_classes={classes}{padding} and class_names to use its rows; '
            f'{change}.']


def mend_of_names(names: Sequence[str], wanted: Sequence[str],
                  about: Mapping[str, Any], path: Any) -> str:
    """The fix for a checkpoint whose classes are not the data's.

    ``about`` is what folding noted in the checkpoint, if anything.
    """
    if about.get('text_layers'):
        return (f'For the classes of the data take what this writes: '
                f'{command_to_edit(path, names, wanted)}.')
    if sorted(names) == sorted(wanted):
        return ('Set class_names (metainfo=dict(classes=...) of the data '
                'sets) and the categories of the annotation files to the '
                'order of the checkpoint.')
    return f'To load classes of the data, {AGAIN}, and set load_from.'
