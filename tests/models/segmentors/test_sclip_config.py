"""SCLIP equals the published code, array by array; its published configs build and run."""

import json

import pytest
import torch
import torch.nn.functional as F
from helpers.reference import arrays, check, differences, image, write_clip
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import proxyclip.models.segmentors.sclip_config  # noqa: F401  registers CLIPForSegmentation
from proxyclip.cli.eval import main
from proxyclip.data.vocabulary import parse_vocabulary
from proxyclip.models.clip.dense import load_clip
from proxyclip.models.refine.pamr import PAMR
from proxyclip.models.registry import build_plugin
from proxyclip.utils.paths import ROOT

FEATURES, SLIDE = "sclip_features", "sclip_slide_smooth96x144_c64_s32"
STRATEGIES = {"csa": "sclip", "vanilla": "vanilla"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("sclip")
    write_clip(root / "clip")
    names = [line.replace("; ", ", ") for line in str(arrays("text")["syn3_file"]).splitlines()]
    (root / "cls.txt").write_text("\n".join(names))
    return root


@pytest.fixture(scope="module")
def clip(files):
    return load_clip(f"local-dir:{files / 'clip'}", None)


def build(files, **options):
    published = dict(clip_path=f"local-dir:{files / 'clip'}", name_path=str(files / "cls.txt"), precision="fp32")
    return MODELS.build(dict(type="CLIPForSegmentation", **published | options))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["smooth64", "smooth112", "smooth224", "smooth224x336"])
def test_features_equal_the_published_code(clip, name, strategy):
    """The reference has the class token first; strategies return patches only."""
    with torch.no_grad():
        x, grid = clip.tokens(image(name))
        out, _ = build_plugin("attention", STRATEGIES[strategy])(clip.last, x, grid, None)
        whole = torch.cat([torch.zeros(1, 1, 64), clip.project(out, grid).flatten(2).mT], 1)
    stored = arrays(FEATURES)
    key = f"{name}_{strategy}_encode_image_all"
    if key in stored:
        whole[:, 0] = torch.from_numpy(stored[key][:, 0])
        check(whole, FEATURES, key, 5e-5)
    else:  # thinned: leave the class token out
        every = int(next(k for k in stored if k.startswith(key)).rpartition("__every")[2])
        patch = torch.arange(0, whole.numel(), every) >= 64
        error = torch.from_numpy(differences(whole, FEATURES, key))[patch]
        assert error.max() < 5e-5


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["smooth64_{}_logits_syn3", "smooth224x336_{}_logits_syn3__sub4"])
def test_whole_image_scores_equal_the_published_code(files, name, strategy):
    model = build(files, slide_crop=0, attention=STRATEGIES[strategy], logit_scale=1)
    x = image(name.split("_")[0])
    with torch.no_grad():
        model.prepare(x.device)
        scores = model.extract_feat(x)
    check(F.interpolate(scores, size=x.shape[2:], mode="bilinear"), FEATURES, name.format(strategy), 5e-6)


def predict(model, name="smooth96x144"):
    x = image(name)
    model.keep_logits = True
    sample = model.predict(x, [SegDataSample(metainfo=dict(ori_shape=(75, 120)))])[0]
    return sample.seg_logits.data, sample.pred_sem_seg.data


@pytest.mark.parametrize(("options", "key", "tolerance"), [
    (dict(), "csa", 2e-5), (dict(attention="vanilla"), "vanilla", 2e-5),
    (dict(pamr_steps=10, pamr_stride=[8, 16]), "csa_pamr10", 5e-5),
    *[(dict(logit_scale=65, area_thd=area, prob_thd=threshold), f"csa_scale65_area{area}_thd{threshold}", 5e-5)
      for area in (0.1, 0.33, 0.5) for threshold in (0.0, 0.1)],
])  # fmt: skip
def test_predictions_equal_the_published_code(files, options, key, tolerance):
    """From the network input to labels: windows, PAMR before the softmax, area threshold after it."""
    probabilities, labels = predict(build(files, slide_crop=64, slide_stride=32, **options))
    check(probabilities, SLIDE, f"{key}_seg_logits", tolerance)
    assert (differences(labels, SLIDE, f"{key}_seg_pred") > 0).sum() <= 3


@pytest.mark.parametrize(("strategy", "options"), [("csa", {}), ("vanilla", dict(attention="vanilla"))])
def test_score_maps_equal_the_published_code(files, strategy, options):
    model = build(files, slide_crop=64, slide_stride=32, **options)
    score_maps = []

    def look(maps, image):
        score_maps.append(maps)
        return maps

    look.on = "scores"
    model.refine = (look,)
    predict(model)
    check(score_maps[0][None], SLIDE, f"{strategy}_slide_logits", 5e-6)
    model.refine = (PAMR(), look)
    predict(model)
    if strategy == "csa":
        check(score_maps[1][None], SLIDE, "csa_pamr10_slide_logits", 2e-5)


