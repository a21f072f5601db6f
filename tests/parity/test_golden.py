"""Float32 results equal the published code's, array by array (tolerances: see the reference set's own table)."""

import mmcv
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.reference import arrays, check, differences, image, tiny_sam, write_clip, write_sam, write_vit
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from segment_anything import sam_model_registry

from proxyclip.data.templates import openai_imagenet_template
from proxyclip.data.vocabulary import read_vocabulary
from proxyclip.models.attention.proxy import Proxy
from proxyclip.models.attention.vanilla import Vanilla
from proxyclip.models.clip.dense import load_clip
from proxyclip.models.layers.block import resize_tokens
from proxyclip.models.segmentors.proxyclip import ProxyCLIPSegmentation
from proxyclip.models.vfm.dino import DINO
from proxyclip.models.vfm.mae import MAE
from proxyclip.models.vfm.sam import SAM

LISTS = ("syn3", "plain5", "syn12")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Folder with the tiny models in the hub's layouts and the class files."""
    root = tmp_path_factory.mktemp("reference")
    write_clip(root / "clip")
    write_vit(root / "dino", "dino")
    write_vit(root / "mae", "mae")
    write_sam(root / "sam.pth")
    for name in LISTS:
        (root / f"{name}.txt").write_text(str(arrays("text")[f"{name}_file"]))
    return root


@pytest.fixture(scope="module")
def clip(world):
    return load_clip(f"local-dir:{world / 'clip'}", None)


@pytest.fixture(scope="module")
def dino(world):
    return DINO(f"local-dir:{world / 'dino'}")


@pytest.fixture(scope="module")
def text(clip, world):
    return {n: clip.embed(read_vocabulary(world / f"{n}.txt").names, openai_imagenet_template) for n in LISTS}


def dense(clip, x, strategy, guide=None):
    with torch.no_grad():
        return clip.encode_dense(x, strategy, guide)


def rows(features):
    """(B, d, h, w) -> (B, h*w, d), the layout of the reference arrays."""
    return features.flatten(2).mT


def logits(features, query, size):
    cosine = torch.einsum("bdhw,qd->bqhw", F.normalize(features, dim=1), query)
    return F.interpolate(cosine, size=size, mode="bilinear")


@pytest.mark.parametrize("name", LISTS)
def test_text_features_equal_the_reference(text, world, name):
    assert list(read_vocabulary(world / f"{name}.txt").names) == list(arrays("text")[f"{name}_names"])
    assert list(read_vocabulary(world / f"{name}.txt").index) == list(arrays("text")[f"{name}_idx"])
    check(text[name], "text", f"{name}_query_features", 2e-5)


def test_prompts_and_odd_texts_equal_the_reference(clip):
    stored = arrays("text")
    texts = {"tokens_example": ("ids", stored["tokens_example_texts"].tolist())}
    for name in ("horse", "rail fence"):
        key = f"per_template_{name.replace(' ', '_')}"
        texts[key] = ("tokens", [template.format(name) for template in openai_imagenet_template])
    for key, (suffix, prompts) in texts.items():
        tokens = clip.tokenizer(prompts)
        assert (tokens.numpy() == stored[f"{key}_{suffix}"]).all(), key
        with torch.no_grad():
            check(clip.encode_text(tokens), "text", f"{key}_encode_text", 2e-5)


