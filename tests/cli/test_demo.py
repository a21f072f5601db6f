"""The demo: a drawn scene without arguments, own pictures and words, files, tables, and messages, not tracebacks."""

import csv
import json
import os

import numpy as np
import pytest
from PIL import Image

from proxyclip.cli.demo import DemoOptions, build_demo_segmenter, main
from proxyclip.engine.config.load import merge_config
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.weights import download_missing_weights
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

pytestmark = pytest.mark.slow

SUFFIXES = ("_seg.png", "_overlay.png", "_mask.png", ".json")
CLASSES = ("--classes", "sky; stone ; boat;")


def draw_photo(path, seed=7):
    Image.fromarray(draw_seeded_scene(seed, 0).image).save(path)
    return str(path)


def category_names(path):
    """Names of the classes in a COCO file."""
    return [category["name"] for category in json.loads(path.read_text())["categories"]]


def test_demo_without_arguments_segments_a_drawn_scene(tmp_path, capsys):
    assert main(["--out", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {
        "tinyworld_21.png",
        *(f"tinyworld_21{suffix}" for suffix in SUFFIXES),
    }
    out = capsys.readouterr().out
    assert "toy" in out
    assert "balloon" in out
    truth = draw_seeded_scene(21, 0).mask
    mask = np.asarray(Image.open(tmp_path / "tinyworld_21_mask.png"))
    assert (mask == truth).mean() > 0.9


def test_demo_writes_results_of_any_picture(tmp_path, capsys):
    whole = Image.fromarray(draw_seeded_scene(7, 0).image)
    forms = {"gray": whole.convert("L"), "alpha": whole.convert("RGBA"), "dot": whole.resize((1, 1)), "jpg": whole}
    names = []
    for name, image in forms.items():
        names.append(str(tmp_path / f"{name}.{'jpg' if name == 'jpg' else 'png'}"))
        image.save(names[-1])
    out = tmp_path / "out"
    assert main([*names, *CLASSES, "--out", str(out), "--tiny"]) == 0
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["areas.csv", *(n + suffix for n in forms for suffix in SUFFIXES)]
    )
    assert "gray.png: " in capsys.readouterr().out  # more pictures than are shown as tables
    for name, image in forms.items():
        assert Image.open(out / f"{name}_mask.png").size == image.size
        assert set(np.unique(Image.open(out / f"{name}_mask.png"))) <= {0, 1, 2}
        assert Image.open(out / f"{name}_overlay.png").size == image.size
        assert category_names(out / f"{name}.json") == ["sky", "stone", "boat"]
    with (out / "areas.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "sky", "stone", "boat"]
    assert [row[0] for row in rows[1:]] == names
    assert all(sum(map(float, row[1:])) == pytest.approx(100, abs=0.01) for row in rows[1:])


def test_demo_numbers_results_of_equal_names(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        draw_photo(tmp_path / folder / "photo.png", seed=ord(folder))
    out = tmp_path / "out"
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), *CLASSES, "--tiny", "--out", str(out)]) == 0
    assert {p.name for p in out.glob("*.json")} == {"photo.json", "photo-2.json"}


def test_demo_continues_after_a_bad_picture(tmp_path, capsys):
    (tmp_path / "page.jpg").write_bytes(b"<html>")
    files = [str(tmp_path / "page.jpg"), str(tmp_path / "none.jpg"), draw_photo(tmp_path / "good.png")]
    assert main([*files, *CLASSES, "--out", str(tmp_path / "out"), "--tiny"]) == 1
    assert {p.name for p in (tmp_path / "out").iterdir()} == {f"good{suffix}" for suffix in SUFFIXES}
    error = capsys.readouterr().err
    assert "page.jpg: is a web page, not a picture" in error
    assert "There is no picture" in error
    assert "none.jpg" in error


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("--background", "sand, water; wood"), "background"),
        (("--background", "0.9"), "other"),
        (("--threshold", "0.9"), "other"),
    ],
)
def test_demo_background_and_threshold_make_class_0(tmp_path, arguments, name):
    picture = draw_photo(tmp_path / "a.png")
    assert main([picture, *CLASSES, *arguments, "--tiny", "--out", str(tmp_path)]) == 0
    assert category_names(tmp_path / "a.json") == [name, "sky", "stone", "boat"]
    assert 0 in np.asarray(Image.open(tmp_path / "a_mask.png"))


def test_demo_draws_attention_of_a_patch(tmp_path, capsys):
    picture = draw_photo(tmp_path / "a.png")
    assert main([picture, *CLASSES, "--tiny", "--attention", "40,100", "--out", str(tmp_path)]) == 0
    assert Image.open(tmp_path / "a_attention.png").width >= Image.open(picture).width
    assert main([picture, *CLASSES, "--tiny", "--attention", "4000,1", "--out", str(tmp_path / "out")]) == 1
    assert "inside the picture" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--attention", "4000"])
    assert "120,80" in capsys.readouterr().err


def test_demo_classes_come_from_file_or_config(tmp_path):
    (tmp_path / "mine.txt").write_text("sky; cloud\nboat\n", encoding="utf-8")
    options = DemoOptions(tiny=True, classes=str(tmp_path / "mine.txt"))
    assert build_demo_segmenter(options).classes == ("sky", "boat")
    assert build_demo_segmenter(DemoOptions(tiny=True)).classes[0] == "car"
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        build_demo_segmenter(DemoOptions(tiny=True, classes="nowhere.txt"))


