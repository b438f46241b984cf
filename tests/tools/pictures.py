"""What tests of pictures share."""

import numpy as np
from PIL import Image

from datasets_utils import DetrDatasetMapper

MAPPER = DetrDatasetMapper([], None, is_train=False)


def assert_picture(path, min_width, min_height):
    with Image.open(path) as picture:
        assert picture.width >= min_width and picture.height >= min_height
        assert np.asarray(picture.convert("L")).std() > 20


def pixels(path):
    """(H, W, 3) uint8."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def panels(path):
    """Rows and columns of a picture of panels."""
    height, width, _ = pixels(path).shape
    return round(height / 365), round(width / 338)  # 2.6 inches at 130 dots, and 8 % for titles