@pytest.mark.parametrize(
    "name, share, bound", [("smooth64", 1, 0), ("smooth112", 1, 0), ("smooth224", 0.987, 5e-2)], ids=str
)
def test_proxy_features_and_logits_equal_the_reference(clip, dino, text, name, share, bound):
    x, file = image(name), f"proxy_{name}"
    with torch.no_grad():
        guide = dino(clip.to_rgb(x))
    check(guide, file, "ex_feats", 5e-5)
    stored = [k.partition("__every")[0] for k in arrays(file)]
    for beta, gamma in ((1.2, 3.0), (1.0, 1.0), (0.8, 6.0)):
        features = dense(clip, x, Proxy(beta, gamma), guide)
        key = f"b{beta}_g{gamma}"
        check(rows(features), file, f"feat_{key}", 5e-5, share, bound)
        if f"featn_{key}" in stored:
            check(rows(F.normalize(features, dim=1)), file, f"featn_{key}", 2e-5, share, bound / 10)
        for kept in (k for k in stored if k.startswith(f"logits_syn3_{key}__sub")):
            soft = (0.964, 2e-3) if name == "smooth224" else (1.0, 0.0)
            check(logits(features, text["syn3"], x.shape[2:]), file, kept, 5e-6, *soft)
    features = dense(clip, x, Proxy(), guide)
    for key in stored_logits(file):
        query = text[key.removeprefix("none_").split("_")[1]]
        source = dense(clip, x, Vanilla()) if key.startswith("none_") else features
        soft = (0.964, 2e-3) if name == "smooth224" and source is features else (1.0, 0.0)
        check(logits(source, query, x.shape[2:]), file, key, 5e-6, *soft)


def stored_logits(file: str) -> list[str]:
    keys = [k.partition("__every")[0] for k in arrays(file)]
    return [
        k for k in keys if "logits" in k and "_b" not in k and "size" not in k and not k.endswith(("shape", "stats"))
    ]


@pytest.mark.parametrize("name", ["smooth64", "smooth112", "smooth224"])
def test_plain_clip_features_equal_the_reference(clip, name):
    features = dense(clip, image(name), Vanilla())
    check(rows(features), f"proxy_{name}", "none_feat", 5e-5)
    check(rows(F.normalize(features, dim=1)), f"proxy_{name}", "none_featn", 2e-5)


@pytest.mark.parametrize("name", ["smooth64", "smooth112", "smooth224"])
def test_mask_of_proxy_attention_equals_the_reference(dino, clip, name):
    stored = arrays(f"proxy_{name}")
    with torch.no_grad():
        weights = Proxy().weights(dino(clip.to_rgb(image(name))))[0]
    keep = np.unpackbits(stored["mask_bits"])[: weights.numel()].reshape(weights.shape).astype(bool)
    flips = int(((weights > 0).numpy() != keep).sum())
    assert flips <= (8 if name == "smooth224" else 0)
    assert abs(float((weights > 0).float().mean()) - float(stored["mask_kept_fraction"])) < 1e-5
    per_row = np.abs((weights > 0).sum(1).numpy() - stored["mask_kept_per_row"].astype(int))
    assert per_row.sum() <= flips
    assert torch.allclose(weights.sum(1), torch.ones(len(weights)), atol=1e-5)
    if name == "smooth64":
        check(weights, "proxy_smooth64", "attn_weights", 2e-5)
        masked = torch.from_numpy(stored["attn_masked_similarity"])
        torch.testing.assert_close(weights, masked.softmax(1), atol=2e-5, rtol=0)


def heads(tokens, grid):
    """(1, h*w, C) -> (heads, C / heads, h, w)."""
    return tokens[0].T.reshape(3, -1, *grid)


def mean_similarity(guide):
    features = F.normalize(guide[0].flatten(1), dim=0)
    return float((features.T @ features).mean())


def test_attention_output_equals_the_reference(clip, dino):
    x = image("smooth64")
    with torch.no_grad():
        tokens, grid = clip.tokens(x)
        block = clip.model.visual.transformer.resblocks[-1]
        out, to = Proxy()(block, tokens, grid, dino(clip.to_rgb(x)))
        ln1 = block.ln_1(tokens)
        values = F.linear(ln1[:, 1:], *(p[-96:] for p in block.attn.parameters() if p.shape[0] == 3 * 96))
    assert (grid, to) == ((4, 4), (8, 8))
    check(heads(values, grid), "proxy_smooth64", "attn_v_before_LNC", 5e-5)
    check(heads(resize_tokens(values, grid, to), to), "proxy_smooth64", "attn_v_after", 5e-5)
    check(ln1.transpose(0, 1), "proxy_smooth64", "attn_ln1_x", 5e-5)
    check(out.transpose(0, 1), "proxy_smooth64", "attn_out", 2e-5)


