"""The ``nms`` contract: what follows the boxes and scores of all cells.

It is written in ONNX's own notation, as no module of torch computes it.
"""
from typing import TYPE_CHECKING, Tuple

from yolo_world_rep.inference.spec import Spec

if TYPE_CHECKING:
    import onnx

INPUTS = ('cell_boxes', 'cell_scores')
COEFFICIENTS = 'cell_coefficients'

# B images, P cells, N classes, K detections, S survivors in all images.
# Scores that take no part become 0, which is above no threshold.
HEAD = """
<ir_version: {ir_version}, opset_import: ["": {opset}]>
suppression (float[{batch}, P, 4] all_boxes, float[{batch}, P, N] all_scores
             {coefficients_in})
    => (int64[{batch}, 1] num_dets, float[{batch}, {limit}, 4] boxes,
        float[{batch}, {limit}] scores, int64[{batch}, {limit}] labels
        {coefficients_out})
{{
    zero = Constant<value_int=0>()
    one = Constant<value_int=1>()
    minus_one = Constant<value_int=-1>()
    none = Constant<value_float=0.0>()
    absent = Constant<value_float=-1.0>()
    axis_1 = Constant<value_ints=[1]>()
    axis_2 = Constant<value_ints=[2]>()
    limit = Constant<value_int={limit}>()
    limits = Constant<value_ints=[{limit}]>()
    iou_threshold = Constant<value_float={iou_threshold!r}>()
    score_threshold = Constant<value_float={score_threshold!r}>()
    BNP = Transpose<perm=[0, 2, 1]>(all_scores)
"""

# A cell is of its best class alone.
ONE_LABEL = """
    axes_0_2 = Constant<value_ints=[0, 2]>()
    winner = ArgMax<axis=1, keepdims=1>(BNP)
    num_classes = Shape<start=1, end=2>(BNP)
    num_classes_0 = Squeeze(num_classes)
    classes = Range(zero, num_classes_0, one)
    classes_N = Unsqueeze(classes, axes_0_2)
    wins = Equal(winner, classes_N)
    single = Where(wins, BNP, none)
"""

# Each class has a minimum score.
CLASS_SCORES = """
    class_scores = Constant<value_floats={class_scores}>()
    class_scores_N1 = Unsqueeze(class_scores, axis_1)
    passes = Greater({scores}, class_scores_N1)
    passed = Where(passes, {scores}, none)
"""

# The best so many candidates go into the suppression.
CAPPED = """
    cap = Constant<value_ints=[{nms_pre}]>()
    rows = Constant<value_ints=[0, -1]>()
    flat = Reshape({scores}, rows)
    flat_size = Shape<start=1, end=2>(flat)
    taken = Min(cap, flat_size)
    best, best_place = TopK<axis=1, largest=1, sorted=0>(flat, taken)
    floor = ReduceMin<keepdims=1>(best, axis_1)
    floor_B11 = Unsqueeze(floor, axis_2)
    reaches = GreaterOrEqual({scores}, floor_B11)
    capped = Where(reaches, {scores}, none)
"""

# The classes as one: a cell has one box, and of its classes the best stays.
AGNOSTIC = """
    label_B1P = ArgMax<axis=1, keepdims=1>({scores})
    any_class = ReduceMax<keepdims=1>({scores}, axis_1)
"""

# NaN is above no threshold, so that what is given is marked with it: by 0
# times the sum of all scores, which is 0 but for NaN.
TAIL = """
    picked = NonMaxSuppression(all_boxes, {scores}, limit, iou_threshold,
                               score_threshold)
    picked_score = GatherND({scores}, picked)
    thirds = Constant<value_ints=[1, 1, 1]>()
    image_S1, label_S1, cell_S1 = Split<axis=1>(picked, thirds)
    place_S2 = Concat<axis=1>(image_S1, cell_S1)
    picked_box = GatherND(all_boxes, place_S2)

    image_1S = Transpose<perm=[1, 0]>(image_S1)
    num_images = Shape<start=0, end=1>(all_boxes)
    num_images_0 = Squeeze(num_images)
    image_range = Range(zero, num_images_0, one)
    images_B1 = Unsqueeze(image_range, axis_1)
    own = Equal(images_B1, image_1S)
    own_score = Where(own, picked_score, absent)

    padding_shape = Concat<axis=0>(num_images, limits)
    padding = Expand(absent, padding_shape)
    padded_score = Concat<axis=1>(own_score, padding)
    top, top_place = TopK<axis=1, largest=1, sorted=1>(padded_score, limits)
    found = Greater(top, none)

    label_S = {label}
    no_label = Expand(minus_one, limits)
    padded_label = Concat<axis=0>(label_S, no_label)
    top_label = Gather<axis=0>(padded_label, top_place)
    box_shape = Constant<value_ints=[{limit}, 4]>()
    no_box = Expand(none, box_shape)
    padded_box = Concat<axis=0>(picked_box, no_box)
    top_box = Gather<axis=0>(padded_box, top_place)

    found_BK1 = Unsqueeze(found, axis_2)
    counted = Cast<to=7>(found)
    num_dets = ReduceSum<keepdims=1>(counted, axis_1)
    boxes = Where(found_BK1, top_box, none)
    all_axes = Constant<value_ints=[1, 2]>()
    total = ReduceSum<keepdims=0>(all_scores, all_axes)
    mark = Mul(total, none)
    mark_B1 = Unsqueeze(mark, axis_1)
    found_score = Where(found, top, none)
    scores = Add(found_score, mark_B1)
    labels = Where(found, top_label, minus_one)
"""

