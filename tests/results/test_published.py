"""Published numbers: every row names parts that exist, and a run gets one only where everything is the same."""

import itertools
import json
import re
from collections import Counter

import pytest
from helpers.result_records import CONFIG_MODEL, make_published_record
from mmengine.config import Config
from open_clip import list_pretrained_tags_by_model

from proxyclip.data import benchmarks as datasets
from proxyclip.engine.config.load import load_config
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import apply_cfg_options
from proxyclip.engine.sweep.cells import find_cell_target
from proxyclip.models.clip.loading import canonical_clip_name
from proxyclip.models.registry import load_plugin_class
from proxyclip.models.vfm import resolve_vfm_spec
from proxyclip.results.published import PUBLISHED_FILE, VFM_SPELLINGS, find_published_result, load_published_rows
from proxyclip.results.published import match_published_result as match
from proxyclip.utils.paths import ROOT

ROWS = load_published_rows()
UPSTREAM = "model.parity=upstream"
OTHERS = ("aAcc", "mIoU_seen", "mIoU_unseen", "hIoU")


def label(row: dict) -> str:
    return f"{row['method']}-{row['model'].rpartition('/')[2]}-{row['vfm']}-{'-'.join(row['mIoU'])[:20]}"


def test_published_file_explains_its_keys():
    about = json.loads(PUBLISHED_FILE.read_text())["_about"]
    explained = {key.strip() for keys in about for key in keys.split(",")}
    assert all(set(row) - {"mIoU"} <= explained for row in ROWS) and len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_row_names_existing_configs_methods_and_vfms(row):
    assert set(row) - {*OTHERS, "elsewhere"} == {
        "method", "model", "weights", "vfm", "configs", "changes", "protocol", "exact", "source", "evidence", "mIoU",
    }  # fmt: skip
    assert all(row[key].keys() <= row["mIoU"].keys() for key in set(OTHERS) & row.keys())
    trained = row["method"] in ("maskclip_teacher", *(p.name for p in (ROOT / "configs/trained").iterdir()))
    assert trained or (ROOT / "configs" / "method" / f"{row['method']}.py").is_file()
    elsewhere = row.get("elsewhere", {"configs": [], "changes": []})
    assert set(elsewhere) == {"configs", "changes"} and not set(elsewhere["configs"]) & set(row["configs"])
    for pattern, dataset in itertools.product((*row["configs"], *elsewhere["configs"]), row["mIoU"]):
        assert (ROOT / "configs" / f"{pattern.format(dataset=dataset)}.py").is_file(), (pattern, dataset)
    assert row["vfm"] is None or row["vfm"] in VFM_SPELLINGS
    assert row["evidence"] in ("table", "third-party table", "second-hand note")
    assert row["source"] and row["protocol"] and isinstance(row["exact"], bool)
    assert row["mIoU"] and all(0 < value < 100 for value in row["mIoU"].values())
    changes = (*row["changes"], *elsewhere["changes"])
    assert all(re.fullmatch(r"model(\.\w+)+=\S+", change) for change in changes)


def test_rows_name_clips_that_can_be_opened():
    for model, weights in {(row["model"], row["weights"]) for row in ROWS}:
        if model.startswith("local-dir:"):
            assert (ROOT / model.removeprefix("local-dir:")).is_dir() and weights is None
        else:
            assert canonical_clip_name(model) == model and weights in list_pretrained_tags_by_model(model)


def test_vfm_spellings_resolve_to_one_model():
    for name, ways in VFM_SPELLINGS.items():
        models = set()
        for way in ways:
            family, _, model = way.partition(",")
            spec = resolve_vfm_spec(family)
            cls = load_plugin_class("vfm", spec["type"])
            chosen = model or spec.get("model") or getattr(cls, "default", None)
            models.add(getattr(cls, "variants", {}).get(chosen, chosen))
        assert len(models) == 1 and (not name.startswith("vit_") or models == {name})


