"""MaskCLIP: its refinements longhand, and the published code's arrays through the segmentor."""

import json

import numpy as np
import pytest
import torch
from helpers.reference import arrays, check, differences
from mmseg.structures import SegDataSample
from open_clip import CLIP
from safetensors.torch import save_file

from proxyclip.models.clip.prompts import embed_class_names
from proxyclip.models.layers.block import project_keys
from proxyclip.models.segmentors.maskclip import MaskCLIPSegmentation, apply_key_smoothing, apply_prompt_denoising

E2E, REFINE = "trained/maskclip_vit_e2e", "trained/maskclip_refine"
SETTINGS = [(ks, pd) for ks in (0.0, 0.6, 1.0) for pd in (0.0, 0.5)]
MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 3, "head_width": 8, "mlp_ratio": 4},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The reference's image tower in an open_clip folder, with a text tower of zeros, and seven names."""
    root = tmp_path_factory.mktemp("maskclip")
    state = {k: torch.zeros_like(v) for k, v in CLIP(**MODEL).state_dict().items()}
    tower = {f"visual.{k[2:]}": torch.from_numpy(v) for k, v in arrays(E2E).items() if k.startswith("w/")}
    assert set(tower) == {k for k in state if k.startswith("visual.")}
    (root / "clip").mkdir()
    save_file(state | tower, root / "clip" / "open_clip_model.safetensors")
    (root / "clip" / "open_clip_config.json").write_text(json.dumps({"model_cfg": MODEL, "preprocess_cfg": {}}))
    (root / "cls.txt").write_text("\n".join("abcdefg"))
    return root


def build(files, **options):
    """The segmentor with the reference's own text features."""
    model = MaskCLIPSegmentation(
        clip_type=None, model_type=f"local-dir:{files / 'clip'}", vfm_model=None, name_path=str(files / "cls.txt"),
        precision="fp32", logit_scale=1, **options,
    )  # fmt: skip
    model.prepare(torch.device("cpu"))
    model.text = torch.from_numpy(arrays(E2E)["text"])
    return model


def images():
    return torch.from_numpy(arrays(E2E)["image"])


@pytest.mark.parametrize(("ks", "pd"), SETTINGS)
def test_refinements_equal_the_published_code(ks, pd):
    stored = {k: torch.from_numpy(v) for k, v in arrays(REFINE).items()}
    out = apply_key_smoothing(
        apply_prompt_denoising(stored["cos"].flatten(2), pd), stored["key"], ks, "upstream"
    ).unflatten(2, (5, 4))
    torch.testing.assert_close(out, stored[f"out_ks{ks}_pd{pd}"], rtol=1e-4, atol=1e-5)


def padded():
    return torch.nn.functional.pad(images(), (0, 4, 0, 0))  # 40 x 52 to patches of 8


def test_last_block_equals_the_published_code(files):
    model = build(files, parity="upstream", slide_crop=0)
    with torch.no_grad():
        x, grid = model.clip.tokens(padded())
        tokens, _ = model.attention(model.clip.last, x, grid, None)
        values = model.clip.model.visual.ln_post(tokens)
        features = model.clip.project(tokens, grid)
    assert grid == (5, 7)
    check(project_keys(model.clip.last, x), E2E, "k", 1e-5)
    check(values.mT.unflatten(2, grid), E2E, "v", 1e-5)
    check(features, E2E, "feat", 1e-5)


@pytest.mark.parametrize(("ks", "pd"), [pair for pair in SETTINGS if pair != (0.6, 0.5)])
def test_grid_scores_equal_the_published_code(files, ks, pd):
    model = build(files, parity="upstream", slide_crop=0, key_smoothing=ks, prompt_denoising=pd)
    with torch.no_grad():
        scores = model.extract_feat(padded())
    want = torch.from_numpy(arrays(E2E)[f"logits_ks{ks}_pd{pd}"])
    torch.testing.assert_close(scores, want, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("ks", "pd"), [(0.0, 0.0), (1.0, 0.5)])
