"""Your own data: two annotation files in COCO's format and two folders of images, named on the command line.

    data.train_json=FILE data.train_images=FOLDER data.val_json=FILE data.val_images=FOLDER

The classes are the categories of the training file; `model.num_classes = num_classes` counts them.
"""

from detectron2.config import LazyCall as L

from datasets_utils.coco_format import CocoFiles, check_before_training, count_classes, register_coco_format
from projects.diffu_base import get_config

dataloader = get_config("common/data/coco_detr").dataloader

data = dict(
    train_json="",
    train_images="",  # the folder that the file names in train_json are relative to
    val_json="",
    val_images="",
    drop_faulty=False,  # True: leave out what the check finds faulty; otherwise training refuses it
    read_images=True,  # False: the check only looks whether the images are there
    mended_dir="./output/custom_data",  # the annotation files without what was left out
)
num_classes = L(count_classes)(json_file="${data.train_json}")

dataloader.train.dataset.names = L(register_coco_format)(
    name="custom_train",
    files=L(CocoFiles)(
        json_file="${data.train_json}", image_root="${data.train_images}", class_file="${data.train_json}"
    ),
    mended_dir="${data.mended_dir}",
    drop_faulty="${data.drop_faulty}",
    read_images="${data.read_images}",
)
dataloader.test.dataset.names = L(register_coco_format)(
    name="custom_val",
    files=L(CocoFiles)(json_file="${data.val_json}", image_root="${data.val_images}", class_file="${data.train_json}"),
    mended_dir="${data.mended_dir}",
    drop_faulty="${data.drop_faulty}",
    read_images="${data.read_images}",
)
# A run calls this before anything that takes time. An evaluation leaves `train` out.
data_check = L(check_before_training)(
    train="${dataloader.train.dataset.names.files}",
    test="${dataloader.test.dataset.names.files}",
    drop_faulty="${data.drop_faulty}",
    read_images="${data.read_images}",
)
