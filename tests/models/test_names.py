"""Values of --clip and --vfm are checked without torch, with the messages of the loaders themselves."""

import subprocess
import sys

import open_clip
import pytest
from open_clip.pretrained import list_pretrained_tags_by_model

from proxyclip.engine.config.components import parse_clip_spec, parse_vfm_spec
from proxyclip.models.clip import loading
from proxyclip.models.clip.support import read_open_clip_configs, read_open_clip_tags
from proxyclip.models.names import check_component_names
from proxyclip.utils.paths import ROOT

HEAVY = {"torch", "open_clip", "timm", "mmseg", "mmengine", "numpy", "huggingface_hub"}


@pytest.mark.parametrize("clip, vfm, message", [
    ("ViT-B-61", None, r"but got 'ViT-B-61'; close are ViT-B-16"),
    ("vitb16", None, r"but got 'vitb16'; close are ViT-"),
    ("ViT-L/14@337px", None, r"close are ViT-L-14-336"),
    ("RN50", None, r"--clip RN50: .*a ResNet consists of convolutions"),
    ("ViT-B-16-SigLIP,webli", None, r"SigLIP has no class token"),
    ("ViT-B-16,opnai", None, r"a tag of ViT-B-16 \(openai, .*but got 'opnai'\. Did you mean ViT-B-16,openai\?"),
    ("ViT-B-16,no/such.pt", None, r"or a weights file, but got 'no/such\.pt'"),
    ("hub:x", None, r"'hf-hub:<repository>' or 'local-dir:<folder>', but got 'hub:x'"),
    ("local-dir:no/such", None, r"'no/such' does not exist"),
    ("dino", None, r"dino is a VFM: say --vfm dino"),
    ("sam-b", None, r"sam-b is a VFM: say --vfm sam-b"),
    ("mae", None, r"mae is a VFM"),
    ("tests", None, r"for the folder of that name say 'local-dir:tests'"),
    (None, "dnio", r"Expected one of .*'dnio'\. Did you mean 'dino'\?"),
    (None, "dino-s17", r"'dino-s17'; it has dino-s16, dino-s8, dino-b16, dino-b8"),
    (None, "sam-x", r"it has sam-b, sam-l, sam-h"),
    (None, "clip-x", r"no sizes by name"),
    (None, "ViT-B-16", r"ViT-B-16 is a CLIP: say --clip ViT-B-16"),
    (None, "tiny-clip", r"tiny-clip is a CLIP: say --clip tiny-clip"),
    (None, "my/none.py", r"'my/none\.py' does not exist"),
    (None, "dino,no/such.pth", r"'no/such\.pth' does not exist"),
    (None, "dino,local-dir:no/such", r"'no/such' does not exist"),
])  # fmt: skip
def test_wrong_names_are_refused(monkeypatch, clip, vfm, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        check_component_names(clip, vfm)


@pytest.mark.parametrize("clip", [
    "ViT-B-16", "vit-l/14@336px", "ViT-L-14-336,openai", "ViT-B-16,laion2b_s34b_b88k", "ViT-B-16-quickgelu,dfn2b",
    "hf-hub:someone/clip", "local-dir:proxyclip/tinyworld/weights/clip", "tiny-clip", "ViT-B-16,eval.py",
    "ViT-B-16,LAION2B-S34B-B88K",
])  # fmt: skip
def test_good_clips_pass(monkeypatch, clip):
    monkeypatch.chdir(ROOT)
    check_component_names(clip)


@pytest.mark.parametrize("vfm", [
    "none", "dino", "dinov2-s-reg", "dinov3-h+", "clip", "tiny", "tiny-mae", "dino,vit_small_patch16_224.dino",
    "dino,hf-hub:someone/vit", "tiny,local-dir:proxyclip/tinyworld/weights/mae", "proxyclip/models/vfm/dino.py",
    "sam-b,local-dir:proxyclip/tinyworld/weights/mae",
])  # fmt: skip
def test_good_vfms_pass(monkeypatch, vfm):
    monkeypatch.chdir(ROOT)
    check_component_names(vfm=vfm)


def test_names_added_to_open_clip_pass(monkeypatch):
    with pytest.raises(ValueError, match="'own-clip'"):
        check_component_names("own-clip,own.pt")
    config = open_clip.get_model_config("ViT-B-16")
    monkeypatch.setattr(open_clip, "list_models", lambda: ["own-clip"])
    monkeypatch.setattr(open_clip, "get_model_config", {"own-clip": config}.get)
    check_component_names("own-clip,own.pt")


def test_tables_are_those_of_open_clip():
    assert set(read_open_clip_configs()) == set(open_clip.list_models())
    tags = read_open_clip_tags()
    assert tags["ViT-B-16"][0] == "openai" and len(tags) > 50
    for name, known in tags.items():
        assert known == list_pretrained_tags_by_model(name), name


@pytest.mark.parametrize("name", ["ViT-B-61", "dino", "qqqq"])
def test_messages_are_those_of_the_loader(name):
    messages = []
    for check in (check_component_names, loading.canonical_clip_name, lambda text: parse_clip_spec(text, {})):
        with pytest.raises(ValueError) as error:
            check(name)
        messages.append(str(error.value))
    assert len(set(messages)) == 1


@pytest.mark.parametrize("name, hint", [("ViT-B-16", "say --clip ViT-B-16"), ("dino-s17", "it has dino-s16")])
def test_vfm_loader_says_the_same(name, hint):
    for check in (lambda text: check_component_names(vfm=text), parse_vfm_spec):
        with pytest.raises(ValueError, match=hint):
            check(name)


def test_check_imports_nothing_heavy():
    code = f"""
import sys
from proxyclip.models.names import check_component_names
check_component_names("ViT-B-16,openai", "dino-s16")
for clip, vfm in (("ViT-B-61", None), (None, "dnio")):
    try:
        check_component_names(clip, vfm)
    except ValueError:
        continue
    raise SystemExit(1)
assert not {sorted(HEAVY)} or not set({sorted(HEAVY)}) & set(sys.modules), set({sorted(HEAVY)}) & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