# methods whose rows are exact under the configs of a folder: ClearCLIP's table has plain CLIP too
EXACT = {
    ("proxy", "cfg_{dataset}"): 3, ("sclip", "sclip/cfg_{dataset}"): 1, ("vanilla", "clearclip/cfg_{dataset}"): 6,
    ("clearclip", "clearclip/cfg_{dataset}"): 6, ("naclip", "naclip/cfg_{dataset}"): 3,
    ("resclip", "resclip/cfg_{dataset}"): 2, ("sc_clip", "sc_clip/cfg_{dataset}"): 2,
}  # fmt: skip


def test_exact_rows_use_the_configs_of_their_paper():
    exact = [row for row in ROWS if row["exact"] and list(row["mIoU"]) != ["tinyworld"]]
    teachers = [row for row in exact if row["method"] == "maskclip_teacher"]
    assert len(teachers) == 3 and all(UPSTREAM in row["changes"] for row in teachers)
    assert all(len(row["configs"]) == 1 for row in exact)
    pairs = Counter((row["method"], row["configs"][0]) for row in exact if row not in teachers)
    assert pairs == EXACT and sum(row["exact"] for row in ROWS) == 23 + 17 + 3


@pytest.mark.parametrize("row", [row for row in ROWS if row["exact"] and "/cfg_" in row["configs"][0]], ids=label)
def test_exact_row_is_matched_by_a_run_of_its_config(row):
    """By a sweep's cell of the config, with --method where the config runs another method."""
    folder = row["configs"][0].partition("/")[0]
    method = None if folder == row["method"] else row["method"]
    for dataset, value in row["mIoU"].items():
        clip = f"{row['model']},{row['weights']}"
        options = EvalOptions(f"configs/{folder}/cfg_{dataset}.py", method, None, clip, cfg_options=row["changes"])
        cfg, info = load_config(options)
        target = find_cell_target(cfg, options, info.name)
        assert (target.value, target.exact, target.source) == (value, True, row["source"])


def test_no_number_of_a_source_is_there_twice():
    """Of one method and one config there may be several rows, each with a source or an override of its own."""
    seen = set()
    for row in ROWS:
        key = [row[name] for name in ("method", "model", "weights", "vfm", "source", "evidence")]
        for dataset in row["mIoU"]:
            entry = (*key, *row["changes"], row["configs"][0].format(dataset=dataset))
            assert entry not in seen
            seen.add(entry)


def test_match_gives_the_row_of_a_protocol_elsewhere_too():
    plain = {**CONFIG_MODEL, "vfm_model": None}
    own, elsewhere = (match(f"{folder}cfg_voc20", plain, "clearclip") for folder in ("clearclip/", ""))
    assert (own.value, own.exact, elsewhere.value, elsewhere.exact) == (80.9, True, 80.9, False)
    for change in ("model.refine=none", "model.refine=None", "model.refine=[]"):
        target = match("naclip/cfg_voc21", plain, "naclip", [change])
        assert (target.value, target.exact) == (58.9, True)
    target = match("naclip/cfg_voc21", plain, "naclip")
    assert (target.value, target.exact) == (64.07, True)
    assert match("naclip/cfg_voc21", plain, "naclip", ["model.refine=pamr"]) is None


def test_rows_of_students_name_the_clip_of_the_teacher():
    rows = [row for row in ROWS if row["method"] in ("maskclip_plus", "maskclip_teacher")]
    assert len(rows) > 20 and not any(row["exact"] for row in rows if "teacher" not in row["configs"][0])
    for row in rows:
        for pattern, dataset in itertools.product(row["configs"], row["mIoU"]):
            config = Config.fromfile(ROOT / "configs" / f"{pattern.format(dataset=dataset)}.py")
            apply_cfg_options(config, row["changes"])  # refuses what fits nothing
            teacher = config.model.teacher
            assert (teacher.model_type, teacher.clip_type) == (row["model"], row["weights"])