def test_demo_numbers_and_refinements_reach_the_model():
    segmenter = build_demo_segmenter(DemoOptions(tiny=True, beta=1.0, refine=("pamr",)))
    assert segmenter.tunable == {"beta": 1.0, "gamma": 3.0}
    assert "PAMR" in segmenter.describe()["refine"][0]


def test_demo_explains_missing_weights_in_one_message(tmp_path, capsys):
    assert main([draw_photo(tmp_path / "a.png"), "--out", str(tmp_path)]) == 1
    output = capsys.readouterr()
    assert "configs/cls_coco_stuff.txt" in output.out
    assert "Traceback" not in output.err
    for part in ("weights fetch ViT-B-16 dino-b8", "hf download timm/", "local-dir:FOLDER", "demo.py --tiny"):
        assert part in output.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--clip", "ViT-B-1"), "ViT-B-16"),
        (("--tiny", "--method", "sclp"), "Did you mean sclip?"),
        (("--tiny", "--method", "sclip", "--vfm", "tiny"), "sclip uses no VFM"),
        (("--tiny", "--vfm", "dyno"), "dinov2"),
        (("--tiny", "--vfm", "sam"), "sam"),
        (("--clip", "local-dir:nowhere"), "nowhere"),
        (("--tiny", "--method", "vanilla", "--vfm", "none", "--beta", "2"), "none"),
        (("--tiny", "--background", ","), "background"),
        (("--tiny", "--threshold", "2"), "from 0 to 1"),
        (("--tiny", "--device", "gpu"), "gpu"),
    ],
)
def test_demo_explains_wrong_arguments_in_one_message(tmp_path, capsys, arguments, message):
    assert main([draw_photo(tmp_path / "a.png"), "--classes", "cat", "--out", str(tmp_path), *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.fixture
def downloads(monkeypatch):
    """Names of the weights that would be downloaded."""
    names = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("proxyclip.models.weights.requirements.fetch_weights", lambda entry: names.append(entry.name))
    return names


@pytest.mark.parametrize(
    "arguments", [("--classes", ";"), ("--threshold", "2"), ("--method", "sclip", "--vfm", "dino"), ("--vfm", "none")]
)
def test_demo_downloads_nothing_for_wrong_arguments(tmp_path, downloads, arguments):
    assert main([draw_photo(tmp_path / "a.png"), "--classes", "cat", "--out", str(tmp_path), *arguments]) == 1
    assert downloads == []


@pytest.mark.parametrize(
    ("options", "model", "names"),
    [
        ({}, "", ["ViT-B-16", "dino-b8"]),
        ({"method": "maskclip"}, "", ["ViT-B-16"]),
        ({"vfm": "dinov2-s"}, "", ["ViT-B-16", "dinov2-s"]),
        ({"clip": "local-dir:proxyclip/tinyworld/weights/clip"}, "", ["dino-b8"]),
        ({}, "vfm_model=dict(type='dino', checkpoint='own.pth')", ["ViT-B-16"]),
        ({}, "checkpoint='own.pth'", ["ViT-B-16"]),
        ({}, "vfm_model=dict(type='dino', model='vit_small_patch8_224.dino')", ["ViT-B-16", "dino-s8"]),
    ],
)
def test_download_missing_weights_fetches_those_of_the_model(tmp_path, downloads, options, model, names):
    (tmp_path / "own.py").write_text(f"_base_ = '{ROOT}/configs/base_config.py'\nmodel = dict({model})\n")
    download_missing_weights(merge_config(EvalOptions(str(tmp_path / "own.py"), **options)).model, options.get("vfm"))
    assert downloads == names


def test_demo_offline_sets_variable_before_imports(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("proxyclip.cli.demo.run_demo", lambda options, images: int(os.environ["HF_HUB_OFFLINE"] != "1"))
    assert main(["--offline"]) == 0


def test_demo_web_serves_page_with_options(monkeypatch, capsys):
    served = []
    monkeypatch.setattr("proxyclip.apis.web.serve_page", served.append)
    arguments = "--web --tiny --port 0 --classes sky;sea --beta 1 --method naclip --vfm clip"
    assert main(arguments.split()) == 0
    (settings,) = served
    assert (settings.tiny, settings.port, settings.host, settings.classes) == (True, 0, "127.0.0.1", "sky;sea")
    assert (settings.method, settings.vfm, settings.beta, settings.gamma) == ("naclip", "clip", 1, None)
    assert not settings.no_token
    assert main(["--web", "--host", "0.0.0.0", "--no-token"]) == 0
    assert (served[1].host, served[1].no_token) == ("0.0.0.0", True)
    with pytest.raises(SystemExit):
        main(["--web", "photo.jpg"])
    assert "drop photo.jpg on the page" in capsys.readouterr().err


def test_demo_interruption_exits_130(monkeypatch, capsys):
    def interrupt(options, images):
        raise KeyboardInterrupt

    monkeypatch.setattr("proxyclip.cli.demo.run_demo", interrupt)
    assert main([]) == 130
    assert "what was written stays" in capsys.readouterr().err
