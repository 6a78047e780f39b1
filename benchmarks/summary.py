"""Numbers of several seeds in few words."""
import statistics
from typing import Mapping, Sequence, Tuple

from yolo_world_rep.utils.files import PathLike, atomic_path

Panel = Tuple[str, Mapping[str, Sequence[float]]]


def spread(values: Sequence[float], form: str = '.3f') -> str:
    """Mean, and the standard deviation where there are several.

    Args:
        values (Sequence[float]): One a seed.
        form (str): How to print them. Defaults to '.3f'.
    """
    mean = format(statistics.mean(values), form)
    if len(values) == 1:
        return mean
    return f'{mean} ± {format(statistics.stdev(values), form.lstrip("+"))}'


def paired(values: Sequence[float], others: Sequence[float]) -> str:
    """Differences seed by seed: their mean, deviation and signs.

    Args:
        values (Sequence[float]): One a seed.
        others (Sequence[float]): Of the same seeds, in the same order.

    Raises:
        ValueError: If they are not as many.
    """
    if len(values) != len(others):
        raise ValueError(f'{len(values)} values and {len(others)} others: '
                         f'expected one of each for every seed.')
    differences = [a - b for a, b in zip(values, others)]
    above = sum(difference > 0 for difference in differences)
    return (f'{spread(differences, "+.3f")} '
            f'(greater in {above} of {len(differences)})')


def plot_seeds(path: PathLike, panels: Sequence[Panel],
               columns: int = 2) -> None:
    """Draw a dot a seed and a line at the mean, as a small SVG.

    Args:
        path (str | Path): The picture.
        panels (Sequence): Title and, by name, the values of each panel;
            names without values are left out.
        columns (int): Panels side by side. Defaults to 2.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    panels = [(title, {name: each for name, each in values.items() if each})
              for title, values in panels]
    rows = -(-len(panels) // columns)
    # Letters stay letters, and the same numbers give the same file.
    with rc_context({'svg.fonttype': 'none', 'svg.hashsalt': ''}):
        figure = Figure(figsize=(9, 2.1 * rows), layout='constrained')
        axes = figure.subplots(rows, columns, squeeze=False).flatten()
        for axis in axes[len(panels):]:
            axis.set_axis_off()
        for axis, (title, values) in zip(axes, panels):
            for height, each in enumerate(values.values()):
                mean = statistics.mean(each)
                axis.plot(each, [height] * len(each), 'o', alpha=0.5,
                          color='C0', markersize=5)
                axis.plot([mean, mean], [height - 0.3, height + 0.3],
                          color='black', linewidth=1.5)
            axis.set_title(title, fontsize=10)
            axis.set_yticks(range(len(values)), list(values), fontsize=8)
            axis.set_ylim(len(values) - 0.5, -0.5)
            axis.tick_params(axis='x', labelsize=8)
            axis.locator_params(axis='x', nbins=4)
            axis.grid(axis='x', alpha=0.3)
        with atomic_path(path) as temporary:
            FigureCanvasSVG(figure).print_svg(
                str(temporary), metadata=dict(Date=None))
