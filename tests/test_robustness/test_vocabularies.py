"""Files of class names and of their embeddings."""
import io
import json

import hostile
import numpy as np
import pytest
from hostile import attempt, damages, edits, inputs, scratch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from yolo_world_rep.text import (
    WordEncoder,
    check_vocabulary,
    embed_vocabulary,
    load_class_texts,
    load_embeddings,
    save_embeddings,
)
from yolo_world_rep.text.vocabulary import tidy_names

TEXTS = [['cat', 'kitten'], ['dog'], 'red circle']


def is_text(value):
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def expected_texts(entries):
    """Synonyms by the definition, None for what is no vocabulary."""
    if isinstance(entries, dict) and isinstance(
            entries.get('categories'), list):
        entries = [each.get('name') if isinstance(each, dict) else each
                   for each in entries['categories']]
    if not isinstance(entries, list) or not entries:
        return None
    found = [[each] if isinstance(each, str) else each for each in entries]
    sound = all(
        isinstance(each, list) and each and all(map(is_text, each))
        for each in found)
    return found if sound else None


class TestClassTexts:

    @inputs()
    @given(content=hostile.values, edit=edits(), odd=st.booleans(),
           coco=st.booleans())
    def test_json(self, content, edit, odd, coco):
        base = dict(categories=[dict(id=1, name='cat')]) if coco else TEXTS
        content = content if odd else edit(json.loads(json.dumps(base)))
        try:
            text = json.dumps(content)
        except ValueError:  # a number with too many digits
            return
        with scratch() as folder:
            path = folder / 'texts.json'
            path.write_text(text)
            expected = expected_texts(json.loads(text))

            def check(result):
                assert result == expected

            result = attempt('class texts: JSON',
                             lambda: load_class_texts(path), folder,
                             names=['texts.json'], check=check)
            assert (result is None) == (expected is None) or hostile.TIMES

    @inputs()
    @given(damage=damages(), name=st.sampled_from(
        ['t.json', 't.txt', 't.npy', 't']))
    def test_bytes(self, damage, name):
        data = damage(json.dumps(TEXTS, ensure_ascii=False).encode())
        with scratch() as folder:
            (folder / name).write_bytes(data)
            attempt('class texts: bytes',
                    lambda: load_class_texts(folder / name), folder,
                    names=[name])

    @inputs()
    @given(names=st.lists(hostile.names, max_size=5), mark=st.booleans())
    def test_lines(self, names, mark):
        """A class a line, whatever is within the line."""
        lines = [' '.join(name.split('\n')).replace('\r', '')
                 for name in names]
        with scratch() as folder:
            path = folder / 'names.txt'
            path.write_bytes(
                (b'\xef\xbb\xbf' if mark else b'')
                + '\n'.join(lines).encode('utf-8', 'replace'))
            expected = [line.encode('utf-8', 'replace').decode().strip()
                        for line in lines]
            while expected and not expected[-1]:
                expected.pop()
            if expected and not mark and expected[0].startswith('\ufeff'):
                return
            if tidy_names(expected)[1]:  # tests/test_text has these
                return

            def check(result):
                assert [name for name, in result] == expected

            attempt('class texts: lines', lambda: load_class_texts(path),
                    folder, names=['names.txt'], check=check)

    def test_a_key_twice(self, tmp_path):
        path = tmp_path / 't.json'
        path.write_text('{"categories": [{"name": "cat"}], '
                        '"categories": [{"name": "dog"}]}')
        with pytest.raises(ValueError, match="'categories' is there twice"):
            load_class_texts(path)

    @pytest.mark.parametrize('text', ['[' * 10**5, '{"a":' * 10**5])
    def test_nested_without_end(self, tmp_path, text):
        path = tmp_path / 't.json'
        path.write_text(text)
        with pytest.raises(ValueError, match='t.json.*nested too deeply'):
            load_class_texts(path)

    @pytest.mark.parametrize('count', [0, 1, 21_841])
    def test_how_many(self, tmp_path, count):
        path = tmp_path / 't.txt'
        path.write_text('\n'.join(f'class {i}' for i in range(count)))
        if not count:
            with pytest.raises(ValueError, match='name at least one'):
                load_class_texts(path)
            return
        texts = load_class_texts(path)
        check_vocabulary(texts, 't')
        rows = embed_vocabulary(WordEncoder(64), texts)
        saved = save_embeddings(tmp_path / 't.npy', rows,
                                [name for name, in texts])
        assert load_embeddings(tmp_path / 't.npy').names == saved.names
        assert len(set(saved.names)) == count


