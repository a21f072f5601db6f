"""`python -m proxyclip weights fetch` from the hub and from a plain server, with faults of connections."""

import hashlib
import json
import re

import huggingface_hub.constants as hub_constants
import pytest
import torch
from helpers.fake_hub import open_stub_hub
from helpers.hub_models import write_random_vit
from helpers.reference import model_config, tensors, write_sam
from helpers.transformers_models import write_transformers_folder
from safetensors.torch import save

from proxyclip.cli.weights import main
from proxyclip.models.clip.dense import load_clip
from proxyclip.models.vfm.dino import DINO
from proxyclip.models.vfm.sam import SAM
from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.catalogue import WeightsEntry, find_weights_entry, get_weights_folder
from proxyclip.models.weights.fetch import download_file, fetch_weights
from proxyclip.models.weights.requirements import find_missing_tokenizer
from proxyclip.models.weights.verify import verify_weights_file

CATALOG_USERS = ("cli.weights", "models.vfm._loading", "models.vfm.sam", "models.weights.catalogue")
DINO_HUB = "timm/vit_small_patch16_224.dino"


@pytest.fixture
def hub(caches, monkeypatch):
    """A hub and a cache of one's own, the network allowed, and a catalogue of small models."""
    with open_stub_hub(monkeypatch) as stub:
        write_random_vit(caches / "vit", "vit_small_patch16_224", depth=1, img_size=224)
        vfm, config = ((caches / "vit" / name).read_bytes() for name in ("model.safetensors", "config.json"))
        clip, sam = save(tensors("clip_tiny")), write_sam(caches / "sam.pth").read_bytes()
        stub.files = {
            "someone/tiny.openai/open_clip_model.safetensors": clip,
            "someone/tiny.openai/open_clip_config.json": json.dumps({"model_cfg": model_config()}).encode(),
            f"{DINO_HUB}/model.safetensors": vfm,
            f"{DINO_HUB}/config.json": config,
            "files/sam_tiny.pth": sam,
        }
        url, digest = f"{stub.address}/files/sam_tiny.pth", hashlib.sha256(sam).hexdigest()
        entries = (
            WeightsEntry("tiny-test", "clip", len(clip), "MIT", hub="someone/tiny.openai", also=("tiny-test,openai",)),
            WeightsEntry("dino-s16", "vfm", len(vfm), "Apache-2.0", hub=DINO_HUB),
            WeightsEntry("sam-tiny", "vfm", len(sam), "Apache-2.0", url=url, sha256=digest, sha256_from="this test"),
        )
        for module in CATALOG_USERS:
            monkeypatch.setattr(f"proxyclip.{module}.list_weights_entries", lambda: entries)
        yield stub


