"""Tensors of ONNX files that lie in other files are found, all of them."""
import pytest

from yolo_world_rep.inference.external_weights import check_weights_inside

onnx = pytest.importorskip('onnx')
helper = onnx.helper


def tensor(name='weight', external=False):
    found = helper.make_tensor(name, onnx.TensorProto.FLOAT, [1],
                               b'abcd', raw=True)
    if external:
        found.ClearField('raw_data')
        found.data_location = onnx.TensorProto.EXTERNAL
        found.external_data.add(key='location', value='weights.bin')
    return found


def sparse(values):
    return helper.make_sparse_tensor(
        values, helper.make_tensor('at', onnx.TensorProto.INT64, [1], [0]),
        [4])


def graph(*nodes, initializer=(), **more):
    return helper.make_graph(list(nodes), 'graph', [], [],
                             initializer=list(initializer), **more)


def node(**attributes):
    return helper.make_node('Op', [], ['out'], **attributes)


# Each place where ONNX's schema has a tensor.
PLACES = dict(
    initializer=lambda t: graph(initializer=[tensor('first'), t]),
    sparse_initializer=lambda t: graph(sparse_initializer=[sparse(t)]),
    attribute=lambda t: graph(node(), node(number=1, value=t)),
    attributes=lambda t: graph(node(values=[tensor('first'), t])),
    sparse_attribute=lambda t: graph(node(value=sparse(t))),
    sparse_attributes=lambda t: graph(node(values=[sparse(t)])),
    branch=lambda t: graph(node(branch=graph(initializer=[t]))),
    branches=lambda t: graph(
        node(branches=[graph(), graph(node(value=t))])),
)


def write(path, content, **more):
    model = helper.make_model(content, **more)
    path.write_bytes(model.SerializeToString())
    return path


def check(path, external):
    if external:
        with pytest.raises(ValueError, match='weights in another file'):
            check_weights_inside(path, path.read_bytes())
    else:
        check_weights_inside(path, path.read_bytes())


@pytest.mark.parametrize('external', [True, False])
@pytest.mark.parametrize('place', PLACES)
def test_in_a_graph(place, external, tmp_path):
    content = PLACES[place](tensor(external=external))
    check(write(tmp_path / 'm.onnx', content), external)


@pytest.mark.parametrize('external', [True, False])
def test_in_a_function_and_in_training(external, tmp_path):
    value = tensor(external=external)
    function = helper.make_function(
        'ours', 'Op', [], [], [node(value=value)],
        [helper.make_opsetid('', 18)])
    check(write(tmp_path / 'f.onnx', graph(), functions=[function]), external)
    model = helper.make_model(graph())
    model.training_info.add().algorithm.CopyFrom(graph(initializer=[value]))
    (tmp_path / 't.onnx').write_bytes(model.SerializeToString())
    check(tmp_path / 't.onnx', external)


@pytest.mark.parametrize('mark', ['data_location', 'external_data'])
def test_one_of_both_marks_is_enough(mark, tmp_path):
    value = tensor(external=True)
    value.ClearField(mark)
    check(write(tmp_path / 'm.onnx', graph(initializer=[value])), True)


def test_the_table_is_that_of_the_schema():
    """A field for tensors that a newer ONNX adds is known here."""
    from yolo_world_rep.inference import external_weights
    names = dict(model='Model', graph='Graph', node='Node',
                 attribute='Attribute', sparse='SparseTensor',
                 function='Function', training='TrainingInfo',
                 tensor='Tensor')
    protos = {kind: getattr(onnx, f'{name}Proto').DESCRIPTOR
              for kind, name in names.items()}
    kinds = {proto.name: kind for kind, proto in protos.items()}
    for kind, table in external_weights.FIELDS.items():
        assert table == {
            field.number: kinds[field.message_type.name]
            for field in protos[kind].fields
            if field.message_type and field.message_type.name in kinds}
    fields = protos['tensor'].fields_by_name
    assert external_weights.EXTERNAL_DATA == fields['external_data'].number
    assert external_weights.DATA_LOCATION == fields['data_location'].number


@pytest.mark.parametrize('cut', [1, 5, 20])
def test_part_of_a_file(cut, tmp_path):
    path = write(tmp_path / 'm.onnx', graph(initializer=[tensor()]))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match='m.onnx cannot be read'):
        check_weights_inside(path, path.read_bytes())