def test_keywords_set_attention_refinement_and_windows(files):
    model = build(files, pamr_steps=2, pamr_stride=[4], area_thd=0.2, prob_thd=0.3, refine=["area"])
    record = model.describe()
    assert record["attention"] == "SCLIP(residual=True)"
    assert record["refine"][0] == "PAMR(steps=2, dilations=(4,), on='scores')"
    assert record["refine"][1:] == ["Area(threshold=0.2)", "Area(threshold=0.1)"]
    assert (record["slide_crop"], record["slide_stride"], record["prob_thd"]) == (224, 112, 0.3)
    assert model.pad_multiple == model.clip.patch
    assert build(files).describe()["refine"] == []


def test_class_files_have_comma_and_blank_between_synonyms(files, tmp_path):
    assert build(files).vocabulary.classes == parse_vocabulary(str(arrays("text")["syn3_file"])).classes
    ours = tmp_path / "cls.txt"
    ours.write_text("sky; clouds\ngrass\n")
    with pytest.raises(ValueError, match=r"Expected names between ', '.*line 1.*';'.*ProxyCLIPSegmentation"):
        build(files, name_path=str(ours))


def test_default_weights_of_names_are_openais(files, monkeypatch):
    calls = []

    def load(model_type, clip_type):
        calls.append((model_type, clip_type))
        raise RuntimeError("stop")

    monkeypatch.setattr("proxyclip.models.segmentors.proxyclip.load_clip", load)
    asked = dict(clip_path="ViT-B/16", model_type="ViT-L-14", clip_type="laion2b_s32b_b82k")
    for options in (dict(clip_path="ViT-B/16"), dict(clip_path="ViT-B/16", clip_type="x.pt"), dict(), asked):
        with pytest.raises(RuntimeError, match="stop"):
            build(files, **options)
    assert calls[:2] == [("ViT-B/16", "openai"), ("ViT-B/16", "x.pt")]
    assert calls[2:] == [(f"local-dir:{files / 'clip'}", None), ("ViT-L-14", "laion2b_s32b_b82k")]


PUBLISHED_BASE = """
model = dict(type='CLIPForSegmentation', clip_path='ViT-B/16')
test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl'))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, alpha=1.0, name='visualizer')
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'), logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2000),
    sampler_seed=dict(type='DistSamplerSeedHook'), visualization=dict(type='SegVisualizationHook', interval=5))
"""
PUBLISHED = """
_base_ = './base_config.py'
model = dict(
    clip_path='local-dir:proxyclip/tinyworld/weights/clip', name_path='FOLDER/cls.txt', logit_scale=65, prob_thd=0.1,
    slide_stride=48, slide_crop=96, pamr_steps=10, pamr_stride=[8, 16], area_thd=0.1)
dataset_type = 'TinyWorldDataset'
data_root = 'FOLDER/data'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 192), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')]
test_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=False, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type, data_root=data_root, count=2, seed=3, ann_file='ImageSets/Segmentation/val.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'), pipeline=test_pipeline))
"""


def evaluate(config, work_dir, *arguments):
    assert main(["--config", str(config), "--device", "cpu", "--work-dir", str(work_dir), *arguments]) == 0
    (path,) = (work_dir / "records").glob("*.json")
    return json.loads(path.read_text())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The draw is False", "ignore:.*SegLocalVisualizer")
def test_published_config_runs(tmp_path, monkeypatch):
    """SCLIP's keywords, class file and base, by eval.py; the data and the CLIP are the tiny world's."""
    (tmp_path / "cls.txt").write_text((ROOT / "configs/cls_tinyworld.txt").read_text().replace("; ", ", "))
    (tmp_path / "base_config.py").write_text(PUBLISHED_BASE)
    (tmp_path / "cfg_x.py").write_text(PUBLISHED.replace("FOLDER", str(tmp_path)))
    monkeypatch.chdir(ROOT)
    record = evaluate(tmp_path / "cfg_x.py", tmp_path / "w")
    assert record["method"] == "sclip"
    assert record["arguments"]["attention"] == "SCLIP(residual=True)"
    assert record["arguments"]["refine"][0] == "PAMR(steps=10, dilations=(8, 16), on='scores')"
    assert record["arguments"]["refine"][1] == "Area(threshold=0.1)"
    assert record["dataset"]["images"] == 2
    assert 0 < record["metrics"]["mIoU"] <= 100

    tower = "local-dir:proxyclip/tinyworld/weights/clip"
    arguments = ("--clip", tower, "--method", "naclip", "--vfm", "tiny")
    record = evaluate(tmp_path / "cfg_x.py", tmp_path / "v", *arguments)
    assert record["method"] == "naclip"
    assert record["arguments"]["attention"].startswith("NACLIP")
    assert record["arguments"]["model_type"] == tower
