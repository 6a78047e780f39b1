import numpy as np

from yolo_world_rep.inference.matching import box_ious, pair_in_turn

LEFT, RIGHT = [0, 0, 10, 10], [20, 0, 30, 10]
NEVER = -np.inf


def test_overlaps():
    found = box_ious(
        np.array([LEFT, RIGHT], float),
        np.array([LEFT, [5, 0, 15, 10], [0, 5, 10, 10]], float))
    np.testing.assert_allclose(found, [[1, 1 / 3, 0.5], [0, 0, 0]])
    assert box_ious(np.zeros((0, 4)), np.array([LEFT])).shape == (0, 1)
    # A box without an area overlaps nothing, not even itself.
    assert box_ious(np.zeros((1, 4)), np.zeros((1, 4))) == 0


def test_who_comes_first_chooses_first():
    worth = np.array([[1., 2.], [-1., 3.], [5., 5.]])
    before = worth.copy()
    assert pair_in_turn(worth) == [(0, 1), (1, 0)]
    np.testing.assert_array_equal(worth, before)


def test_what_does_not_go_together_stays_alone():
    assert pair_in_turn(np.array([[NEVER, NEVER], [NEVER, 0.]])) == [(1, 1)]
    assert pair_in_turn(np.zeros((0, 3))) == []
    assert pair_in_turn(np.zeros((3, 0))) == []
    # Of equal ones the first.
    assert pair_in_turn(np.zeros((2, 2))) == [(0, 0), (1, 1)]