# The coefficients of the masks go where the boxes go.
MASKS = """
    picked_coefficients = GatherND(all_coefficients, place_S2)
    coefficients_shape = Constant<value_ints=[{limit}, {masks}]>()
    no_coefficients = Expand(none, coefficients_shape)
    padded_coefficients = Concat<axis=0>(picked_coefficients, no_coefficients)
    top_coefficients = Gather<axis=0>(padded_coefficients, top_place)
    coefficients = Where(found_BK1, top_coefficients, none)
"""


def inputs_of(spec: Spec) -> Tuple[str, ...]:
    """Names of what the suppression takes, in order."""
    return (*INPUTS, COEFFICIENTS, 'prototypes') if spec.mask_channels else (
        INPUTS)


def suppression_text(spec: Spec, num_cells: int, ir_version: int,
                     opset: int) -> str:
    """The graph as text; ``num_cells`` is P, 0 if it is not fixed."""
    parts, scores, num_candidates = [HEAD], 'BNP', num_cells
    label = 'Squeeze(label_S1, axis_1)'
    if spec.num_classes > 1 and not spec.multi_label:
        parts.append(ONE_LABEL)
        scores = 'single'
    else:
        num_candidates *= spec.num_classes
    if spec.class_scores:
        parts.append(CLASS_SCORES.replace('{scores}', scores))
        scores = 'passed'
    if not num_cells or num_candidates > spec.nms_pre:
        parts.append(CAPPED.replace('{scores}', scores))
        scores = 'capped'
    if spec.class_agnostic:
        parts.append(AGNOSTIC.replace('{scores}', scores))
        scores, label = 'any_class', 'GatherND(label_B1P, picked)'
    parts.append(TAIL)
    batch = 'batch' if spec.batch is None else spec.batch
    limit, masks = spec.max_detections, spec.mask_channels
    coefficients_in = coefficients_out = ''
    if masks:
        parts.append(MASKS)
        coefficients_in = f', float[{batch}, P, {masks}] all_coefficients'
        coefficients_out = f', float[{batch}, {limit}, {masks}] coefficients'
    return ''.join([*parts, '}}']).format(
        batch=batch, limit=limit, masks=masks, coefficients_in=coefficients_in,
        coefficients_out=coefficients_out, ir_version=ir_version, opset=opset,
        iou_threshold=float(spec.iou_threshold),
        score_threshold=float(min(spec.thresholds)), nms_pre=spec.nms_pre,
        class_scores=list(map(float, spec.thresholds)), label=label,
        scores=scores)


def add_suppression(decoded: 'onnx.ModelProto',
                    spec: Spec) -> 'onnx.ModelProto':
    """A model with the outputs :func:`inputs_of`, made one of ``nms``."""
    import onnx
    import onnx.compose
    import onnx.parser
    opset = next(entry.version for entry in decoded.opset_import
                 if entry.domain == '')
    num_cells = 0 if spec.dynamic else sum(
        spec.image_size[0] // stride * (spec.image_size[1] // stride)
        for stride in spec.strides)
    suppression = onnx.parser.parse_model(
        suppression_text(spec, num_cells, decoded.ir_version, opset))
    merged = onnx.compose.merge_models(
        decoded, suppression, io_map=list(zip(
            inputs_of(spec)[:3],
            ('all_boxes', 'all_scores', 'all_coefficients'))))
    if spec.mask_channels:
        first, *others = merged.graph.output  # the prototypes
        del merged.graph.output[:]
        merged.graph.output.extend([*others, first])
    # It lists the operator sets of both. ONNX wants a domain once, and the
    # quantizer of ONNX Runtime insists on it.
    del merged.opset_import[:]
    merged.opset_import.extend(decoded.opset_import)
    return merged
