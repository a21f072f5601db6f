"""Caches of weights that are empty and the test's own, and small models under published names."""

import huggingface_hub.constants as hub_constants
import pytest
from helpers.hub_models import add_tiny_clip, shrink_timm
from helpers.reference import tiny_sam
from segment_anything import sam_model_registry


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """The folder with an empty hub cache, `hub`, and an empty own folder, `own`; no network."""
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("PROXYCLIP_CACHE", str(tmp_path / "own"))
    return tmp_path


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The architectures of the small models under the names of large ones."""
    tags = {"openai": {"hf_hub": "someone/tiny.openai/", "quick_gelu": True}}
    add_tiny_clip(monkeypatch, tmp_path / "configs", tags)
    shrink_timm(monkeypatch, embed_dim=48, depth=1, num_heads=2)
    monkeypatch.setitem(sam_model_registry, "vit_tiny", tiny_sam)
