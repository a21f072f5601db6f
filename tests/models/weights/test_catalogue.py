"""The catalogue of weights: true to open_clip's, timm's and the documents' tables, found where they lie."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants as hub_constants
import open_clip
import pytest
import timm
import torch
from open_clip.pretrained import get_pretrained_cfg
from safetensors.torch import save_file

from proxyclip.cli.weights import main
from proxyclip.engine.config.components import parse_clip_spec, parse_vfm_spec
from proxyclip.models.clip.dense import load_clip
from proxyclip.models.clip.loading import default_clip_tag, list_supported_clips
from proxyclip.models.registry import list_plugins, load_plugin_class
from proxyclip.models.vfm import resolve_vfm_spec
from proxyclip.models.vfm.dino import DINO
from proxyclip.models.vfm.sam import SAM
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.catalogue import (
    WEIGHTS_FILES,
    find_weights_entry,
    get_weights_folder,
    list_known_hashes,
    list_required_weights,
    list_weights_entries,
)
from proxyclip.models.weights.verify import verify_local_weights, verify_weights_file
from proxyclip.utils.paths import ROOT

CLIPS = [entry for entry in list_weights_entries() if entry.kind == "clip" and entry.hub]
VFMS = [entry for entry in list_weights_entries() if entry.kind == "vfm" and entry.hub]
TINY = [entry for entry in list_weights_entries() if entry.file]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An empty hub cache and an empty folder of this project; no network."""
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("PROXYCLIP_CACHE", str(tmp_path / "own"))
    return tmp_path


def cache(machine, entry, content=None):
    """Put a file into the hub's cache as its client does, named by its SHA-256; returns the path in the snapshot."""
    content = b"weights" if content is None else content
    repository = machine / "hub" / ("models--" + entry.hub.replace("/", "--"))
    blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
    path = repository / "snapshots" / ("1" * 40) / WEIGHTS_FILES[entry.kind][0]
    for folder in (blob.parent, path.parent, repository / "refs"):
        folder.mkdir(parents=True)
    blob.write_bytes(content)
    path.symlink_to(blob)
    (repository / "refs" / "main").write_text("1" * 40)
    return path


def size(model):
    return sum(value.numel() * value.element_size() for value in model.state_dict().values())


@pytest.mark.parametrize("entry", CLIPS, ids=lambda e: e.name)
def test_clips_are_open_clips(entry):
    name, _, tag = entry.name.partition(",")
    assert name in list_supported_clips()
    tag = tag or default_clip_tag(name)
    assert get_pretrained_cfg(name, tag)["hf_hub"] == f"{entry.hub}/"
    assert find_weights_entry(f"{name},{tag}") is entry or find_weights_entry(f"{name},{tag}") == entry
    assert (entry.name == name) == (tag == default_clip_tag(name))


@pytest.mark.parametrize("entry", VFMS, ids=lambda e: e.name)
def test_vfms_are_the_short_names(entry):
    assert entry.hub == f"timm/{resolve_vfm_spec(entry.name)['model']}"
    assert timm.get_pretrained_cfg(entry.hub.removeprefix("timm/")).hf_hub_id == entry.hub
    for family in entry.also:
        assert load_plugin_class("vfm", family).default == entry.hub.removeprefix("timm/")


def test_every_short_name_is_in_the_catalogue():
    names = {f"{family}-{size}" for family in list_plugins("vfm") for size in variants(family)}
    assert {entry.name for entry in list_weights_entries() if entry.kind == "vfm"} == names
    assert find_weights_entry("sam").name == f"sam-{SAM.__init__.__defaults__[0].removeprefix('vit_')}"


def variants(family):
    return getattr(load_plugin_class("vfm", family), "variants", {})