def saved(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


#: Headers of .npy files whose parsers have had errors of their own.
HEADERS = ["{'descr': '<f4', 'fortran_order': False, 'shape': (9**9**9, 1)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (10**12, 512)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': "
           "(1000000000000, 512), }",
           '-' * 9000 + '1', '(' * 3000, '{' * 200, "{'a'", "'''", '\\',
           "{'descr': [('x', '<f4', (9, 9))], 'fortran_order': False, "
           "'shape': (2, 2)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2)}",
           "{'descr': 'O', 'fortran_order': False, 'shape': (1, 1)}", '[]',
           '{}', '\x00', "{'descr': None, 'fortran_order': 1, 'shape': 2}"]


def with_header(header, version=1):
    text = header.encode('latin-1', 'replace')
    size = len(text).to_bytes(2 if version == 1 else 4, 'little')
    return b'\x93NUMPY' + bytes([version, 0]) + size + text + bytes(64)


class TestEmbeddings:

    @inputs()
    @given(array=arrays.arrays(
        st.sampled_from(['f2', 'f4', '>f8', 'i8', 'u1', '?', 'c16', 'S2',
                         'U2', 'M8[D]', 'i4,f4']),
        arrays.array_shapes(min_dims=0, max_dims=3, max_side=5)))
    def test_arrays(self, array):
        with scratch() as folder:
            (folder / 'e.npy').write_bytes(saved(array))

            def check(result):
                with np.errstate(over='ignore'):
                    expected = array.astype('f4')
                np.testing.assert_array_equal(result.vectors, expected)
                assert np.isfinite(expected).all()
                assert expected.ndim == 2

            attempt('embeddings: arrays',
                    lambda: load_embeddings(folder / 'e.npy'), folder,
                    names=['e.npy'], check=check)

    @inputs()
    @given(damage=damages(), version=st.sampled_from([1, 2, 3]),
           header=st.one_of(st.none(), st.sampled_from(HEADERS)))
    @example(damage=lambda data: data, version=1, header=HEADERS[3])
    @example(damage=lambda data: data, version=2, header=HEADERS[4])
    @example(damage=lambda data: data, version=1, header=HEADERS[2])
    def test_bytes(self, damage, version, header):
        data = damage(saved(np.eye(3)) if header is None else with_header(
            header, version))
        with scratch() as folder:
            (folder / 'e.npy').write_bytes(data)
            attempt('embeddings: bytes',
                    lambda: load_embeddings(folder / 'e.npy'), folder,
                    names=['e.npy'])

    @inputs()
    @given(sidecar=hostile.values, edit=edits(), odd=st.booleans(),
           damage=st.one_of(st.none(), damages()))
    def test_sidecars(self, sidecar, edit, odd, damage):
        with scratch() as folder:
            save_embeddings(folder / 'e.npy', np.eye(3), ['a', 'b', 'c'])
            path = folder / 'e.json'
            sound = json.loads(path.read_text())
            try:
                text = json.dumps(sidecar if odd else edit(sound))
            except ValueError:
                return
            path.write_bytes(damage(text.encode()) if damage else
                             text.encode())

            def check(result):
                content = json.loads(path.read_text())
                stated = content.get('names') if isinstance(
                    content, dict) else [
                        each if isinstance(each, str) else each[0]
                        for each in content]
                assert list(result.names) == stated

            attempt('embeddings: names beside them',
                    lambda: load_embeddings(folder / 'e.npy'), folder,
                    names=['e.json'], check=check)

    @inputs()
    @given(names=st.lists(hostile.names, min_size=2, max_size=2),
           scale=st.sampled_from([1., float('nan'), float('inf'), 0.]))
    def test_saving(self, names, scale):
        """Both files or neither."""
        with scratch() as folder:
            out = folder / 'out' / 'e.npy'

            def check(result):
                assert load_embeddings(out).names == tuple(names)

            attempt('embeddings: saving',
                    lambda: save_embeddings(
                        out, np.array([[1., 2.], [3., scale]]), names),
                    folder, folder / 'out', check=check)
            if not all(map(is_text, names)):
                assert not out.exists()
