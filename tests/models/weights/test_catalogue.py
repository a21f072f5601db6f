"""The catalog of weights equals open_clip's, timm's and the documents' tables; its files are found."""

import hashlib
import json
import re
import subprocess
import sys

import huggingface_hub.constants as hub_constants
import open_clip
import pytest
import timm
import torch
from helpers.hub_models import cache_weights
from open_clip.pretrained import get_pretrained_cfg

from proxyclip.cli.weights import main
from proxyclip.engine.config.components import parse_clip_spec, parse_vfm_spec
from proxyclip.models.clip.dense import load_clip
from proxyclip.models.clip.loading import default_clip_tag, list_supported_clips
from proxyclip.models.names import check_component_names
from proxyclip.models.registry import list_plugins, load_plugin_class
from proxyclip.models.vfm import resolve_vfm_spec
from proxyclip.models.vfm.dino import DINO
from proxyclip.models.vfm.sam import SAM
from proxyclip.models.weights import WeightsError, catalogue
from proxyclip.models.weights.verify import verify_weights_file
from proxyclip.utils.paths import ROOT

CLIPS = [entry for entry in catalogue.list_weights_entries() if entry.kind == "clip" and entry.hub]
VFMS = [entry for entry in catalogue.list_weights_entries() if entry.kind == "vfm" and entry.hub]
TINY = [entry for entry in catalogue.list_weights_entries() if entry.file]


@pytest.mark.parametrize("entry", CLIPS, ids=lambda e: e.name)
def test_clips_are_those_of_open_clip(entry):
    name, _, tag = entry.name.partition(",")
    assert name in list_supported_clips()
    tag = tag or default_clip_tag(name)
    assert get_pretrained_cfg(name, tag)["hf_hub"] == f"{entry.hub}/"
    assert catalogue.find_weights_entry(f"{name},{tag}") == entry
    assert (entry.name == name) == (tag == default_clip_tag(name))


@pytest.mark.parametrize("entry", VFMS, ids=lambda e: e.name)
def test_vfms_are_those_of_the_short_names(entry):
    assert entry.hub == f"timm/{resolve_vfm_spec(entry.name)['model']}"
    assert timm.get_pretrained_cfg(entry.hub.removeprefix("timm/")).hf_hub_id == entry.hub
    for family in entry.also:
        assert load_plugin_class("vfm", family).default == entry.hub.removeprefix("timm/")


def test_every_short_name_is_in_the_catalogue():
    families = {family: getattr(load_plugin_class("vfm", family), "variants", {}) for family in list_plugins("vfm")}
    names = {f"{family}-{size}" for family, variants in families.items() for size in variants}
    assert {entry.name for entry in catalogue.list_weights_entries() if entry.kind == "vfm"} == names
    assert catalogue.find_weights_entry("sam").name == f"sam-{SAM.__init__.__defaults__[0].removeprefix('vit_')}"


