"""All weights that are missing are named at once, online and offline, with one command."""

import huggingface_hub.constants as hub_constants
import pytest
from helpers.fake_hub import open_stub_hub
from helpers.hub_models import add_to_hub_cache, cache_weights

from proxyclip.engine.config.weights import download_missing_weights, find_configured_vfm
from proxyclip.models.weights import WeightsError, catalogue, requirements
from proxyclip.models.weights.requirements import find_missing_tokenizer, provide_required_weights


@pytest.mark.parametrize("clip, vfm, names", [
    ("ViT-B-16", "dino", ["ViT-B-16", "dino-b8"]),
    ("ViT-B-16,dfn2b", "sam-l", ["ViT-B-16,dfn2b", "sam-l"]),
    ("ViT-L/14@336px", None, ["ViT-L-14-336"]),
    ("tiny-clip", "dinov3-s+", ["dinov3-s+"]),
])  # fmt: skip
def test_offline_all_are_named_with_one_command(caches, clip, vfm, names):
    with pytest.raises(WeightsError) as error:
        provide_required_weights(clip, vfm)
    first = str(error.value).splitlines()[0]
    assert first.startswith(" and ".join(names)) and "not on this machine" in first
    assert first.endswith(f"python -m proxyclip weights fetch {' '.join(names)}")
    assert "HF_HUB_OFFLINE is set" in str(error.value)
    assert str(error.value).count("by hand, on another machine") == len(names)


def test_what_is_there_is_not_named(caches):
    cache_weights(caches, catalogue.find_weights_entry("ViT-B-16"), b"weights")
    with pytest.raises(WeightsError, match=r"^dino-s16 is not on this machine, .* Get it: .* fetch dino-s16\n"):
        provide_required_weights("ViT-B-16", "dino-s16")
    cache_weights(caches, catalogue.find_weights_entry("dino-s16"), b"weights")
    provide_required_weights("ViT-B-16", "dino-s16")
    provide_required_weights("tiny-clip", "tiny")
    provide_required_weights("local-dir:anywhere", "dino,file.pth")
    provide_required_weights(None, None)


def test_online_all_failures_are_named(caches, monkeypatch):
    with open_stub_hub(monkeypatch) as stub:
        stub.files = {}
        with pytest.raises(WeightsError) as error:
            provide_required_weights("ViT-B-16", "dino-s16")
    assert not hub_constants.HF_HUB_OFFLINE
    text = str(error.value)
    assert "python -m proxyclip weights fetch ViT-B-16 dino-s16" in text
    assert text.count("  why:    ") == 2


def test_tokenizers_are_named_with_the_rest(caches, monkeypatch):
    clip = "ViT-L-14-CLIPA,datacomp1b"
    assert find_missing_tokenizer(clip) == "bert-base-uncased"
    assert find_missing_tokenizer("ViT-B-16") is None
    with pytest.raises(WeightsError) as error:
        provide_required_weights(clip, "dino")
    first = str(error.value).splitlines()[0]
    assert "the tokenizer bert-base-uncased" in first and "dino-b8" in first
    assert "hf download bert-base-uncased" in str(error.value)
    add_to_hub_cache(caches / "hub", "bert-base-uncased", "vocab.txt", lambda path: path.write_text("x"))
    assert find_missing_tokenizer(clip) is None


@pytest.mark.parametrize("spec, value", [
    (None, None), ("dino", "dino"), (dict(type="sam", model="vit_l"), "sam-l"), (dict(type="dino-s16"), "dino-s16"),
    (dict(type="dino", model="vit_small_patch16_224.dino"), "dino-s16"), (dict(type="sam", checkpoint="x.pth"), None),
    (dict(type="dinov2", model="local-dir:X"), "dinov2,local-dir:X"), ("my/own.py", "my/own.py"),
])  # fmt: skip
def test_find_configured_vfm(spec, value):
    assert find_configured_vfm({"vfm_model": spec}) == value


def test_download_missing_weights_asks_for_clip_and_vfm(monkeypatch):
    asked = []
    monkeypatch.setattr("proxyclip.engine.config.weights.provide_required_weights", lambda *names: asked.append(names))
    download_missing_weights(dict(model_type="ViT-B-16", clip_type="openai", vfm_model=dict(type="sam", model="vit_b")))
    download_missing_weights(dict(model_type="local-dir:X", clip_type=None))
    assert asked == [("ViT-B-16,openai", "sam-b"), ("local-dir:X", None)]
    assert requirements.TOKENIZER_FILES
