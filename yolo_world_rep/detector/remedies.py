"""What to set where a checkpoint does not fit a model."""
import shlex
from typing import Any, List, Mapping, Sequence

from torch import Tensor, nn

from yolo_world_rep.reparam import META_KEY, Description, description_of
from yolo_world_rep.reparam.fit import Fit

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
HEAD_ALONE = ('The head alone is folded in the file, and the model\'s neck is '
              'folded too: fold its source again as a whole, with '
              'yolo-world-rep reparameterize.')
NO_PROMPTS = ('The file has no prompts: set model.embedding_path='
              '\'CLASSES.npy\' (yolo-world-rep embed makes that file).')


def remedies(fit: Fit, model: nn.Module, state: Mapping[str, Any],
             meta: Mapping[str, Any], path: Any) -> List[str]:
    """The shortest mends of a checkpoint that does not fit, a sentence each.

    ``state`` is what the checkpoint holds for the model.
    """
    wanted = model.state_dict()
    # The file, the model, what the one has alone, and what the other has.
    have, want, more, less = (
        description_of({name: each[name] for name in names
                        if isinstance(each[name], Tensor)})
        for each, names in ((state, state), (wanted, wanted),
                            (state, fit.unexpected), (wanted, fit.missing)))
    file = shlex.quote(str(path or 'FILE'))
    folded_model = getattr(model, 'reparameterized', False)
    if folded_model and have.folded and have.neck == 'text' and more.guided:
        return [HEAD_ALONE]
    if folded_model and (more.guided or more.contrasts):
        command = (f'yolo-world-rep fold {file} --text-embed checkpoint'
                   if have.prompts else
                   f'yolo-world-rep fold {file} --words cat dog')
        form = ' --head-only' if want.neck == 'text' else ''
        return [f'The file is a text-conditioned YOLO-World and the model is '
                f'reparameterized: fold its classes first, such as with '
                f'{command}{form}, and load the file it writes.']
    if less.contrasts and have.folded:
        return [FOLDED]
    if have.head is not None and any(
            name.endswith(PROJECTION) for name in fit.missing) and not any(
                name.endswith('.attn_block.bias') for name in wanted):
        return [OLD_EFFICIENT]
    if None not in (have.size, want.size) and have.size != want.size:
        return [f'The file is of size {have.size} and the model of size '
                f'{want.size}: take the config of size {have.size}.']
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
    return found + _of_rows(have, want, meta, file)


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
             file: str) -> List[str]:
    classes, wanted = have.classes, want.classes
    guides, others = have.guides, want.guides
    if None in (guides, others):  # one has none, or may do without
        guides = others = None
    if classes is None or wanted is None or (
            (classes, guides) == (wanted, others)):
        return []
    about = meta.get(META_KEY)
    change = ('for others fold its source again: yolo-world-rep '
              'reparameterize --text-embed CLASSES.npy')
    if isinstance(about, Mapping) and about.get('text_layers'):
        change = (f'yolo-world-rep edit {file} --replace CLASSES.npy --out '
                  f'NEW.pth puts others in their place')
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
    """What to do about a checkpoint of other classes than the data's.

    ``about`` is what folding noted in the checkpoint, if anything.
    """
    file = shlex.quote(str(path or 'FILE'))
    if about.get('text_layers'):
        if set(wanted) <= set(names):
            keep = ' '.join(map(shlex.quote, wanted))
            return (f'For the classes of the data run yolo-world-rep edit '
                    f'{file} --out NEW.pth --keep {keep}, and set load_from.')
        return (f'For the classes of the data run yolo-world-rep edit {file} '
                f'--out NEW.pth --replace CLASSES.npy (of yolo-world-rep '
                f'embed), and set load_from.')
    if sorted(names) == sorted(wanted):
        return ('Set class_names (metainfo=dict(classes=...) of the data '
                'sets) and the categories of the annotation files to the '
                'order of the checkpoint.')
    return ('For the classes of the data fold its source with their '
            'embeddings, yolo-world-rep reparameterize --text-embed '
            'CLASSES.npy, and set load_from.')