def test_tables_in_the_documents_are_true():
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(ViT[\w-]+)`[^|]*\|[^|]*\|[^|]*\| `(\w+)` \|([^|]*)\|$", text, re.MULTILINE)
    wanted = {f"{name},{tag}" for name, usual, more in rows for tag in (usual, *re.findall(r"`(\w+)`", more))}
    assert {f"{e.name},{default_clip_tag(e.name)}" if "," not in e.name else e.name for e in CLIPS} == wanted
    licences = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", text, re.MULTILINE))
    for entry in catalogue.list_weights_entries():
        if entry.kind == "vfm" and not entry.file:
            assert entry.licence.split(" (")[0] in licences[entry.name.partition("-")[0]], entry.name


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-L-14-336", "dino-s16", "dinov2-b-reg", "dinov3-s+", "mae-h"])
def test_bytes_equal_open_clip_and_timm(name):
    with torch.device("meta"):
        if name.startswith("ViT"):
            model = open_clip.create_model(name, load_weights=False, device="meta")
        else:
            model = timm.create_model(resolve_vfm_spec(name)["model"], num_classes=0)
    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    assert catalogue.find_weights_entry(name).bytes == size


def test_every_hash_has_a_source():
    for entry in catalogue.list_weights_entries():
        assert bool(entry.sha256) == bool(entry.sha256_from) == (not entry.hub), entry.name
    for name, (digest, known_from) in catalogue.list_known_hashes().items():
        assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", digest), name
        assert known_from
    for name in ("ViT-B-16", "ViT-B-32", "ViT-L-14", "ViT-L-14-336"):
        folder, file = get_pretrained_cfg(name, "openai")["url"].split("/")[-2:]
        assert catalogue.list_known_hashes()[file][0] == folder


@pytest.mark.parametrize("entry", TINY, ids=lambda e: e.name)
def test_embedded_weights_are_verified_and_usable(entry):
    assert entry.place == ROOT / entry.file
    assert entry.bytes == entry.place.stat().st_size
    assert verify_weights_file(entry.place, entry).state == "ok"
    spec = entry.use.split()[1]
    assert parse_vfm_spec(spec) if entry.kind == "vfm" else parse_clip_spec(spec, {})["clip_type"] is None


@pytest.mark.parametrize("name", ["ViT-L-14-336", "vit-l/14@336px", "ViT-L/14@336,openai", "ViT-L-14-336,openai"])
def test_find_weights_entry_accepts_spellings(name):
    assert catalogue.find_weights_entry(name).name == "ViT-L-14-336"


def test_find_weights_entry_knows_names_of_open_clip_and_timm():
    assert catalogue.find_weights_entry("ViT-B-16-quickgelu,dfn2b").hub == "apple/DFN2B-CLIP-ViT-B-16"
    assert catalogue.find_weights_entry("ViT-L-14,laion400m_e32").hub == "timm/vit_large_patch14_clip_224.laion400m_e32"
    assert catalogue.find_weights_entry("ViT-L-14,laion400m_e32").bytes is None
    assert catalogue.find_weights_entry("hf-hub:someone/clip").hub == "someone/clip"
    assert catalogue.find_weights_entry("dino,vit_base_patch8_224.dino").name == "dino-b8"
    sat = "vit_large_patch16_dinov3.sat493m"
    assert catalogue.find_weights_entry(f"dinov3,{sat}").hub == f"timm/{sat}"
    with pytest.raises(ValueError, match=r"as dino-s16.*but got 'dino-s17'.*weights list"):
        catalogue.find_weights_entry("dino-s17")


def test_list_required_weights(caches):
    def names(clip, vfm):
        return [entry.name for entry in catalogue.list_required_weights(clip, vfm)]

    assert names("ViT-B-16", "dino") == ["ViT-B-16", "dino-b8"]
    assert names("ViT-B-16,openai", "sam-l") == ["ViT-B-16", "sam-l"]
    assert names("ViT-B-16,dfn2b", None) == ["ViT-B-16,dfn2b"]
    assert names("local-dir:X", "tiny") == ["tiny-contrast"]
    for clip, vfm in (("local-dir:X", "none"), (None, "dino,x.pth"), ("ViT-B-16,x.pt", "clip"), ("ViT-Z", "my/own.py")):
        assert names(clip, vfm) == [], (clip, vfm)
    (entry,) = catalogue.list_required_weights("ViT-B-16", None)
    assert (entry.place, entry.licence) == (None, "MIT")
    assert entry.source == f"{hub_constants.ENDPOINT}/timm/vit_base_patch16_clip_224.openai"
    path = cache_weights(caches, entry, b"weights")
    assert entry.place == path


@pytest.mark.parametrize("columns", [None, 80, 100, 200])
def test_list_has_a_line_a_row_in_the_columns_that_there_are(caches, capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns)) if columns else monkeypatch.delenv("COLUMNS", raising=False)
    cache_weights(caches, catalogue.find_weights_entry("dino-s16"), b"weights")
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for entry in catalogue.list_weights_entries():
        (row,) = [line for line in lines if re.match(rf"{re.escape(entry.name)}( |$)", line)]
        assert entry.licence in row and len(row) <= (columns or 80)
        assert ("hub cache" in row) == (entry.name == "dino-s16")
        assert ("package" in row) == bool(entry.file)
        assert ((entry.hub or entry.source) in row) == (columns == 200)
    assert any(str(caches / "hub") in line for line in lines)
    assert "\t" not in "".join(lines)


def test_every_listed_name_is_a_value_of_its_option():
    for entry in catalogue.list_weights_entries():
        for name in (entry.name, *entry.also):
            check_component_names(**{entry.kind: name})
            if entry.kind == "clip":
                assert parse_clip_spec(name, {})["model_type"]
            else:
                assert parse_vfm_spec(name)["type"]


def test_list_for_programs_has_place_and_hash(caches, capsys):
    cache_weights(caches, catalogue.find_weights_entry("dino-s16"), b"weights")
    assert main(["list", "--json"]) == 0
    records = {record["name"]: record for record in json.loads(capsys.readouterr().out)}
    assert list(records) == [entry.name for entry in catalogue.list_weights_entries()]
    assert records["dino-s16"]["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert records["dino-s16"]["sha256_from"]
    assert records["dino-b8"]["place"] is None


def test_embedded_clip_is_loaded_by_its_name():
    assert load_clip("tiny-clip", None).model.visual.proj.shape
    assert catalogue.expand_clip_name("tiny-clip") == "local-dir:proxyclip/tinyworld/weights/clip"
    assert catalogue.expand_clip_name("ViT-B-16") == "ViT-B-16"


def test_list_needs_no_pytorch():
    blocked = ("torch", "open_clip", "timm", "mmseg", "mmengine", "segment_anything")
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); sys.argv = ['proxyclip', 'weights', 'list']\n"
    code += "import runpy; runpy.run_module('proxyclip', run_name='__main__')"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "ViT-bigG-14" in process.stdout


def test_missing_weights_are_reported_with_the_command(caches):
    with pytest.raises(WeightsError, match=r"^.*python -m proxyclip weights fetch ViT-B-32\n"):
        load_clip("ViT-B-32", "openai")
    with pytest.raises(WeightsError, match=r"^.*python -m proxyclip weights fetch dino-s16\n"):
        DINO("vit_small_patch16_224.dino")
    with pytest.raises(WeightsError, match=r"^.*python -m proxyclip weights fetch sam-l, or give it checkpoint="):
        SAM("vit_l")
