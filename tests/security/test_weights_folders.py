"""Promise: a folder of weights runs no code, and makes the toolkit read and fetch nothing that was not named."""

import json
import socket

import huggingface_hub
import open_clip
import pytest
import timm
import torch
from helpers.reference import write_clip, write_vit
from timm.models import _builder, _helpers, _hub

from proxyclip.models.clip.dense import load_clip
from proxyclip.models.clip.loading import get_clip_config, load_open_clip
from proxyclip.models.clip.open_clip_form import create_open_clip_tokenizer
from proxyclip.models.vfm.dino import DINO
from proxyclip.models.weights import WeightsError


@pytest.fixture(autouse=True)
def guards(monkeypatch):
    """No connection, no download, and none of the libraries' own readers of weights."""

    def refuse(*arguments, **_):
        pytest.fail(f"called with {arguments}")

    for module, name in (
        (torch, "load"), (torch.jit, "load"), (open_clip.factory, "load_state_dict"), (_helpers, "load_state_dict"),
        (_builder, "load_state_dict"), (_builder, "load_state_dict_from_hf"), (_builder, "load_state_dict_from_path"),
        (_builder, "load_state_dict_from_url"), (_builder, "load_custom_from_hf"), (_hub, "hf_hub_download"),
        (huggingface_hub, "hf_hub_download"), (open_clip.pretrained, "hf_hub_download"), (socket, "create_connection")
    ):  # fmt: skip
        monkeypatch.setattr(module, name, refuse)


@pytest.fixture
def clip_folder(tmp_path):
    return write_clip(tmp_path / "clip")


@pytest.fixture
def vit_folder(tmp_path):
    return write_vit(tmp_path / "vit", "dino")


def change_json(path, change):
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def test_whole_folders_are_read_without_the_libraries_own_readers(clip_folder, vit_folder):
    load_clip(f"local-dir:{clip_folder}", None)
    DINO(f"local-dir:{vit_folder}")


CLIP_CHANGES = {
    "a vocabulary elsewhere": lambda c: c["text_cfg"].update(tokenizer_kwargs={"bpe_path": "/etc/hostname"}),
    "code of a tokenizer": lambda c: c["text_cfg"].update(
        hf_tokenizer_name="x/y", tokenizer_kwargs={"trust_remote_code": True}
    ),
    "a tokenizer's folder": lambda c: c["text_cfg"].update(hf_tokenizer_name="/tmp/elsewhere"),
    "a tokenizer above": lambda c: c["text_cfg"].update(hf_tokenizer_name="../x"),
    "options that are no object": lambda c: c["text_cfg"].update(tokenizer_kwargs=["trust_remote_code"]),
    "a text tower of another library": lambda c: c["text_cfg"].update(hf_model_name="x/y"),
    "an image tower of another library": lambda c: c["vision_cfg"].update(timm_model_name="hf-hub:x/y"),
    "that tower behind a ResNet": lambda c: c["vision_cfg"].update(timm_model_name="hf-hub:x/y", layers=[1, 1, 1, 1]),
    "a text tower behind a ResNet": lambda c: (
        c["text_cfg"].update(hf_model_name="x/y"), c["vision_cfg"].update(layers=[1, 1, 1, 1])
    ),
    "a tower of a terabyte": lambda c: c["vision_cfg"].update(width=300_000, head_width=100),
    "a million layers": lambda c: c["text_cfg"].update(layers=1_000_000),
    "a number beyond all": lambda c: c.update(embed_dim=10**12),
    "an unknown option": lambda c: c["vision_cfg"].update(forward="os.system"),
    "no tower": lambda c: c.pop("vision_cfg"),
}  # fmt: skip


@pytest.mark.parametrize("change", CLIP_CHANGES)
@pytest.mark.parametrize("resnets", [False, True])
def test_configs_of_clips_lead_nowhere_else(change, resnets, clip_folder):
    change_json(clip_folder / "open_clip_config.json", lambda config: CLIP_CHANGES[change](config["model_cfg"]))
    with pytest.raises((WeightsError, TypeError)) as error:
        load_open_clip(f"local-dir:{clip_folder}", None, resnets=resnets)
    assert str(clip_folder) in str(error.value)


@pytest.mark.parametrize("entry", [{"auto_map": {"AutoTokenizer": "code.Tokenizer"}}, {"vocab_file": "/etc/hostname"}])
@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
def test_tokenizers_of_folders_bring_no_code(entry, file, clip_folder):
    change_json(
        clip_folder / "open_clip_config.json", lambda c: c["model_cfg"]["text_cfg"].update(hf_tokenizer_name="x/y")
    )
    (clip_folder / file).write_text(json.dumps(entry))
    with pytest.raises(WeightsError, match=f"a tokenizer without code in .*{file}, but its {next(iter(entry))}"):
        load_open_clip(f"local-dir:{clip_folder}", None)


