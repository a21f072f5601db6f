"""Names, tags, files, folders and hub repositories of CLIPs; others are refused with a reason."""

import importlib.util
import json
import re

import huggingface_hub.constants
import open_clip
import pytest
import torch
from helpers.hub_models import add_tiny_clip, add_to_hub_cache, shrink_clip_config
from helpers.reference import tensors, write_clip
from open_clip.pretrained import list_pretrained_tags_by_model
from safetensors.torch import save_file

from proxyclip.models.clip import loading
from proxyclip.models.clip.dense import load_clip
from proxyclip.models.weights import WeightsError
from proxyclip.utils.paths import ROOT

PUBLISHED = ["ViT-B-16", "ViT-B-32", "ViT-L-14", "ViT-L-14-336", "ViT-H-14", "ViT-g-14", "ViT-bigG-14"]


@pytest.fixture
def named(tmp_path, monkeypatch):
    """A built-in open_clip architecture with three pretrained tags, two of them in the hub's cache."""
    names = {"openai": "openai", "laion2b": "laion", "nowhere": "absent"}
    tags = {tag: {"hf_hub": f"someone/tiny.{name}/", "quick_gelu": tag == "openai"} for tag, name in names.items()}
    add_tiny_clip(monkeypatch, tmp_path / "configs", tags)
    for name in ("tiny.openai", "tiny.laion"):
        write = lambda path: save_file(tensors("clip_tiny"), path)  # noqa: E731
        add_to_hub_cache(tmp_path / "hub", f"someone/{name}", "open_clip_model.safetensors", write)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return "tiny-test"


@pytest.mark.parametrize("spelling", ["tiny-test", "tiny/test"])
@pytest.mark.parametrize("tag, activation", [("openai", "QuickGELU"), ("laion2b", "GELU")])
def test_tags_get_the_activation_of_their_training(named, spelling, tag, activation, recwarn):
    clip = load_clip(spelling, tag)
    assert clip.activation == activation
    assert clip.model.transformer.resblocks[0].mlp.gelu.__class__.__name__ == activation
    assert not [w for w in recwarn if "QuickGELU mismatch" in str(w.message)]
    torch.testing.assert_close(clip.model.visual.proj, tensors("clip_tiny")["visual.proj"])


def test_missing_weights_are_reported_with_source_and_remedy(named):
    with pytest.raises(WeightsError) as error:
        load_clip(named, "nowhere")
    for part in ("'nowhere'", "https://huggingface.co/someone/tiny.absent", "hf download", "local-dir:FOLDER"):
        assert part in str(error.value)


def test_load_clip_refuses_wrong_names(named):
    with pytest.raises(ValueError, match=r"'ViT-B-61'; close are .*ViT-B-16\b"):
        load_clip("ViT-B-61", "openai")
    with pytest.raises(ValueError, match=r"'hf-hub:<repository>' or 'local-dir:<folder>', but got 'hub:x'"):
        load_clip("hub:x", None)
    with pytest.raises(ValueError, match=r"openai, laion2b, nowhere.*'opnai'"):
        load_clip(named, "opnai")
    with pytest.raises(FileNotFoundError, match="nowhere/at/all"):
        load_clip("local-dir:nowhere/at/all", None)
    with pytest.raises(WeightsError, match=r"ViT-H-14 needs weights.*laion2b_s32b_b79k"):
        load_clip("ViT-H/14", None)
    with pytest.raises(WeightsError, match=r"ViT-S-16 needs weights.*has none"):
        load_clip("ViT-S-16", None)


@pytest.mark.parametrize("file, activation", [
    ("ViT-B-16.openai.pt", "QuickGELU"), ("metaclip_b16.safetensors", "QuickGELU"), ("dfn2b.pt", "QuickGELU"),
    ("laion2b.safetensors", "GELU"), ("dfn-but-laion2b.safetensors", "GELU"),
])  # fmt: skip
def test_weights_files_get_the_activation_of_their_name(named, tmp_path, file, activation):
    path = tmp_path / file
    save_file(tensors("clip_tiny"), path) if file.endswith("safetensors") else torch.save(tensors("clip_tiny"), path)
    clip = load_clip(named, str(path))
    assert clip.activation == activation
    torch.testing.assert_close(clip.model.text_projection, tensors("clip_tiny")["text_projection"])