def test_image_that_is_not_square_equals_the_reference(clip, dino, text):
    x, file = image("smooth224x336"), "nonsquare_smooth224x336"
    with torch.no_grad():
        guide = dino(clip.to_rgb(x))
    check(guide, file, "corrected_ex_feats", 5e-5)
    features = dense(clip, x, Proxy(), guide)
    check(rows(features), file, "corrected_feat_b1.2_g3.0", 5e-5, 0.991, 5e-2)
    grid = torch.einsum("bdhw,qd->bqhw", F.normalize(features, dim=1), text["syn3"])
    check(grid, file, "corrected_grid_logits_syn3", 5e-5, 0.992, 1e-3)
    check(F.interpolate(grid, size=(224, 336), mode="bilinear"), file, "corrected_logits_syn3__sub4", 5e-5, 0.986, 5e-4)
    plain = dense(clip, x, Vanilla())
    check(rows(plain), file, "none_feat", 5e-5)
    check(logits(plain, text["syn3"], (224, 336)), file, "none_logits_syn3__sub4", 5e-6)


def samples(size):
    return [SegDataSample(metainfo=dict(ori_shape=tuple(int(n) for n in size)))]


def segmentor(world, name="syn3", vfm="dino", **options):
    vfm_model = dict(type=vfm, model=f"local-dir:{world / vfm}") if vfm in ("dino", "mae") else vfm
    options = dict(precision="fp32", keep_logits=True) | options
    return ProxyCLIPSegmentation(None, f"local-dir:{world / 'clip'}", vfm_model, str(world / f"{name}.txt"), **options)


def predict(model, x, size):
    sample = model.predict(x, samples(size))[0]
    return sample.seg_logits.data, sample.pred_sem_seg.data


def check_labels(got, file, name, max_wrong):
    wrong = int((differences(got, file, name) > 0).sum())
    assert wrong <= max_wrong, f"{file}/{name}: {wrong} labels differ"


SLIDES = [
    ("slide_smooth96x144_c64_s32", "smooth96x144", "syn3", (0.0, 0.4), 3),
    ("slide_smooth112_c56_s28_plain5", "smooth112", "plain5", (0.0, 0.3), 3),
    ("slide_smooth224_c112_s56_plain5", "smooth224", "plain5", (0.0, 0.3), 13),
    ("slide_smooth336x500_c336_s112", "smooth336x500", "syn12", (0.0, 0.2), 21),
]


@pytest.mark.parametrize("vfm", ["dino", None])
@pytest.mark.parametrize("file, name, classes, thresholds, pixels", SLIDES, ids=lambda v: str(v)[:22])
def test_sliding_windows_equal_the_reference(world, file, name, classes, thresholds, pixels, vfm):
    crop, stride, *size = (int(n) for n in arrays(file)["crop_stride_ori"])
    prefix = "" if vfm else "none_"
    model = segmentor(world, classes, vfm, slide_crop=crop, slide_stride=stride, pad_multiple=56)
    x = image(name)
    stored = [k.partition("__every")[0] for k in arrays(file)]
    key = next(k for k in stored if k.startswith(f"{prefix}seg_logits") and not k.endswith(("shape", "stats")))
    soft = (0.995, 2e-4) if "336" in name and vfm else (1.0, 0.0)
    for threshold in thresholds:
        model.prob_thd = threshold
        probabilities, labels = predict(model, x, size)
        check(probabilities, file, key, 2e-5, *soft)
        check_labels(labels, file, f"{prefix}seg_pred_thd{threshold}", pixels)
    if f"{prefix}seg_pred_nosamples_thd{thresholds[1]}" in stored:
        check_labels(model.predict(x), file, f"{prefix}seg_pred_nosamples_thd{thresholds[1]}", 3)


