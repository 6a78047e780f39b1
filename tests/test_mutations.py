import ast
import shutil

import mutations
import pytest


@pytest.mark.parametrize('mutation', mutations.MUTATIONS,
                         ids=lambda mutation: mutation.name)
def test_fits_the_source_and_compiles(mutation, tmp_path):
    source = mutations.REPOSITORY / 'yolo_world_rep' / mutation.file
    copy = tmp_path / mutation.file
    copy.parent.mkdir(parents=True)
    shutil.copy(source, copy)
    mutation.apply(tmp_path)
    before, after = (ast.dump(ast.parse(path.read_text()))
                     for path in (source, copy))
    assert before != after


def test_the_tests_that_are_to_notice_are_there():
    assert all((mutations.REPOSITORY / path).is_file()
               for path in mutations.TESTS)


def test_one_that_does_not_fit_is_named(tmp_path):
    (tmp_path / 'a.py').write_text('x = 1\n')
    with pytest.raises(ValueError, match="'gone'.* 0 times in a.py"):
        mutations.Mutation('gone', 'a.py', 'y', 'z').apply(tmp_path)
