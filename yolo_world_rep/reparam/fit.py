"""Does a checkpoint fit a model? Pure functions on dicts of tensors."""
from typing import Dict, Iterable, List, Mapping, NamedTuple, Tuple

from torch import Tensor

from yolo_world_rep.utils.wording import some

SHOWN = 6  # names or groups listed of each kind before "and N more"


class Fit(NamedTuple):
    """The differences between a checkpoint and a model; true if none.

    Names that only the model has, names that only the checkpoint has, and
    (name, shape in the checkpoint, shape in the model) of the misshapen.
    """
    missing: Tuple[str, ...]
    unexpected: Tuple[str, ...]
    misshapen: Tuple[Tuple[str, Tuple[int, ...], Tuple[int, ...]], ...]

    def __bool__(self) -> bool:
        return not (self.missing or self.unexpected or self.misshapen)


def under(name: str, prefixes: Iterable[str]) -> bool:
    """Whether a tensor's name is one of ``prefixes`` or below one of them."""
    prefixes = [prefix.rstrip('.') for prefix in prefixes]
    return any(
        name == prefix or name.startswith(prefix + '.') for prefix in prefixes)


def compare(checkpoint: Mapping[str, Tensor],
            model: Mapping[str, Tensor]) -> Fit:
    """Compare the names and shapes of two state dicts.

    ``num_batches_tracked`` may be missing: early versions of torch had none,
    and the momentum of a batch norm makes it idle.
    """
    missing = tuple(name for name in model if name not in checkpoint
                    and not name.endswith('num_batches_tracked'))
    unexpected = tuple(name for name in checkpoint if name not in model)
    # A module's extra state has no shape.
    shapes = [(name, tuple(getattr(checkpoint[name], 'shape', ())),
               tuple(getattr(value, 'shape', ())))
              for name, value in model.items() if name in checkpoint]
    misshapen = tuple(row for row in shapes if row[1] != row[2])
    return Fit(missing, unexpected, misshapen)


def groups(names: Iterable[str], depth: int = 3) -> List[str]:
    """Names gathered by their first parts, ``'neck.reduce_layers.* (4)'``."""
    gathered: Dict[str, List[str]] = {}
    for name in names:
        gathered.setdefault('.'.join(name.split('.')[:depth]), []).append(name)
    return [members[0] if len(members) == 1 else f'{group}.* ({len(members)})'
            for group, members in gathered.items()]


def describe(fit: Fit) -> List[str]:
    """One sentence for each kind of difference, with a count and names."""
    sentences = []
    if fit.missing:
        sentences.append(f'{len(fit.missing)} tensor(s) of the model are '
                         f'missing in it: {some(groups(fit.missing), SHOWN)}.')
    if fit.unexpected:
        sentences.append(
            f'{len(fit.unexpected)} tensor(s) in it are not in the model: '
            f'{some(groups(fit.unexpected), SHOWN)}.')
    if fit.misshapen:
        shapes = [f'{name} is {found} in it and {wanted} in the model'
                  for name, found, wanted in fit.misshapen]
        sentences.append(f'{len(shapes)} tensor(s) have another shape: '
                         f'{some(shapes, SHOWN)}.')
    return sentences