def test_predictions_equal_the_published_code(files, ks, pd):
    model = build(files, parity="upstream", slide_crop=0, key_smoothing=ks, prompt_denoising=pd, keep_logits=True)
    samples = model.predict(images(), [SegDataSample(metainfo=dict(ori_shape=(33, 47))) for _ in range(2)])
    check(np.stack([s.seg_logits.data for s in samples]), E2E, f"prob_ks{ks}_pd{pd}", 2e-5)
    labels = np.stack([s.pred_sem_seg.data[0] for s in samples])
    assert differences(labels, E2E, f"label_ks{ks}_pd{pd}").max() == 0


def test_class_features_equal_the_published_code():
    stored = arrays("trained/text_ensemble")
    raw = torch.from_numpy(stored["raw"])
    templates = ["1 {}", "2 {}", "3 {}"]

    def tokenize(texts):
        return torch.tensor([[int(word) for word in text.split()] for text in texts])

    def encode(tokens):
        return torch.stack([raw[name - 1, template - 1] for template, name in tokens])

    rows = embed_class_names(["1", "2", "3"], templates, tokenize, encode)
    torch.testing.assert_close(rows, torch.from_numpy(stored["maskclip"]))


def test_refinements_equal_longhand():
    """Patch by patch, as in the paper: unit keys, unlikely classes removed."""
    torch.manual_seed(0)
    scores, keys = torch.randn(2, 3, 6) * 0.02, torch.randn(2, 6, 4)
    out = apply_key_smoothing(apply_prompt_denoising(scores, 0.6), keys, 0.7)
    for b in range(2):
        s = scores[b].clone()
        p = (100 * s).softmax(0)
        for name in range(3):
            if p[name].max() < 0.6:
                s[name] = -100
        p = (100 * s).softmax(0)
        for i in range(6):
            want = p[:, i]
            if want.max() < 0.7:
                alike = [torch.cosine_similarity(keys[b, i], keys[b, j], dim=0) for j in range(6)]
                want = sum(a * p[:, j] for j, a in enumerate(alike))
            torch.testing.assert_close(out[b, :, i], want)


def test_refinements_treat_images_alone():
    torch.manual_seed(0)
    scores, keys = torch.randn(3, 4, 6) * 0.02, torch.randn(3, 6, 5)
    for parity in ("paper", "upstream"):
        together = apply_key_smoothing(apply_prompt_denoising(scores, 0.5), keys, 0.8, parity)
        alone = [
            apply_key_smoothing(apply_prompt_denoising(scores[i : i + 1], 0.5), keys[i : i + 1], 0.8, parity)
            for i in range(3)
        ]
        torch.testing.assert_close(together, torch.cat(alone))


def test_without_refinements_it_is_the_value_path(files):
    plain, with_windows = build(files), build(files, slide_crop=32, slide_stride=16)
    with torch.no_grad():
        a, b = plain.extract_feat(padded()), with_windows.extract_feat(padded())
        x, grid = plain.clip.tokens(padded())
        values = plain.clip.project(plain.attention(plain.clip.last, x, grid, None)[0], grid)
    assert torch.equal(a, b)
    torch.testing.assert_close(a, plain.similarity(values))
    assert repr(plain.attention) == "MaskCLIP(residual=False)"


def test_options_change_scores_and_are_recorded(files):
    plain = build(files)
    refined = build(files, key_smoothing=1.0, prompt_denoising=0.5)
    with torch.no_grad():
        assert not torch.equal(plain.extract_feat(padded()), refined.extract_feat(padded()))
    record = refined.describe()
    assert (record["key_smoothing"], record["prompt_denoising"], record["parity"]) == (1.0, 0.5, "paper")


def test_bad_options_are_refused(files):
    with pytest.raises(ValueError, match="one of paper, upstream, but got 'exact'"):
        build(files, parity="exact")
    with pytest.raises(ValueError, match="slide_crop=0 with parity='upstream', but got 336"):
        build(files, parity="upstream")
    with pytest.raises(TypeError, match="key_smothing"):
        build(files, key_smothing=1.0)


@pytest.mark.parametrize("attention", ["maskclip", {"type": "maskclip"}])
def test_upstream_parity_includes_the_residual(files, attention):
    """As it comes with configs/method/maskclip.py and `--cfg-options model.parity=upstream`."""
    model = build(files, parity="upstream", slide_crop=0, attention=attention)
    assert repr(model.attention) == "MaskCLIP(residual=True)"
    chosen = build(files, attention={"type": "maskclip", "residual": True})
    assert repr(chosen.attention) == "MaskCLIP(residual=True)"
