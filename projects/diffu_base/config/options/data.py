"""`dataloader`: which images are read, how they are augmented, and how they come together in batches."""

from typing import Literal

from pydantic import Field

from .base import Options
from .kinds import Count, Natural, Part, Share
from .registry import explains


class DataloaderOptions(Options):
    """`dataloader`: the data of training and of evaluation."""

    train: Part | None = Field(
        None, description="The loader of training batches: `build_train_loader` or `build_repeat_factor_loader`."
    )
    test: Part | None = Field(None, description="The loader of the images to evaluate on: `build_test_loader`.")
    evaluator: Part | None = Field(
        None, description="What measures the detections: `CocoStyleEvaluator` or `LvisStyleEvaluator`."
    )
    test_time_augmentation: Part | None = Field(
        None, description="Evaluation of several sizes and mirror images of each image: `AugmentedDetector`."
    )


@explains("datasets_utils.loader.build_train_loader")
class TrainLoaderOptions(Options):
    """An endless loader of training batches. It continues where a resumed run stopped."""

    dataset: Part = Field(description="The images and their annotations: `get_detection_dataset_dicts`.")
    mapper: Part = Field(description="Reads an image and augments it: `DetrDatasetMapper`.")
    total_batch_size: Count = Field(
        description="Images per update of the weights, over all processes; the number of processes must divide it."
    )
    num_workers: Natural = Field(
        0, description="Processes that load images, for each GPU; 0 loads them in the training process itself."
    )
    seed: Natural = Field(
        0, description="Seed of the order and the augmentation of the images; the run's `train.seed` is added to it."
    )
    start_iter: Natural = Field(0, description="Batches to skip. The run sets it when it resumes.")
    aspect_ratio_grouping: bool = Field(
        True, description="Wide and tall images never share a batch, which saves padding."
    )
    sampler: Part | None = Field(
        None,
        description="Another endless stream of image numbers, the same in all processes; null shuffles all images anew "
        "in each epoch.",
    )


@explains("datasets_utils.sampling.build_repeat_factor_loader")
class RepeatFactorLoaderOptions(TrainLoaderOptions):
    """`build_train_loader` in which images with rare classes come more often (repeat-factor sampling of LVIS)."""

    repeat_thresh: float = Field(
        gt=0,
        le=1,
        description="An image whose rarest class is in a smaller share of all images than this comes more than once "
        "per epoch.",
    )


@explains("datasets_utils.loader.build_test_loader")
class EvaluationLoaderOptions(Options):
    """A loader that passes once over the images, in their order."""

    dataset: Part = Field(description="The images: `get_detection_dataset_dicts`.")
    mapper: Part = Field(description="Reads an image and resizes it: `DetrDatasetMapper`.")
    batch_size: Count = Field(1, description="Images per batch of each process.")
    num_workers: Natural = Field(0, description="Processes that load images, for each GPU; 0 starts none.")


@explains("detectron2.data.build.get_detection_dataset_dicts")
class DatasetDictsOptions(Options):
    """The list of images and annotations of one or several data sets (detectron2)."""

    names: str | list[str] = Field(
        description="The registered name of the data set, or a list of names; own data take `register_coco_format`."
    )
    filter_empty: bool = Field(True, description="Images without annotations are left out.")


@explains("datasets_utils.detr_mapper.DetrDatasetMapper")
class MapperOptions(Options):
    """Reads an image, augments it together with its annotations, and makes tensors of both."""

    augmentation: list[Part] = Field(
        description="The augmentations in their order, such as `RandomFlip` and `FastResizeShortestEdge`."
    )
    augmentation_with_crop: list[Part] | None = Field(
        description="A second list of augmentations, which half of the images take instead; null: no image does."
    )
    is_train: bool = Field(True, description="Annotations are kept. Evaluation leaves them out.")
    mask_on: bool = Field(False, description="Masks are kept beside the boxes; models with masks need them to train.")
    img_format: Literal["RGB", "BGR"] = Field(
        "RGB", description="Order of the colour channels; it must be that of `model.input_format`."
    )