def test_the_documents_tables_are_true():
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(ViT[\w-]+)`[^|]*\|[^|]*\|[^|]*\| `(\w+)` \|([^|]*)\|$", text, re.MULTILINE)
    wanted = {f"{name},{tag}" for name, usual, more in rows for tag in (usual, *re.findall(r"`(\w+)`", more))}
    assert {f"{e.name},{default_clip_tag(e.name)}" if "," not in e.name else e.name for e in CLIPS} == wanted
    licences = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", text, re.MULTILINE))
    for entry in list_weights_entries():
        if entry.kind == "vfm" and not entry.file:
            assert entry.licence.split(" (")[0] in licences[entry.name.partition("-")[0]], entry.name


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-L-14-336"])
def test_sizes_of_clips(name):
    assert find_weights_entry(name).bytes == size(open_clip.create_model(name, load_weights=False, device="meta"))


@pytest.mark.parametrize("name", ["dino-s16", "dinov2-b-reg", "dinov3-s+", "mae-h"])
def test_sizes_of_vfms(name):
    with torch.device("meta"):
        assert find_weights_entry(name).bytes == size(timm.create_model(resolve_vfm_spec(name)["model"], num_classes=0))


def test_hashes_are_known_from_somewhere():
    for entry in list_weights_entries():
        assert bool(entry.sha256) == bool(entry.sha256_from) == (not entry.hub), entry.name
    for name, (digest, known_from) in list_known_hashes().items():
        assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", digest), name
        assert known_from
    for name in ("ViT-B-16", "ViT-B-32", "ViT-L-14", "ViT-L-14-336"):
        folder, file = get_pretrained_cfg(name, "openai")["url"].split("/")[-2:]
        assert list_known_hashes()[file][0] == folder


@pytest.mark.parametrize("entry", TINY, ids=lambda e: e.name)
def test_the_embedded_ones_are_in_order(entry):
    assert entry.place == ROOT / entry.file
    assert entry.bytes == entry.place.stat().st_size
    assert verify_weights_file(entry.place, entry).state == "ok"
    words = entry.use.split()[1]
    assert parse_vfm_spec(words) if entry.kind == "vfm" else parse_clip_spec(words, {})["clip_type"] is None


@pytest.mark.parametrize("words", ["ViT-L-14-336", "vit-l/14@336px", "ViT-L/14@336,openai", "ViT-L-14-336,openai"])
def test_spellings_of_a_clip(words):
    assert find_weights_entry(words).name == "ViT-L-14-336"


def test_names_beyond_the_catalogue():
    assert find_weights_entry("ViT-B-16-quickgelu,dfn2b").hub == "apple/DFN2B-CLIP-ViT-B-16"
    assert find_weights_entry("ViT-L-14,laion400m_e32").hub == "timm/vit_large_patch14_clip_224.laion400m_e32"
    assert find_weights_entry("ViT-L-14,laion400m_e32").bytes is None
    assert find_weights_entry("hf-hub:someone/clip").hub == "someone/clip"
    assert find_weights_entry("dino,vit_base_patch8_224.dino").name == "dino-b8"
    assert find_weights_entry("dinov3,vit_large_patch16_dinov3.sat493m").hub == "timm/vit_large_patch16_dinov3.sat493m"
    with pytest.raises(ValueError, match=r"as dino-s16.*but got 'dino-s17'.*weights list"):
        find_weights_entry("dino-s17")


def test_needed(machine):
    def names(clip, vfm):
        return [entry.name for entry in list_required_weights(clip, vfm)]

    assert names("ViT-B-16", "dino") == ["ViT-B-16", "dino-b8"]
    assert names("ViT-B-16,openai", "sam-l") == ["ViT-B-16", "sam-l"]
    assert names("ViT-B-16,dfn2b", None) == ["ViT-B-16,dfn2b"]
    assert names("local-dir:X", "tiny") == ["tiny-contrast"]
    for clip, vfm in (("local-dir:X", "none"), (None, "dino,x.pth"), ("ViT-B-16,x.pt", "clip"), ("ViT-Z", "my/own.py")):
        assert names(clip, vfm) == [], (clip, vfm)
    (entry,) = list_required_weights("ViT-B-16", None)
    assert (entry.place, entry.licence) == (None, "MIT")
    assert entry.source == f"{hub_constants.ENDPOINT}/timm/vit_base_patch16_clip_224.openai"
    path = cache(machine, entry)
    assert entry.place == path


def test_list(machine, capsys):
    cache(machine, find_weights_entry("dino-s16"))
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for entry in list_weights_entries():
        row = next(line for line in lines if line.startswith((f"│ {entry.name} ", f"│ {entry.name}(")))
        assert entry.licence in row
        assert ("hub cache" in row) == (entry.name == "dino-s16")
    assert any(str(machine / "hub") in line for line in lines)
    assert main(["list", "--json"]) == 0
    records = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert list(records) == [entry.name for entry in list_weights_entries()]
    assert records["dino-s16"]["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert records["dino-s16"]["sha256_from"]
    assert records["dino-b8"]["place"] is None


def test_list_needs_no_pytorch():
    blocked = ("torch", "open_clip", "timm", "mmseg", "mmengine", "segment_anything")
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); sys.argv = ['proxyclip', 'weights', 'list']\n"
    code += "import runpy; runpy.run_module('proxyclip', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ViT-bigG-14" in done.stdout


def test_verify_of_what_is_kept(machine, capsys):
    """A file of the hub whose bytes changed, one that was cut short, and one of unknown hash."""
    tensors = {"x": torch.arange(100.0)}
    get_weights_folder().mkdir(parents=True)
    save_file(tensors, get_weights_folder() / "mine.safetensors")
    content = (get_weights_folder() / "mine.safetensors").read_bytes()
    cache(machine, find_weights_entry("dino-s8"), content)
    assert main(["verify"]) == 0
    assert "unknown hash" in capsys.readouterr().out
    blob = cache(machine, find_weights_entry("dino-s16"), content).resolve()
    blob.write_bytes(content[:-10])
    (get_weights_folder() / "sam_vit_b_01ec64.pth").write_bytes(b"PK short")
    assert main(["verify"]) == 1
    found = {one.name: one for one in verify_local_weights()}
    states = {name: one.state for name, one in found.items() if "tiny" not in name}
    unknown = {"mine.safetensors": "unknown hash"}
    assert states == unknown | {"dino-s8": "ok", "dino-s16": "wrong", "sam-b": "wrong"}
    assert found["dino-s8"].note == "as in the hub's record of the file"
    for words in ("SHA-256 is ", "expected ", "cannot be read", "weights fetch dino-s16"):
        assert words in found["dino-s16"].note


def test_verify_says_how_much_of_a_file_is_there(machine):
    get_weights_folder().mkdir(parents=True)
    (get_weights_folder() / "sam_vit_b_01ec64.pth").write_bytes(b"PK short")
    verdict = verify_weights_file(find_weights_entry("sam").place, find_weights_entry("sam"))
    for words in ("8 of 375042383 bytes", "it is cut short", "weights fetch sam-b"):
        assert words in verdict.note


def test_verify_by_name(machine, tmp_path, capsys):
    assert main(["verify", "dino", "tiny"]) == 0
    assert "not here" in capsys.readouterr().out
    assert main(["verify", "dino-s17"]) == 2
    assert main(["verify", str(tmp_path / "none.pth")]) == 1
    (tmp_path / "folder").mkdir()
    assert main(["verify", str(tmp_path / "folder")]) == 1
    torch.save({"x": torch.zeros(1)}, tmp_path / "ViT-B-16.pt")
    assert main(["verify", str(tmp_path / "ViT-B-16.pt")]) == 1  # a file of that name has a known hash
    (tmp_path / "ViT-B-16.pt").rename(tmp_path / "other.pt")
    assert main(["verify", str(tmp_path / "other.pt")]) == 0


def test_small_files_of_the_hub_are_named_by_gits_hash(tmp_path):
    content = b"weights"
    name = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True).stdout
    blob = tmp_path / "blobs" / name.decode().strip()
    blob.parent.mkdir()
    blob.write_bytes(content)
    note = verify_weights_file(blob).note
    assert "SHA-1" not in note
    blob.write_bytes(content + b"!")
    assert "git's SHA-1 is " in verify_weights_file(blob).note


def test_missing_weights_say_the_command(machine):
    with pytest.raises(WeightsError, match=r"^.*python -m proxyclip weights fetch ViT-B-32\n"):
        load_clip("ViT-B-32", "openai")
    with pytest.raises(WeightsError, match=r"^.*python -m proxyclip weights fetch dino-s16\n"):
        DINO("vit_small_patch16_224.dino")
    with pytest.raises(WeightsError, match=r"^.*python -m proxyclip weights fetch sam-l, or give it checkpoint="):
        SAM("vit_l")


def test_public_names_of_the_package():
    from proxyclip.models import weights
    from proxyclip.models.weights import __all__

    for name in __all__:
        assert callable(getattr(weights, name)), name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = weights.nothing
    assert Path(weights.__file__).name == "__init__.py"
