"""What this project registers, and the data sets of users and of detectron2 that have the same names."""

import importlib
from functools import partial

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import builtin, register_coco_instances
from detectron2.data.datasets.lvis import register_lvis_instances

import datasets_utils
from datasets_utils import catalogs
from datasets_utils.catalogs import CheckedLoader, DataSet, register
from datasets_utils.coco_format import CocoFiles, register_coco_format

OURS = {
    "lvis_v1_train": datasets_utils.register_lvis,
    "lvis_v1_val": datasets_utils.register_lvis,
    "lvis_v1_minival": datasets_utils.register_lvis,
    "v3det_train": datasets_utils.register_v3det,
    "v3det_val": datasets_utils.register_v3det,
    "digit_scenes_train": datasets_utils.register_digit_scenes,
    "digit_scenes_val": datasets_utils.register_digit_scenes,
    "digit_scenes_lvis_train": partial(datasets_utils.register_digit_scenes, lvis=True),
    "digit_scenes_lvis_val": partial(datasets_utils.register_digit_scenes, lvis=True),
}


@pytest.fixture(autouse=True)
def warned(monkeypatch):
    """The catalogs as detectron2's import leaves them; gives the warnings."""
    warnings = []
    monkeypatch.setattr(DatasetCatalog, "data", {})
    monkeypatch.setattr(MetadataCatalog, "data", {})
    monkeypatch.setattr(catalogs, "_registered", {})
    monkeypatch.setattr(catalogs.logger, "warning", warnings.append)
    builtin.register_all_coco(builtin._root)
    builtin.register_all_lvis(builtin._root)
    return warnings


def import_anew():
    importlib.reload(datasets_utils)


def clear(name):
    for catalog in (DatasetCatalog, MetadataCatalog):
        catalog.pop(name, None)


def by_function(name):
    DatasetCatalog.register(name, lambda: [{"file_name": "own.jpg"}])


def by_detectron2_as_coco(name):
    register_coco_instances(name, {"thing_classes": ["own"]}, f"/own/{name}.json", "/own")


def by_detectron2_as_lvis(name):
    """The usual file names of LVIS in another folder."""
    register_lvis_instances(name, {}, f"/own/lvis/{name}.json", "/own/coco/")


def by_metadata(name):
    """An evaluator needs no more."""
    MetadataCatalog.get(name).set(json_file="/own/truth.json", thing_classes=["own"])


WAYS = [by_function, by_detectron2_as_coco, by_detectron2_as_lvis, by_metadata]


def content(name):
    return DatasetCatalog.data.get(name), MetadataCatalog.data.get(name)


def test_importing_registers_all_and_warns_of_nothing(warned):
    import_anew()
    import_anew()
    assert OURS.keys() <= DatasetCatalog.keys() and warned == []
    for name in (*OURS, "coco_2017_train", "coco_2017_val"):
        assert isinstance(DatasetCatalog[name], CheckedLoader), "not detectron2's, which needs the lvis package"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", OURS)
def test_importing_keeps_a_users_data_set_and_says_so(name, way, warned):
    clear(name)
    way(name)
    before = content(name)
    import_anew()
    assert content(name) == before and content(name)[1] is before[1]
    assert all(isinstance(DatasetCatalog[other], CheckedLoader) for other in OURS if other != name)
    (warning,) = warned
    call = OURS[name].func.__name__ if isinstance(OURS[name], partial) else OURS[name].__name__
    assert f"'{name}'" in warning and f"datasets_utils.{call}(" in warning