@pytest.mark.parametrize("vfm", ["dino", None])
def test_whole_image_equals_the_reference(world, vfm):
    prefix = "" if vfm else "none_"
    model = segmentor(world, "syn3", vfm, slide_crop=0, prob_thd=0.5)
    probabilities, labels = predict(model, image("smooth112"), arrays("whole_smooth112")["ori"])
    check(probabilities, "whole_smooth112", f"{prefix}seg_logits", 2e-5)
    check_labels(labels, "whole_smooth112", f"{prefix}seg_pred_thd0.5", 3)


def test_mae_equals_the_reference(world, clip, text):
    file, x = "mae_smooth112_c224", image("smooth112")
    mae = MAE(f"local-dir:{world / 'mae'}", size=int(arrays(file)["slide_crop"]))
    with torch.no_grad():
        guide = mae(clip.to_rgb(x))
        check(mae.positions((14, 14))[None], file, "pos_embed_used", 1e-6)
    check(guide, file, "ex_feats", 5e-5)
    assert abs(mean_similarity(guide) - arrays(file)["mean_similarity"]) < 1e-6
    features = dense(clip, x, Proxy(), guide)
    check(rows(features), file, "feat_b1.2_g3.0", 5e-5)
    check(logits(features, text["syn3"], (112, 112)), file, "logits_syn3__sub2", 5e-6)
    model = segmentor(world, vfm=dict(type="mae", model=f"local-dir:{world / 'mae'}", size=224), slide_crop=0)
    probabilities, labels = predict(model, x, (112, 112))
    check(probabilities, file, "seg_logits_syn3__sub2", 2e-5)
    check_labels(labels, file, "seg_pred_thd0", 3)


@pytest.fixture
def sam_registry(monkeypatch):
    monkeypatch.setitem(sam_model_registry, "tiny", tiny_sam)


def test_sam_equals_the_reference(world, clip, text, sam_registry):
    file, x = "sam_smooth112", image("smooth112")
    sam = SAM("tiny", str(world / "sam.pth"))
    with torch.no_grad():
        guide = sam(clip.to_rgb(x))
    check(guide, file, "ex_feats", 5e-5)
    assert abs(mean_similarity(guide) - arrays(file)["mean_similarity"]) < 1e-6
    features = dense(clip, x, Proxy(), guide)
    check(rows(features)[:, ::4], file, "feat_b1.2_g3.0", 5e-5, 0.99, 5e-3)  # stored: every fourth token
    check(logits(features, text["syn3"], (112, 112)), file, "logits_syn3__sub2", 5e-5, 0.995, 1e-4)
    vfm = dict(type="sam", model="tiny", checkpoint=str(world / "sam.pth"))
    probabilities, labels = predict(segmentor(world, vfm=vfm, slide_crop=0), x, (112, 112))
    check(probabilities, file, "seg_logits_syn3__sub2", 5e-5, 0.995, 2e-4)
    check_labels(labels, file, "seg_pred_thd0", 3)


def test_preprocessing_equals_the_reference():
    bgr = torch.from_numpy(arrays("images")["smooth96x144"][..., ::-1].copy()).permute(2, 0, 1)
    out = MODELS.build(dict(type="MixedSizePreProcessor"))({"inputs": [bgr], "data_samples": [SegDataSample()]})
    check(out["inputs"], "preproc", "inputs_from_bgr", 1e-6)


def test_resize_of_the_pipeline_equals_the_reference():
    stored = arrays("preproc")
    source = np.ascontiguousarray(arrays("images")["smooth336x500"][::2, ::2, ::-1])
    resized = mmcv.imrescale(source, (2048, 336))
    assert list(resized.shape) == list(stored["imrescale_168x250_to"])
    assert differences(resized[4::8, 4::8], "preproc", "imrescale_bgr_sub8").max() <= 1
