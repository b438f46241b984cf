"""A user's own data in the formats of labelling tools, as annotation files in COCO's format with folders of images.

`find_own_data` recognises what lies in a folder: COCO files (also as Roboflow, CVAT and FiftyOne export them), YOLO's
text files, VOC's and CVAT's XML. It converts what is not in COCO's format, and splits what has no validation part.
"""

from .find import OwnData, find_own_data
from .split import split_images

__all__ = ["OwnData", "find_own_data", "split_images"]
