"""The contract of all VFM families, and their short names."""

import re

import pytest
import torch
from helpers.hub_models import write_random_vit
from helpers.reference import tensors, tiny_sam, write_clip, write_sam, write_vit
from segment_anything import sam_model_registry

from proxyclip.models.clip.dense import load_clip
from proxyclip.models.registry import build_plugin, list_plugins, load_plugin_class
from proxyclip.models.vfm.clip import CLIPFeatures
from proxyclip.models.vfm.dino import DINO
from proxyclip.models.vfm.dinov2 import DINOv2
from proxyclip.models.vfm.dinov3 import DINOv3
from proxyclip.models.vfm.mae import MAE
from proxyclip.models.vfm.sam import SAM
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.reading import fingerprint_module
from proxyclip.utils.paths import ROOT


def test_every_family_keeps_the_contract(tmp_path, monkeypatch):
    monkeypatch.setitem(sam_model_registry, "tiny", tiny_sam)
    write_random_vit(tmp_path / "v2", "vit_small_patch14_reg4_dinov2", img_size=70)
    write_random_vit(tmp_path / "v3", "vit_small_patch16_dinov3")
    vfms = {
        "clip": CLIPFeatures(load_clip(f"local-dir:{write_clip(tmp_path / 'clip')}", None)),
        "dino": DINO(f"local-dir:{write_vit(tmp_path / 'dino', 'dino')}"),
        "dinov2": DINOv2(f"local-dir:{tmp_path / 'v2'}"),
        "dinov3": DINOv3(f"local-dir:{tmp_path / 'v3'}"),
        "mae": MAE(f"local-dir:{write_vit(tmp_path / 'mae', 'mae')}"),
        "sam": SAM("tiny", str(write_sam(tmp_path / "sam.pth"))),
    }
    assert set(list_plugins("vfm")) - {"tiny"} == set(vfms)  # tiny is the embedded world's: see its own tests
    for name, vfm in vfms.items():
        image = torch.rand(2, 3, 4 * vfm.patch, 6 * vfm.patch)
        with torch.no_grad():
            features = vfm(image)
            alone = torch.cat([vfm(image[:1]), vfm(image[1:])])
        assert features.ndim == 4, name
        assert features.shape[2:] == ((64, 64) if name == "sam" else (4, 6)), name
        assert features.isfinite().all(), name
        torch.testing.assert_close(features, alone, atol=2e-5, rtol=1e-5)
        assert not any(p.requires_grad for p in vfm.parameters()), name


def test_table_of_sizes_in_the_documents_is_true():
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?)(?:: none by default)? \|", text, re.MULTILINE))
    for family in ("dino", "dinov2", "dinov3", "mae", "sam"):
        cls = load_plugin_class("vfm", family)
        assert rows[family].replace("*", "").split(", ") == list(cls.variants), family
        bold = re.findall(r"\*\*(.*?)\*\*", rows[family])
        if hasattr(cls, "default"):
            assert cls.default in cls.variants.values()
            assert family == "mae" or cls.variants[bold[0]] == cls.default, family
    assert set(SAM.variants.values()) <= set(sam_model_registry)


@pytest.mark.parametrize("family, options", [("sam", {}), ("mae", {}), ("sam", {"model": "vit_h"})])
def test_missing_checkpoint_is_an_error(family, options):
    with pytest.raises(WeightsError, match="checkpoint="):
        build_plugin("vfm", {"type": family, **options})


def test_sam_refuses_wrong_models(tmp_path):
    with pytest.raises(ValueError, match=r"vit_b.*'vit_x'"):
        SAM("vit_x", "x.pth")
    with pytest.raises(FileNotFoundError, match="SAM checkpoint"):
        SAM("vit_b", str(tmp_path / "none.pth"))


def test_mae_can_resize_its_window(tmp_path):
    write_vit(tmp_path, "mae")
    plain, fixed = (MAE(f"local-dir:{tmp_path}", size=s) for s in (None, 96))
    with torch.no_grad():
        assert plain(torch.rand(1, 3, 64, 112)).shape[2:] == (4, 7)
        assert fixed(torch.rand(1, 3, 64, 112)).shape[2:] == (6, 6)
    assert fingerprint_module(plain) == fingerprint_module(fixed)
    torch.testing.assert_close(plain.vit.pos_embed[0], tensors("mae_tiny")["pos_embed"][0])