@explains("datasets_utils.coco_format.register_coco_format")
class RegisterOptions(Options):
    """Checks a data set in COCO's format and registers it; it stands where the data set's name belongs."""

    name: str = Field(description="The name under which the data set is registered.")
    files: Part = Field(description="Where the data set is: `CocoFiles`.")
    mended_dir: str = Field(
        description="The folder for the annotation file without faulty entries, if `drop_faulty` leaves some out."
    )
    drop_faulty: bool = Field(False, description="Faulty entries are left out; false refuses data with faults.")
    read_images: bool = Field(
        True, description="The check opens every image; false only looks whether the files are there."
    )


@explains("datasets_utils.coco_format.CocoFiles")
class CocoFilesOptions(Options):
    """Where a data set in COCO's format is."""

    json_file: str = Field(description="The annotation file.")
    image_root: str = Field(description="The folder that the annotation file's image names are relative to.")
    class_file: str = Field(
        description="The annotation file whose categories are the classes: that of the training images."
    )


@explains("datasets_utils.coco_format.check_before_training")
class CheckDataOptions(Options):
    """Checks the images and annotations of a run before it starts, and lists all faults."""

    train: Part | None = Field(description="Where the training data are: `CocoFiles`; null: there are none.")
    test: Part | None = Field(description="Where the data to evaluate on are: `CocoFiles`; null: there are none.")
    drop_faulty: bool = Field(False, description="Faults are reported, but the run goes on without the faulty entries.")
    read_images: bool = Field(
        True, description="The check opens every image; false only looks whether the files are there."
    )


@explains("datasets_utils.coco_format.count_classes")
class CountClassesOptions(Options):
    """The number of classes of an annotation file."""

    json_file: str = Field(description="The annotation file.")


class OwnDataOptions(Options):
    """`data`: your own data in COCO's format, for the configs whose names have `custom` in them."""

    train_json: str = Field("", description="The annotation file of the training images.")
    train_images: str = Field("", description="The folder that the file names in `train_json` are relative to.")
    val_json: str = Field("", description="The annotation file of the images to evaluate on.")
    val_images: str = Field("", description="The folder that the file names in `val_json` are relative to.")
    drop_faulty: bool = Field(
        False, description="Entries that the check finds faulty are left out; false refuses data with faults."
    )
    read_images: bool = Field(
        True, description="The check opens every image; false only looks whether the files are there."
    )
    mended_dir: str = Field(
        "./output/custom_data", description="The folder for annotation files without the faulty entries."
    )


@explains("datasets_utils.digit_scenes.scenes.DigitSceneSettings")
class DigitSceneOptions(Options):
    """Composed images of handwritten digits: the data of the demo."""

    num_train: Natural = Field(1000, description="Images to train on.")
    num_val: Natural = Field(100, description="Images to evaluate on.")
    image_size: list[int] = Field(
        [136, 168], description="The smallest and the largest side of an image, in pixels; 32 or more."
    )
    num_digits: list[int] = Field([2, 12], description="The fewest and the most digits in an image; 1 or more.")
    digit_size: list[int] = Field(
        [28, 52], description="The smallest and the greatest height of a digit, in pixels; 8 or more."
    )
    crowded_fraction: Share = Field(0.25, description="Share of the images whose digits are piled onto each other.")
    min_visible: Share = Field(0.6, description="Share of its pixels that every digit keeps visible at least.")
    train_class_weights: list[float] | None = Field(
        None,
        description="How often each of the ten digits comes in training, in proportion; null: all equally often.",
    )
    lvis: Part | None = Field(
        None, description="`LvisFormat` writes annotation files in LVIS's format; null writes COCO's."
    )
    seed: Natural = Field(0, description="Seed of all images.")


@explains("datasets_utils.digit_scenes.lvis_format.LvisFormat")
class LvisFormatOptions(Options):
    """Annotation files in LVIS's format, in which images are annotated for some classes only."""

    rare: Natural = Field(10, description="A class is called rare if at most so many training images hold it.")
    common: Natural = Field(100, description="A class is called common if at most so many training images hold it.")
    absent_share: Share = Field(
        0.5, description="Of the classes that an image lacks, the share that the file lists as absent."
    )
    open_share: Share = Field(
        0.1, description="Of the classes in an image, the share that is not annotated completely."
    )
