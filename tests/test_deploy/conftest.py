"""Images for the tests of the deployment."""
import cv2
import numpy as np
import pytest


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """A folder of six pictures of noise and rectangles."""
    folder = tmp_path_factory.mktemp('images')
    random = np.random.default_rng(0)
    for number in range(6):
        image = random.integers(0, 256, (50, 80, 3), np.uint8)
        cv2.rectangle(image, (10, 5), (30 + 5 * number, 40), (9, 200, 30), -1)
        cv2.imwrite(str(folder / f'{number}.png'), image)
    return folder