def test_a_tokenizer_of_transformers_is_asked_for_without_code(clip_folder, monkeypatch):
    calls = []
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda name, **options: calls.append(options))
    create_open_clip_tokenizer(f"local-dir:{clip_folder}")
    change_json(
        clip_folder / "open_clip_config.json", lambda c: c["model_cfg"]["text_cfg"].update(hf_tokenizer_name="x/y")
    )
    create_open_clip_tokenizer(f"local-dir:{clip_folder}")
    assert calls == [{}, {"trust_remote_code": False}]


VIT_CHANGES = {
    "an architecture of the hub": lambda c: c.update(architecture="hf-hub:x/y"),
    "an architecture of a folder": lambda c: c.update(architecture="local-dir:/tmp"),
    "an architecture that is none": lambda c: c.update(architecture=["x"]),
    "weights that may be missing": lambda c: c.update(model_args={"pretrained_strict": False}),
    "a record over the record": lambda c: c.update(model_args={"pretrained_cfg_overlay": {"url": "http://x/y"}}),
    "another checkpoint": lambda c: c.update(model_args={"checkpoint_path": "/etc/hostname"}),
    "a class by name": lambda c: c.update(model_args={"block_fn": "os.system"}),
    "a layer by name": lambda c: c.update(model_args={"norm_layer": "os.system"}),
    "a million layers": lambda c: c.update(model_args={"depth": 1_000_000}),
    "a width of a terabyte": lambda c: c.update(model_args={"embed_dim": 300_000, "num_heads": 3}),
    "a ratio of a billion": lambda c: c.update(model_args={"mlp_ratio": 1e9}),
    "an unknown entry": lambda c: c["pretrained_cfg"].update(run="os.system"),
}


@pytest.mark.parametrize("change", VIT_CHANGES)
def test_configs_of_vfms_lead_nowhere_else(change, vit_folder):
    change_json(vit_folder / "config.json", VIT_CHANGES[change])
    with pytest.raises(WeightsError, match=r"cannot be loaded|Expected .* of at most") as error:
        DINO(f"local-dir:{vit_folder}")
    assert str(vit_folder) in str(error.value)


@pytest.mark.parametrize(
    "source",
    [
        {"url": "http://127.0.0.1:9/x.pth"},
        {"hf_hub_id": "x/y", "source": "hf-hub"},
        {"hf_hub_id": "x/y", "hf_hub_filename": "x.npz", "custom_load": "hf"},
        {"file": "/etc/hostname", "custom_load": True},
        {"state_dict": {"cls_token": 1}},
    ],
)
def test_sources_in_a_config_are_ignored(source, vit_folder):
    expected = DINO(f"local-dir:{vit_folder}").state_dict()
    change_json(vit_folder / "config.json", lambda config: config["pretrained_cfg"].update(source))
    actual = DINO(f"local-dir:{vit_folder}").state_dict()
    assert all(torch.equal(actual[name], value) for name, value in expected.items())


@pytest.mark.parametrize("content", ["[" * 10**5, "[]", '"x"', "{", '{"model_cfg": 1}', '{"architecture": "x"}'])
def test_configs_of_another_kind_are_refused_with_a_sentence(content, clip_folder, vit_folder):
    (clip_folder / "open_clip_config.json").write_text(content)
    (vit_folder / "config.json").write_text(content)
    for load in (
        lambda: load_clip(f"local-dir:{clip_folder}", None),
        lambda: get_clip_config(f"local-dir:{clip_folder}"),
        lambda: DINO(f"local-dir:{vit_folder}"),
    ):
        with pytest.raises(WeightsError, match=r"cannot be (loaded|read)"):
            load()


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/hostname", "a/b.safetensors", "..", ""])
def test_an_index_names_files_beside_it_alone(name, tmp_path):
    from proxyclip.models.weights.reading import read_tensors

    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": name}}))
    with pytest.raises(WeightsError, match="expected names of files beside it"):
        read_tensors(tmp_path / "model.safetensors.index.json")


def test_files_beside_weights_have_a_size_that_is_refused(clip_folder, vit_folder, monkeypatch):
    monkeypatch.setattr("proxyclip.models.weights.json_files.MAX_JSON_BYTES", 100)
    for load in (lambda: load_clip(f"local-dir:{clip_folder}", None), lambda: DINO(f"local-dir:{vit_folder}")):
        with pytest.raises(WeightsError, match="of at most"):
            load()


def test_names_of_timms_table_are_still_known():
    assert timm.is_model("vit_small_patch16_224.dino") and not timm.is_model("hf-hub:x/y")