@pytest.mark.parametrize(
    ("name", "json_file", "source"),
    [
        ("lvis_v1_train", "lvis/lvis_v1_train.json", "lvisdataset.org"),
        ("lvis_v1_minival", "lvis/lvis_v1_minival.json", "mdetr"),
        ("v3det_val", "v3det/annotations/v3det_2023_v1_val.json", "github.com/V3Det/V3Det"),
        ("digit_scenes_train", "digit_scenes/annotations/instances_train.json", "python tools/build_digit_scenes.py"),
        ("digit_scenes_lvis_val", "digit_scenes_lvis/annotations/instances_val.json", "--format lvis"),
        ("coco_2017_train", "coco/annotations/instances_train2017.json", "annotations_trainval2017.zip"),
        ("coco_2017_val", "coco/annotations/instances_val2017.json", "cocodataset.org"),
    ],
)
def test_missing_data_are_an_error_that_names_file_variable_and_source(name, json_file, source, tmp_path, monkeypatch):
    if name not in OURS:  # detectron2 has read the variable on its import
        tmp_path = builtin._root
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    import_anew()
    for act in (DatasetCatalog.get, catalogs.require_registered):
        with pytest.raises(FileNotFoundError) as error:
            act(name)
        for part in (f"{tmp_path}/{json_file} ", "DETECTRON2_DATASETS", f"'{tmp_path}'", source):
            assert part in str(error.value)


def test_other_data_sets_are_left_to_their_own_errors():
    by_function("own")
    catalogs.require_registered("own")
    catalogs.require_registered("not registered at all")


def test_one_warning_names_all_of_a_kind(warned):
    by_function("v3det_train"), by_function("v3det_val")
    import_anew()
    (warning,) = warned
    assert "'v3det_train', 'v3det_val'" in warning


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["lvis_v1_val", "v3det_val", "digit_scenes_val", "digit_scenes_lvis_val"])
def test_calling_replaces_no_data_set_of_a_user_until_it_is_removed(name, way, tmp_path):
    clear(name)
    way(name)
    import_anew()
    names = [name, name.replace("_val", "_train")]
    before = [content(each) for each in names]
    with pytest.raises(ValueError, match=rf"'{name}'.*MetadataCatalog.remove\(name\)"):
        OURS[name](tmp_path)
    assert [content(each) for each in names] == before
    clear(name)
    OURS[name](tmp_path)
    assert all(MetadataCatalog.get(each).json_file.startswith(str(tmp_path)) for each in names)


@pytest.mark.parametrize("name", OURS)
def test_calling_again_replaces_what_was_registered_here(name, tmp_path):
    import_anew()
    for root in (tmp_path / "one", tmp_path / "two"):
        OURS[name](root)
        assert MetadataCatalog.get(name).json_file.startswith(str(root))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["coco_2017_train", "coco_2017_val"])
def test_a_users_coco_stays_as_it_is(name, way, warned):
    clear(name)
    way(name)
    before = content(name)
    import_anew()
    assert content(name) == before and warned == []


def test_coco_need_not_be_there():
    clear("coco_2017_train")
    import_anew()
    assert "coco_2017_train" not in DatasetCatalog and "coco_2017_train" not in MetadataCatalog


@pytest.mark.parametrize("name", ["custom_train", "coco_2017_val"])
def test_own_data_replace_no_other_data_set_and_are_not_checked_in_vain(name):
    import_anew()
    if name == "custom_train":
        by_function(name)
    with pytest.raises(ValueError, match=f"'{name}'.*another name"):
        register_coco_format(name, CocoFiles("train.json", "train", "train.json"), mended_dir="")


def described(name, tmp_path, **metadata):
    return DataSet.of_coco_format(name, tmp_path / "x.json", tmp_path, source="write it", **metadata)


def test_other_metadata_replace_the_former(tmp_path):
    for classes in (["a"], ["a", "b"]):
        register(described("own", tmp_path, thing_classes=classes))
        assert MetadataCatalog.get("own").thing_classes == classes


def test_the_same_metadata_keep_what_loading_added(tmp_path):
    register(described("own", tmp_path))
    MetadataCatalog.get("own").thing_classes = ["a"]
    register(described("own", tmp_path))
    assert MetadataCatalog.get("own").thing_classes == ["a"]


def test_of_several_data_sets_all_or_none_are_registered(tmp_path):
    by_function("taken")
    with pytest.raises(ValueError, match="'taken'"):
        register(described("own", tmp_path), described("taken", tmp_path))
    assert "own" not in DatasetCatalog


def test_to_ask_for_metadata_takes_no_name(tmp_path):
    MetadataCatalog.get("own")
    register(described("own", tmp_path))
    assert MetadataCatalog.get("own").image_root == str(tmp_path)