def test_zero_shot_rows_agree_with_their_parts():
    """Each number within the rounding of the two it is made of; CLIP-RC's are six, with the CLIP of its configs."""
    rows = [row for row in ROWS if row["method"] == "clip_rc" and "tinyworld" not in row["mIoU"]]
    assert len(rows) == 6 and not any(row["exact"] or row["changes"] for row in rows)
    for row in rows:
        ((data, mean),), (pattern,) = row["mIoU"].items(), row["configs"]
        _, seen, unseen, both = (row[key][data] for key in OTHERS)
        assert both == pytest.approx(2 * seen * unseen / (seen + unseen), abs=0.1)
        config = Config.fromfile(ROOT / "configs" / f"{pattern.format(dataset=data)}.py")
        dataset = getattr(datasets, config.test_dataloader.dataset.type)
        classes, few = len(dataset.METAINFO["classes"]), len(dataset.unseen_classes)
        assert mean == pytest.approx(((classes - few) * seen + few * unseen) / classes, abs=0.051)
        assert (config.model.model_type, config.model.clip_type) == (row["model"], row["weights"])
        name, model = pattern.format(dataset=data), config.model.to_dict() | {"checkpoint": "iter_1.pth"}
        assert match(name, model, "clip_rc").value == mean
        assert match(name, model | {"model_type": "ViT-L-14"}, "clip_rc") is None


def test_tinyworld_rows_equal_the_readme():
    text = (ROOT / "README.md").read_text()
    lines = re.findall(r"^ +\| `(\w+)`(?:, `([^`]+)`)? \| (?:-|`([^`]+)`) \| ([\d.]+) \|", text, flags=re.M)
    said = {(method, vfm or None, change and f"model.{change}"): float(number) for method, change, vfm, number in lines}
    rows = [row for row in ROWS if "tinyworld" in row["mIoU"]]
    assert said == {(row["method"], row["vfm"], "".join(row["changes"])): row["mIoU"]["tinyworld"] for row in rows}


@pytest.mark.parametrize("name", ["ViT-B/16", "ViT-B-16", "ViT-B-16-quickgelu", "vit-b/16"])
@pytest.mark.parametrize(
    "vfm",
    ["dino", "dino-b8", {"type": "dino"}, {"type": "dino", "model": "vit_base_patch8_224.dino", "checkpoint": None}],
)
def test_match_accepts_spellings_of_clip_and_vfm(name, vfm):
    found = match("cfg_voc21", {**CONFIG_MODEL, "model_type": name, "vfm_model": vfm}, "proxy")
    assert found is not None and found.value == 61.3 and found.exact and "2408.04883" in found.source


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "ViT-B/32"}, {"model_type": None}, {"clip_type": "laion2b_s34b_b88k"},
        {"clip_type": "weights/ViT-B-16.pt"}, {"clip_type": None}, {"vfm_model": None},
        {"vfm_model": {"type": "dino", "model": "vit_small_patch8_224.dino"}},
        {"vfm_model": {"type": "dino", "checkpoint": "own.pth"}}, {"vfm_model": {"type": "dino", "features": "k"}},
        {"vfm_model": {"type": "my/dino.py"}}, {"checkpoint": "own.pth"}, {"type": "my/proxy.py"},
        {"attention": {"type": "my/proxy.py"}},
    ],
    ids=str,
)  # fmt: skip
def test_match_refuses_another_component(change):
    assert match("cfg_voc21", {**CONFIG_MODEL, **change}, "proxy") is None


def test_match_depends_on_method_config_and_changes():
    plain = {**CONFIG_MODEL, "vfm_model": None}
    assert match("cfg_voc21", CONFIG_MODEL, None) is None
    for name in (None, "cfg_folder", "voc21", "sclip/cfg_voc21"):
        assert match(name, CONFIG_MODEL, "proxy") is None
    assert match("cfg_voc21", CONFIG_MODEL, "proxy", ["model.prob_thd=0.3"]) is None
    changes = ((), ("model.refine=pamr",), ("model.refine=['pamr']",), ("model.refine=pamr", "model.beta=1"))
    results = [match("cfg_voc21", plain, "naclip", change) for change in changes]
    assert [result and result.value for result in results] == [58.9, 64.07, 64.07, None]