def test_fetched_weights_are_listed_verified_and_loaded_by_name(hub, small, tmp_path, monkeypatch, capsys):
    assert main(["fetch", "tiny-test", "dino-s16", "sam-tiny"]) == 0
    output = capsys.readouterr().out
    for part in ("licence MIT", f"from {hub.address}/someone/tiny.openai", str(tmp_path / "hub"), "--vfm dino-s16"):
        assert part in output
    asked = len(hub.asked)
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    assert main(["fetch", "tiny-test", "dino-s16", "sam-tiny"]) == 0
    assert capsys.readouterr().out.count("is here already") == 3

    assert main(["list", "--json"]) == 0
    listed = {record["name"]: record for record in json.loads(capsys.readouterr().out)}
    assert str(tmp_path / "own" / "weights") in listed["sam-tiny"]["place"]
    content = hub.files["someone/tiny.openai/open_clip_model.safetensors"]
    assert listed["tiny-test"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert main(["verify"]) == 0
    table = capsys.readouterr().out
    assert len(re.findall(r"^\S+ +ok\b", table, re.MULTILINE)) == 3

    clip = load_clip("tiny-test", "openai")
    torch.testing.assert_close(clip.model.visual.proj, tensors("clip_tiny")["visual.proj"])
    DINO("vit_small_patch16_224.dino")
    SAM("vit_tiny")
    assert len(hub.asked) == asked


def test_fetch_to_a_folder_writes_model_and_config(hub, tmp_path, monkeypatch, capsys):
    folders = {"tiny-test": tmp_path / "clip", "dino-s16": tmp_path / "dino", "sam-tiny": tmp_path / "sam"}
    for name, folder in folders.items():
        assert main(["fetch", name, "--to", str(folder)]) == 0
    output = capsys.readouterr().out
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    assert f"--clip local-dir:{folders['tiny-test']}" in output
    assert f"--vfm dino,local-dir:{folders['dino-s16']}" in output
    assert f"--vfm sam-tiny,{folders['sam-tiny'] / 'sam_tiny.pth'}" in output
    load_clip(f"local-dir:{folders['tiny-test']}", None)
    DINO(f"local-dir:{folders['dino-s16']}")
    assert main(["verify", *map(str, folders.values())]) == 0
    assert (
        len(re.findall(r"^\S+ +ok\b", capsys.readouterr().out, re.MULTILINE)) == 3
    )  # the record beside the files has their hashes
    with pytest.raises(SystemExit):
        main(["fetch"])
    assert main(["fetch", "tiny-test", "dino-s16", "--to", str(tmp_path)]) == 2
    assert "--to expected one name" in capsys.readouterr().err


def test_hub_downloads_are_resumed(hub, monkeypatch):
    monkeypatch.setattr(hub_constants, "DOWNLOAD_CHUNK_SIZE", 500)
    hub.cuts = [1000]
    assert main(["fetch", "dino-s16"]) == 0
    assert hub.starts() == [0, 1000]
    assert main(["verify", "dino-s16"]) == 0


def test_damaged_hub_files_are_deleted(hub, capsys):
    content = hub.files[f"{DINO_HUB}/model.safetensors"]
    hub.bodies[f"{DINO_HUB}/model.safetensors"] = content[:-1] + bytes([content[-1] ^ 1])
    assert main(["fetch", "dino-s16"]) == 1
    assert "is damaged" in capsys.readouterr().err
    assert find_weights_entry("dino-s16").place is None
    hub.bodies = {}
    assert main(["fetch", "dino-s16"]) == 0


def test_hub_cache_without_links_is_verified_by_query(hub, monkeypatch, capsys):
    assert main(["fetch", "dino-s16"]) == 0
    path = find_weights_entry("dino-s16").place
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    assert verify_weights_file(path, find_weights_entry("dino-s16")).state == "ok"
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert verify_weights_file(path, find_weights_entry("dino-s16")).state == "wrong"
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    assert verify_weights_file(path, find_weights_entry("dino-s16")).state == "unknown hash"


def test_any_hub_repository_is_fetched_with_its_config(hub, small, monkeypatch):
    assert main(["fetch", f"dino,hf-hub:{DINO_HUB}-own"]) == 1
    hub.files |= {name.replace(DINO_HUB, f"{DINO_HUB}-own"): body for name, body in hub.files.items()}
    assert main(["fetch", f"dino,hf-hub:{DINO_HUB}-own"]) == 0
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    DINO(f"hf-hub:{DINO_HUB}-own")


def test_repositories_of_transformers_are_fetched_and_loaded(hub, tmp_path, monkeypatch):
    folder, _ = write_transformers_folder(tmp_path / "golden", "clip_gelu")
    hub.files = {f"someone/clip/{path.name}": path.read_bytes() for path in folder.iterdir()}
    assert main(["fetch", "hf-hub:someone/clip"]) == 0
    assert find_weights_entry("hf-hub:someone/clip").place.name == "model.safetensors"
    assert main(["fetch", "hf-hub:someone/clip", "--to", str(tmp_path / "copy")]) == 0
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    for name in ("hf-hub:someone/clip", f"local-dir:{tmp_path / 'copy'}"):
        assert load_clip(name, None).activation == "GELU"


def test_tokenizers_are_fetched_with_their_clip(hub, monkeypatch, capsys):
    config = {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {"hf_tokenizer_name": "someone/tokens"}}
    monkeypatch.setattr("proxyclip.models.weights.requirements.read_open_clip_configs", lambda: {"tiny-test": config})
    assert main(["fetch", "tiny-test"]) == 1
    assert "The tokenizer someone/tokens could not be fetched" in capsys.readouterr().err
    hub.files["someone/tokens/tokenizer.json"] = b"{}"
    assert main(["fetch", "tiny-test"]) == 0
    assert "The tokenizer someone/tokens is there" in capsys.readouterr().out
    assert find_missing_tokenizer("tiny-test") is None


def test_interrupted_fetch_exits_with_130(hub, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("torch.hub.download_url_to_file", stop)
    assert main(["fetch", "sam-tiny"]) == 130
    assert "the same command fetches what is missing" in capsys.readouterr().err


def test_hub_repositories_with_pickles_or_no_weights(hub, tmp_path):
    content = hub.files.pop("someone/tiny.openai/open_clip_model.safetensors")
    hub.files["someone/tiny.openai/open_clip_pytorch_model.bin"] = content
    assert fetch_weights(find_weights_entry("tiny-test"), write_line=str).name == "open_clip_pytorch_model.bin"
    del hub.files["someone/tiny.openai/open_clip_pytorch_model.bin"]
    with pytest.raises(WeightsError, match=r"has none of the files open_clip_model\.safetensors"):
        fetch_weights(find_weights_entry("tiny-test"), to=tmp_path / "folder", write_line=str)


def test_gated_and_missing_repositories_are_explained(hub, capsys):
    hub.gated.add(DINO_HUB)
    assert main(["fetch", "dino-s16", "tiny-test"]) == 1
    out, err = capsys.readouterr()
    for part in ("accept its terms", f"{hub.address}/{DINO_HUB}", "hf auth login"):
        assert part in err
    assert "tiny-test is there" in out  # the others are fetched all the same
    hub.files, hub.gated = {}, set()
    assert main(["fetch", "dino-s16"]) == 1
    assert "does not exist, or is private" in capsys.readouterr().err


@pytest.mark.parametrize("name, by_hand", [("dino-s16", f"hf download {DINO_HUB}"), ("sam-tiny", "curl -LO http://")])
def test_fetch_without_network_prints_instructions(hub, monkeypatch, capsys, name, by_hand):
    assert main(["fetch", name, "--offline"]) == 1
    assert not hub.asked
    hub.close()
    assert main(["fetch", name]) == 1
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    assert main(["fetch", name]) == 1
    errors = capsys.readouterr().err
    assert errors.count(f"fetch {name} --to FOLDER") == errors.count(by_hand) == 3
    assert "Traceback" not in errors


def test_full_disk_is_reported_before_the_download(hub, monkeypatch, capsys):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("", (), {"free": 10})())
    assert main(["fetch", "sam-tiny", "dino-s16"]) == 1
    assert capsys.readouterr().err.count("0.0 MB free") == 2
    assert not hub.starts()


def target():
    return get_weights_folder() / "sam_tiny.pth"


def test_broken_download_leaves_nothing(hub, capsys):
    hub.cuts = [4000]
    assert main(["fetch", "sam-tiny"]) == 1
    assert "could not be fetched: the connection broke off" in capsys.readouterr().err
    assert not [path for path in get_weights_folder().iterdir() if path.suffix != ".lock"]
    assert main(["fetch", "sam-tiny"]) == 0
    assert hub.starts() == [0, 0]
    assert target().read_bytes() == hub.files["files/sam_tiny.pth"]


def test_verify_reports_the_rest_of_a_killed_download(hub, capsys):
    target().parent.mkdir(parents=True)
    target().with_name("sam_tiny.pth.partial.0.partial").write_bytes(b"some")
    assert main(["verify"]) == 0
    assert "unfinished" in capsys.readouterr().out


def test_download_with_a_wrong_hash_is_deleted(hub, capsys):
    hub.bodies["files/sam_tiny.pth"] = bytes(len(hub.files["files/sam_tiny.pth"]))
    assert main(["fetch", "sam-tiny"]) == 1
    assert "SHA-256 is " in capsys.readouterr().err
    assert not [path for path in get_weights_folder().iterdir() if path.suffix != ".lock"]


def test_download_file_without_size_or_server_file(hub, tmp_path):
    content = hub.files["files/sam_tiny.pth"]
    digest = hashlib.sha256(content).hexdigest()
    with pytest.raises(WeightsError, match="the server says 404"):
        download_file(f"{hub.address}/files/none.pth", tmp_path / "none.pth", digest, None)
    download_file(f"{hub.address}/files/sam_tiny.pth", tmp_path / "sam.pth", digest[:8], None)
    assert (tmp_path / "sam.pth").read_bytes() == content
    requests = len(hub.asked)
    download_file(f"{hub.address}/files/sam_tiny.pth", tmp_path / "sam.pth", digest, None)
    assert len(hub.asked) == requests