@pytest.mark.parametrize("tag, mean, activation", [
    ("laion2b_s32b_b82k", 0.5, "GELU"), ("dfn2b_s39b", 0.48145466, "GELU"), ("dfn2b", 0.48145466, "QuickGELU"),
    ("openai", 0.48145466, "QuickGELU"),
])  # fmt: skip
def test_weights_files_get_the_normalization_of_their_tag(tmp_path, monkeypatch, tag, mean, activation):
    """LAION's ViT-L/14 was trained with mean 0.5; DFN's on 39 billion images, alone of its family, with GELU."""
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    open_clip.factory._MODEL_CONFIGS["ViT-L-14"] = shrink_clip_config(open_clip.get_model_config("ViT-L-14"))
    path = tmp_path / f"clip_{tag}.pt"
    torch.save(open_clip.create_model("ViT-L-14", load_weights=False).state_dict(), path)
    clip = load_clip("ViT-L/14", str(path))
    assert clip.own_mean.flatten()[0] == pytest.approx(mean)
    assert clip.activation == activation


class Holder(torch.nn.Module):
    """Tensors under dotted names, so that a TorchScript archive has OpenAI's keys."""

    def forward(self, x):
        return x


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_openai_archive_is_loaded_in_float32_with_quick_gelu(named, tmp_path):
    """OpenAI's own .pt is a TorchScript archive in half precision with three extra scalars."""
    state = {k: v.half() for k, v in tensors("clip_tiny").items()}
    state |= {k: torch.tensor(7) for k in ("input_resolution", "context_length", "vocab_size")}
    root = Holder()
    for name, value in state.items():
        module, *path = root, *name.split(".")
        for part in path[:-1]:
            if part not in module._modules:
                module.add_module(part, Holder())
            module = module._modules[part]
        module.register_buffer(path[-1], value)
    torch.jit.script(root).save(str(tmp_path / "ViT-tiny.pt"))
    clip = load_clip(named, str(tmp_path / "ViT-tiny.pt"))
    assert clip.activation == "QuickGELU"
    assert clip.model.visual.proj.dtype == torch.float32
    torch.testing.assert_close(clip.model.visual.proj, tensors("clip_tiny")["visual.proj"])


def test_damaged_weights_files_are_refused(named, tmp_path):
    path = tmp_path / "page.pt"
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(WeightsError, match=r"page\.pt cannot be read.*get it again"):
        load_clip(named, str(path))
    path = tmp_path / "cut.safetensors"
    save_file(tensors("clip_tiny"), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"cut\.safetensors cannot be read"):
        load_clip(named, str(path))
    torch.save({k: v for k, v in tensors("clip_tiny").items() if "resblocks.2" not in k}, tmp_path / "short.pt")
    with pytest.raises(WeightsError, match=r"short\.pt does not fit CLIP: 12 missing tensors \(first: "):
        load_clip(named, str(tmp_path / "short.pt"))


def test_folder_without_weights_is_an_error(tmp_path):
    folder = write_clip(tmp_path / "clip")
    with pytest.raises(ValueError, match="clip_type=None"):
        load_clip(f"local-dir:{folder}", "openai")
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"open_clip_model\.safetensors"):
        load_clip(f"local-dir:{folder}", None)


def test_tower_of_a_hub_model_is_checked_before_its_weights_are_fetched(tmp_path, monkeypatch):
    config = json.dumps({"model_cfg": open_clip.get_model_config("ViT-B-16-SigLIP")})
    add_to_hub_cache(tmp_path, "someone/siglip", "open_clip_config.json", lambda path: path.write_text(config))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(TypeError, match=r"'hf-hub:someone/siglip': SigLIP has no class token"):
        load_clip("hf-hub:someone/siglip", None)
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_clip("hf-hub:someone/nothing", None)


@pytest.mark.parametrize("spelling, name", [
    ("ViT-B/16", "ViT-B-16"), ("ViT-L/14@336px", "ViT-L-14-336"), ("ViT-L-14@336", "ViT-L-14-336"),
    ("vit-b-16", "ViT-B-16"), ("ViT-BigG-14", "ViT-bigG-14"), ("ViT-B/16-quickgelu", "ViT-B-16-quickgelu"),
    ("RN50", "RN50"),
])  # fmt: skip
def test_canonical_clip_name_accepts_spellings(spelling, name):
    assert loading.canonical_clip_name(spelling) == name


def test_no_two_names_of_open_clip_differ_in_case_alone():
    assert len({name.lower() for name in open_clip.list_models()}) == len(open_clip.list_models())