def test_match_prefers_a_row_of_the_same_protocol(monkeypatch):
    plain = {**CONFIG_MODEL, "vfm_model": None}
    own, other = (match(f"{folder}cfg_voc21", plain, "sclip") for folder in ("sclip/", ""))
    assert (own.value, own.exact, own.evidence, other.value, other.exact) == (59.63, True, "table", 59.1, False)
    assert match("cfg_voc21", plain, "vanilla").value == 18.6  # the first of two rows of the file
    monkeypatch.setattr("proxyclip.results.published.load_published_rows", lambda: ROWS[::-1])
    assert match("sclip/cfg_voc21", plain, "sclip") == own


def test_match_accepts_command_line_names_of_the_tinyworld():
    tiny = {"model_type": "local-dir:proxyclip/tinyworld/weights/clip", "clip_type": None}
    mae = {"type": "tiny", "model": "local-dir:proxyclip/tinyworld/weights/mae"}
    specs = ("tiny", {"type": "tiny"}, {"type": "tiny", "model": "contrast"}, "tiny-mae", mae, "clip", {"type": "clip"})
    results = [match("cfg_tinyworld", {**tiny, "vfm_model": spec}, "proxy") for spec in specs]
    assert [result.value for result in results] == [72.9] * 3 + [70.4] * 2 + [69.5] * 2
    assert all(result.exact for result in results)
    assert match("cfg_tinyworld", {**tiny, "vfm_model": {"type": "clip", "layer": 2}}, "proxy") is None


def test_find_published_result_of_a_complete_record():
    found = find_published_result(make_published_record())
    assert found is not None and found.value == 61.3
    assert find_published_result(make_published_record(options={"config": "/elsewhere/configs/cfg_voc21.py"})) == found
    assert find_published_result(make_published_record(changes=["model.refine=pamr"])) is None
    assert find_published_result({"identity": "a", "metrics": {}}) is None


@pytest.mark.parametrize(
    "more",
    [
        {"partial": True}, {"left_out": [{"file": "a", "why": "b"}]}, {"approximations": ["vfm=image"]},
        {"scoring": "published"}, {"scoring": None}, {"changes": None}, {"config": None}, {"config": {}},
        {"method": None}, {"config_name": None}, {"options": {"config": "/home/me/cfg_voc21.py"}},
        {"options": {"config": "configs/cfg_voc21.py", "method": "my/proxy.py"}},
    ],
    ids=str,
)  # fmt: skip
def test_find_published_result_refuses_partial_or_changed_records(more):
    assert find_published_result(make_published_record(**more)) is None


def test_match_uses_the_clip_of_the_teacher():
    name = "trained/maskclip_plus/annofree/context59_segformer_b5"
    teacher = {"model_type": "ViT-B-16", "clip_type": "openai", "residual": True}
    model = {"type": "MaskCLIPPlus", "teacher": teacher, "student": {"type": "segformer_b5"}, "checkpoint": "a.pth"}
    found = match(name, model, "maskclip_plus")
    assert found is not None and found.value == 33.88 and not found.exact
    resnet = {**model, "teacher": {**teacher, "model_type": "RN50"}}
    assert match(name, resnet, "maskclip_plus") is None  # without the override that says so
    assert match(name, resnet, "maskclip_plus", ["model.teacher.model_type=RN50"]).value == 22.87
    assert match(name, {**model, "teacher": {**teacher, "clip_type": None}}, "maskclip_plus") is None
    alone = {"type": "MaskCLIPTeacher", "teacher": teacher}
    context = "trained/maskclip_plus/teacher/context59"
    values = [match(context, alone, "maskclip_teacher", change) for change in ([], [UPSTREAM])]
    assert [(found.value, found.exact) for found in values] == [(21.7, False), (21.7, True)]
