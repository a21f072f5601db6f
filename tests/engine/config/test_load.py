"""Every config parses, has the published numbers, and fits its vocabulary."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS
from PIL import Image

from proxyclip.cli.eval import parse_eval_options
from proxyclip.data.vocabulary import read_vocabulary
from proxyclip.engine.config.components import describe_method
from proxyclip.engine.config.load import check_model_components, load_config
from proxyclip.engine.config.names import _known_configs
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import apply_method_file, check_model_arguments
from proxyclip.engine.config.registration import register_modules
from proxyclip.engine.evaluation.identity import run_identity
from proxyclip.engine.evaluation.provenance import hash_named_files
from proxyclip.utils.paths import ROOT

# dataset class, short side, crop, threshold, classes, names; stride 112 and everything else is common
PROTOCOL = {
    "voc21": ("PascalVOCDataset", 336, 336, 0.2, 21, 46),
    "voc20": ("PascalVOC20Dataset", 336, 336, 0.0, 20, 20),
    "context60": ("PascalContext60Dataset", 336, 336, 0.15, 60, 60),
    "context59": ("PascalContext59Dataset", 336, 336, 0.0, 59, 59),
    "context459": ("PascalContext459Dataset", 448, 336, 0.0, 459, 459),
    "ade20k": ("ADE20KDataset", 448, 336, 0.0, 150, 150),
    "ade847": ("ADE20K847Dataset", 448, 336, 0.0, 847, 847),
    "city_scapes": ("CityscapesDataset", 448, 224, 0.0, 19, 19),
    "coco_stuff164k": ("COCOStuffDataset", 336, 336, 0.0, 171, 171),
    "coco_stuff10k": ("COCOStuff10kDataset", 336, 336, 0.0, 171, 171),
    "coco_object": ("COCOObjectDataset", 336, 336, 0.25, 81, 97),
}
SCLIP_NAMES = {"voc21": 56, "voc20": 30, "coco_object": 113}  # names of SCLIP's own lists
CONTEXT_LIST = "ImageSets/SegmentationContext/val.txt"
# folders of images and labels, list, reduce_zero_label, ignored value
FILES = {
    "voc21": ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation/val.txt", False, 255),
    "voc20": ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation/val.txt", True, 255),
    "context60": ("JPEGImages", "SegmentationClassContext", CONTEXT_LIST, False, 255),
    "context59": ("JPEGImages", "SegmentationClassContext", CONTEXT_LIST, True, 255),
    "context459": ("JPEGImages", "annotations_detectron2/pc459_val", CONTEXT_LIST, False, 65535),
    "ade20k": ("images/validation", "annotations/validation", "", True, 255),
    "ade847": ("images_detectron2/validation", "annotations_detectron2/validation", "", False, 65535),
    "city_scapes": ("leftImg8bit/val", "gtFine/val", "", False, 255),
    "coco_stuff164k": ("images/val2017", "annotations/val2017", "", False, 255),
    "coco_stuff10k": ("images/test2014", "annotations/test2014", "", True, 255),
    "coco_object": ("images/val2017", "annotations/val2017", "", False, 255),
}
CONFIGS = sorted(path.stem.removeprefix("cfg_") for path in (ROOT / "configs").glob("cfg_*.py"))
PROTOCOL_CONFIGS = sorted((ROOT / "configs").glob("*/cfg_*.py"))
LISTS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("cls_*.txt"))


register_modules()


def read_config(name: str) -> Config:
    return Config.fromfile(ROOT / f"configs/cfg_{name}.py")


def test_known_configs():
    assert {*PROTOCOL, "folder", "tinyworld"} <= set(CONFIGS)
    assert len(PROTOCOL_CONFIGS) == 6 * 8 + 1
    assert {path.relative_to(ROOT).as_posix() for path in PROTOCOL_CONFIGS} < set(_known_configs())


@pytest.mark.parametrize("name", PROTOCOL)
def test_config_has_the_published_protocol(name):
    dataset_type, short, crop, threshold, _, _ = PROTOCOL[name]
    cfg = read_config(name)
    model = cfg.model
    dataset = cfg.test_dataloader.dataset
    assert (dataset.type, model.slide_crop, model.prob_thd) == (dataset_type, crop, threshold)
    assert (model.slide_stride, model.logit_scale, model.beta, model.gamma) == (112, 40, 1.2, 3.0)
    assert (model.clip_type, model.model_type, model.vfm_model) == ("openai", "ViT-B/16", dict(type="dino"))
    steps = [step.type for step in dataset.pipeline]
    assert steps == ["LoadImageFromFile", "Resize", "MyLoadAnnotations", "PackSegInputs"]
    assert dataset.pipeline == cfg.test_pipeline
    assert dataset.pipeline[1] == dict(type="Resize", scale=(2048, short), keep_ratio=True)
    assert not {"data_preprocessor", "refine"} & set(model)  # the segmentor's own: CLIP's mean and deviation
    assert cfg.test_dataloader.batch_size == 1


@pytest.mark.parametrize("path", PROTOCOL_CONFIGS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_config_of_a_protocol_differs_in_model_and_resize_only(path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", "/mnt/sets")
    name = path.stem.removeprefix("cfg_")
    cfg = Config.fromfile(path)
    plain = read_config(name)
    vocabulary = read_vocabulary(ROOT / cfg.model.name_path)
    names = SCLIP_NAMES[name] if "sclip" in cfg.model.name_path else PROTOCOL[name][5]
    assert (len(vocabulary), len(vocabulary.names)) == (PROTOCOL[name][4], names)

    cfg.test_pipeline[1].scale = cfg.test_dataloader.dataset.pipeline[1].scale = plain.test_pipeline[1].scale
    cfg.pop("protocol")
    cfg.model = plain.model
    assert cfg.to_dict() == plain.to_dict()


@pytest.mark.parametrize("value, steps", [("None", None), ("[area]", ["area"]), ("area", "area")])
def test_refine_steps_from_the_command_line(value, steps):
    options = EvalOptions(config="configs/sclip/cfg_voc21.py", method="maskclip")
    model = load_config(options)[0].model
    assert (model.vfm_model, model.attention.type, model.refine[0].threshold) == (None, "maskclip", 0.1)
    assert load_config(replace(options, cfg_options=(f"model.refine={value}",)))[0].model.refine == steps


@pytest.mark.parametrize("name", FILES)
def test_dataset_has_its_files_and_label_rules(name):
    images, labels, ann_file, reduce_zero, ignore = FILES[name]
    dataset = read_config(name).test_dataloader.dataset
    assert dataset.data_prefix == dict(img_path=images, seg_map_path=labels)
    assert dataset.get("ann_file", "") == ann_file
    built = DATASETS.build(dict(dataset, lazy_init=True, pipeline=[]))
    assert (built.reduce_zero_label, built.metainfo["ignore_index"]) == (reduce_zero, ignore)
    assert built.test_mode


@pytest.mark.parametrize("name", [*PROTOCOL, "tinyworld"])
def test_vocabulary_has_a_line_a_class(name):
    cfg = read_config(name)
    vocabulary = read_vocabulary(ROOT / cfg.model.name_path)
    classes = DATASETS.get(cfg.test_dataloader.dataset.type).METAINFO["classes"]
    assert len(vocabulary) == len(classes)
    if name in PROTOCOL:
        assert (len(vocabulary), len(vocabulary.names)) == PROTOCOL[name][4:]
    else:
        assert [names[0] for names in vocabulary.classes] == list(classes)


@pytest.mark.parametrize("name", LISTS)
def test_vocabulary_files_are_ascii_lines(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = text.split("\n")[:-1]
    assert text.isascii() and text.endswith("\n") and "\r" not in text
    assert ["; ".join(names) for names in read_vocabulary(ROOT / name).classes] == lines


def read_vocabulary_table(columns: int) -> dict[str, list[str]]:
    """Return the table of docs/vocabularies.md with so many columns: first cell without its backticks -> others."""
    lines = (ROOT / "docs/vocabularies.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return {first.strip("`"): others for first, *others in rows if len(others) == columns - 1}


def find_code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_docs_list_published_vocabularies_with_their_sizes_and_users():
    listed = read_vocabulary_table(4)
    assert set(listed) <= set(LISTS)
    users: dict[str, list[str]] = {name: [] for name in listed}
    for path in [*(ROOT / "configs").glob("cfg_*.py"), *PROTOCOL_CONFIGS]:
        name = str(Config.fromfile(path).model.name_path).removeprefix("./")
        if name in users:
            users[name].append(path.relative_to(ROOT / "configs").as_posix())
    for name, (classes, count, used) in listed.items():
        vocabulary = read_vocabulary(ROOT / name)
        assert (len(vocabulary), len(vocabulary.names)) == (int(classes), int(count)), name
        listed_users = [path for pattern in find_code(used) for path in (ROOT / "configs").glob(pattern)]
        names = [path.relative_to(ROOT / "configs").as_posix() for path in listed_users]
        assert sorted(names) == sorted(users[name]), name


@pytest.mark.parametrize("name", [name for name in LISTS if "corrected" in name])
def test_corrected_vocabularies_differ_as_documented(name):
    published = (ROOT / name.replace("corrected/", "")).read_text().splitlines()
    corrected = (ROOT / name).read_text().splitlines()
    assert len(published) == len(corrected)
    changed = [(a, b) for a, b in zip(published, corrected, strict=True) if a != b]
    odd, new = read_vocabulary_table(3)[Path(name).name]
    if Path(name).name == "cls_coco_object.txt":
        assert changed == [(published[0], published[0].replace("bed; ", "", 1))] and published.count("bed") == 1
        return
    assert sorted(find_code(new)) == sorted(b for _, b in changed)
    assert all(any(name in a for a, _ in changed) for name in find_code(odd))
    glued = [b for a, b in changed if a == b.replace(" ", "")]
    if "without their blanks" in odd:
        assert f"{len(glued)} names without their blanks" in odd


def test_corrected_vocabularies_have_the_class_names_of_the_data():
    listed = read_vocabulary_table(3)
    assert sorted(listed) == sorted(Path(name).name for name in LISTS if "corrected" in name)
    for cfg in map(read_config, PROTOCOL):
        classes = DATASETS.get(cfg.test_dataloader.dataset.type).METAINFO["classes"]
        vocabulary = read_vocabulary(ROOT / "configs/corrected" / Path(cfg.model.name_path).name)
        assert len(set(vocabulary.names)) == len(vocabulary.names)
        firsts = [names[0].replace(" ", "") for names in vocabulary.classes]
        pairs = zip(firsts, (name.replace(" ", "") for name in classes), strict=True)
        different = [pair for pair in pairs if pair[0] != pair[1] != "background"]
        assert different == ([("cassetterecorder", "casetterecorder")] if len(classes) == 459 else [])


def test_oddities_of_published_vocabularies_are_kept():
    def names(name):
        return read_vocabulary(ROOT / "configs" / name).names

    odd = {
        "coco_stuff": {"building-other", "door-stuff"}, "ade20k": {"windowpane"}, "context459": {"match book"},
        "ade20k847": {"building, edifice"},
    }  # fmt: skip
    for name, expected in odd.items():
        assert expected < set(names(f"cls_{name}.txt")) & set(names(f"corrected/cls_{name}.txt"))
    for name in ("voc20", "voc21"):
        assert {"ship", "table", "pottedplant"} < set(names(f"sclip/cls_{name}.txt"))
    assert names("sclip/cls_coco_object.txt").count("bed") == names("cls_coco_object.txt").count("bed") == 2


def test_command_of_the_docs_changes_vocabulary_and_identity(monkeypatch):
    monkeypatch.setattr("proxyclip.engine.evaluation.identity._data_fingerprint", lambda cfg: None)  # no data here
    (command,) = re.findall(r"```bash\npython eval.py (.*)\n```", (ROOT / "docs/vocabularies.md").read_text())
    options = parse_eval_options(command.split())
    plain = EvalOptions(config=options.config)
    cfg, method = load_config(replace(plain, cfg_options=options.cfg_options))
    assert cfg.model.name_path in {*LISTS} & {*hash_named_files(cfg.model)}
    assert run_identity(cfg, method, "cpu") != run_identity(*load_config(plain), "cpu")


@pytest.mark.parametrize("name", [*PROTOCOL, "tinyworld"])
def test_data_root_is_below_the_environment_variable(name, monkeypatch):
    monkeypatch.delenv("DATA_ROOT", raising=False)
    default = read_config(name).test_dataloader.dataset.data_root
    assert default.startswith("data/")
    monkeypatch.setenv("DATA_ROOT", "/mnt/sets")
    assert read_config(name).test_dataloader.dataset.data_root == default.replace("data/", "/mnt/sets/", 1)
    cfg = read_config("folder")
    assert (cfg.test_dataloader.dataset.data_root, cfg.model.name_path) == ("/mnt/sets", "/mnt/sets/classes.txt")


@pytest.mark.parametrize("path", sorted((ROOT / "configs/method").glob("*.py")), ids=lambda p: p.stem)
def test_method_files_change_the_model_only(path):
    assert list(Config.fromfile(path)) == ["model"]
    cfg = read_config("voc21")
    name_path = cfg.model.name_path
    apply_method_file(cfg, path)
    info = describe_method(cfg.model)
    assert (info.name, cfg.model.name_path) == (
        path.stem,
        name_path,
    )  # another type of the model keeps its other arguments
    check_model_arguments(cfg)
    check_model_components(cfg, info)


PUBLISHED_STYLE = """
_base_ = './base_config.py'
model = dict(name_path='./configs/cls_voc20.txt', prob_thd=0.1)
dataset_type = 'PascalVOC20Dataset'
data_root = 'DATA'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 336), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]
test_dataloader = dict(
    batch_size=1, num_workers=4, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type, data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt', pipeline=test_pipeline))
"""


def test_config_in_the_published_style_works_with_our_base(tmp_path):
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("a\n")
    Image.new("RGB", (20, 10)).save(tmp_path / "JPEGImages/a.jpg")
    Image.new("L", (20, 10), 3).save(tmp_path / "SegmentationClass/a.png")
    (tmp_path / "base_config.py").write_text((ROOT / "configs/base_config.py").read_text())
    (tmp_path / "cfg.py").write_text(PUBLISHED_STYLE.replace("DATA", str(Path(tmp_path))))
    cfg = Config.fromfile(tmp_path / "cfg.py")
    assert (cfg.model.beta, cfg.model.prob_thd) == (1.2, 0.1)
    with DefaultScope.overwrite_default_scope("mmseg"):
        sample = DATASETS.build(cfg.test_dataloader.dataset)[0]
    assert sample["inputs"].shape == (3, 336, 672)
    assert sample["data_samples"].gt_sem_seg.data.unique().tolist() == [2]