def test_wrong_names_are_answered_with_close_ones(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"'ViT-L/14@337px'; close are .*ViT-L-14-336\b.*supported") as error:
        loading.canonical_clip_name("ViT-L/14@337px")
    assert len(str(error.value)) < 400
    with pytest.raises(ValueError, match=r"got 'qqqqq'\. All:"):
        loading.canonical_clip_name("qqqqq")
    (tmp_path / "CLIP_FOLDER").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="say 'local-dir:CLIP_FOLDER'"):
        loading.canonical_clip_name("CLIP_FOLDER")


@pytest.mark.parametrize("name, tag", [
    ("ViT-L/14@336px", "openai"), ("ViT-H-14", "laion2b_s32b_b79k"), ("ViT-g-14", "laion2b_s34b_b88k"),
    ("ViT-bigG-14", "laion2b_s39b_b160k"), ("ViT-S-16", None), ("ViT-X-99", None), ("local-dir:somewhere", None),
])  # fmt: skip
def test_default_clip_tag_exists(name, tag):
    assert loading.default_clip_tag(name) == tag
    assert tag is None or tag in list_pretrained_tags_by_model(loading.canonical_clip_name(name))


REFUSED = {
    "RN50x4": "a ResNet", "convnext_base_w": "a ConvNeXt", "EVA01-g-14": "EVA's tower",
    "EVA02-L-14-336": "rotary positions", "ViT-SO400M-14-SigLIP2-378": "SigLIP has no class token",
    "nllb-clip-base-siglip": "SigLIP has no class token", "coca_base": "CoCa", "ViTamin-L-336": "ViTamin",
    "PE-Core-B-16": "PE-Core", "MobileCLIP-S1": "FastViT", "MobileCLIP-B": "stem of convolutions",
    "MobileCLIP2-L-14": "timm's", "swin_base_patch4_window7_224": "Swin", "roberta-ViT-B-32": "roberta-base",
}  # fmt: skip


@pytest.mark.parametrize("name, reason", REFUSED.items())
def test_unsupported_names_are_refused_before_anything_is_fetched(name, reason, monkeypatch):
    monkeypatch.setattr(open_clip, "create_model", lambda *_, **__: pytest.fail("a model is made"))
    with pytest.raises(TypeError, match=rf"VisionTransformer, but got '{name}': .*{reason}"):
        load_clip(name, "openai")


def test_every_name_is_supported_or_refused_for_a_reason_of_its_family():
    supported = set(loading.list_supported_clips())
    assert set(PUBLISHED) <= supported and len(supported) >= 40
    vague = []
    for name in set(open_clip.list_models()) - supported:
        reason = loading.unsupported_clip_reason(open_clip.get_model_config(name))
        assert reason
        if reason.startswith("its image tower is timm's"):
            vague.append(name)
    assert sorted(vague) == ["MobileCLIP2-L-14", "vit_medium_patch16_gap_256", "vit_relpos_medium_patch16_cls_224"]


UNFIT = [
    dict(attentional_pool=True),
    dict(attentional_pool="parallel"),
    dict(pool_type="none"),
    dict(block_type="custom"),
    dict(patch_size=[16, 8]),
    *({key: True} for key in ("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn")),
    dict(scale_fc=True),
]


@pytest.mark.parametrize("option", UNFIT, ids=str)
def test_configs_with_other_attention_are_refused(tmp_path, option):
    config = shrink_clip_config(open_clip.get_model_config("ViT-S-16"))
    config["vision_cfg"] |= option
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    with pytest.raises(TypeError, match=r"pooler|attention module|not square"):
        load_clip(f"local-dir:{tmp_path}", None)


def test_tokenizers_of_transformers_are_required_before_the_weights(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(open_clip, "create_model", lambda *_, **__: pytest.fail("a model is made"))
    with pytest.raises(WeightsError, match=r"ViT-L-14-CLIPA needs the tokenizer 'bert-base-uncased'.*pip install"):
        load_clip("ViT-L-14-CLIPA", "datacomp1b")


def test_table_of_names_in_the_documents_is_true():
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(ViT-\S+)`(?: \(`(.*?)`\))? \| (\d+) \| (\d+) \| `(\w+)` \| (.*)\|$", text, re.MULTILINE)
    assert [row[0] for row in rows] == PUBLISHED
    for name, spelling, patch, size, tag, others in rows:
        vision = open_clip.get_model_config(name)["vision_cfg"]
        assert (vision["patch_size"], vision["image_size"]) == (int(patch), int(size))
        assert not spelling or loading.canonical_clip_name(spelling) == name
        assert tag == loading.default_clip_tag(name)
        assert set(re.findall(r"`(\w+)`", others)) <= set(list_pretrained_tags_by_model(name)), name
