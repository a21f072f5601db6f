"""The demo: a drawn scene without arguments, own pictures and words, files, tables, and messages, not tracebacks."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from proxyclip.apis.build import download_missing_weights
from proxyclip.cli.demo import (
    DemoOptions,
    build_demo_segmenter,
    find_images,
    main,
    parse_background,
    parse_demo_options,
)
from proxyclip.engine.config.load import merge_config
from proxyclip.engine.config.options import EvalOptions
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

KINDS = ("_seg.png", "_overlay.png", "_mask.png", ".json")
WORDS = ("--classes", "sky; stone ; boat;")


def drawn(path, seed=7):
    Image.fromarray(draw_seeded_scene(seed, 0).image).save(path)
    return str(path)


def test_without_arguments_a_drawn_scene(tmp_path, capsys):
    assert main(["--out", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"tinyworld_21.png", *(f"tinyworld_21{kind}" for kind in KINDS)}
    out = capsys.readouterr().out
    assert "toy" in out
    assert "balloon" in out
    truth = draw_seeded_scene(21, 0).mask
    mask = np.asarray(Image.open(tmp_path / "tinyworld_21_mask.png"))
    assert (mask == truth).mean() > 0.9


def test_own_pictures_and_words(tmp_path, capsys):
    whole = Image.fromarray(draw_seeded_scene(7, 0).image)
    forms = {"gray": whole.convert("L"), "alpha": whole.convert("RGBA"), "dot": whole.resize((1, 1)), "jpg": whole}
    names = []
    for name, image in forms.items():
        names.append(str(tmp_path / f"{name}.{'jpg' if name == 'jpg' else 'png'}"))
        image.save(names[-1])
    out = tmp_path / "out"
    assert main([*names, *WORDS, "--out", str(out), "--tiny"]) == 0
    assert sorted(p.name for p in out.iterdir()) == sorted(["areas.csv", *(n + kind for n in forms for kind in KINDS)])
    said = capsys.readouterr().out
    assert "gray.png: " in said  # more pictures than are shown as tables
    assert "mushroom" not in said
    for name, image in forms.items():
        assert Image.open(out / f"{name}_mask.png").size == image.size
        assert set(np.unique(Image.open(out / f"{name}_mask.png"))) <= {0, 1, 2}
        assert Image.open(out / f"{name}_overlay.png").size == image.size
        found = json.loads((out / f"{name}.json").read_text())
        assert [one["name"] for one in found["categories"]] == ["sky", "stone", "boat"]
    with (out / "areas.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "sky", "stone", "boat"]
    assert [row[0] for row in rows[1:]] == names
    assert all(sum(map(float, row[1:])) == pytest.approx(100, abs=0.01) for row in rows[1:])


def test_folders_and_patterns(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/1.jpg", "a/2.PNG", "a/b/3.webp", "a/1_seg.png", "a/notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found = [p.relative_to(tmp_path).as_posix() for p in find_images([str(tmp_path / "a")])]
    assert found == ["a/1.jpg", "a/2.PNG"]
    every = [str(tmp_path / "a/1.jpg"), str(tmp_path / "**/*")]
    found = [p.relative_to(tmp_path).as_posix() for p in find_images(every)]
    assert found == ["a/1.jpg", "a/2.PNG", "a/b/3.webp"]
    odd = tmp_path / "a" / "[1].jpg"  # a name, not a pattern
    odd.write_bytes(b"")
    assert find_images([str(odd)]) == [odd]
    for empty in (tmp_path, tmp_path / "*.jpg"):
        with pytest.raises(FileNotFoundError, match="There is no picture in"):
            find_images([str(empty)])


def test_files_of_one_name_do_not_overwrite_each_other(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        drawn(tmp_path / folder / "photo.png", seed=ord(folder))
    out = tmp_path / "out"
    words = [str(tmp_path / "a"), str(tmp_path / "b"), *WORDS, "--tiny", "--out", str(out)]
    assert main(words) == 0
    assert {p.name for p in out.glob("*.json")} == {"photo.json", "photo-2.json"}


def test_a_bad_picture_does_not_stop_the_rest(tmp_path, capsys):
    (tmp_path / "page.jpg").write_bytes(b"<html>")
    files = [str(tmp_path / "page.jpg"), str(tmp_path / "none.jpg"), drawn(tmp_path / "good.png")]
    assert main([*files, *WORDS, "--out", str(tmp_path / "out"), "--tiny"]) == 1
    assert {p.name for p in (tmp_path / "out").iterdir()} == {f"good{kind}" for kind in KINDS}
    error = capsys.readouterr().err
    assert "page.jpg: is a web page, not a picture" in error
    assert "There is no picture" in error
    assert "none.jpg" in error


def test_background_and_threshold(tmp_path):
    picture = drawn(tmp_path / "a.png")
    for words, names in (
        (("--background", "sand, water; wood"), ["background", "sky", "stone", "boat"]),
        (("--background", "0.9"), ["other", "sky", "stone", "boat"]),
        (("--threshold", "0.9"), ["other", "sky", "stone", "boat"]),
    ):
        assert main([picture, *WORDS, *words, "--tiny", "--out", str(tmp_path)]) == 0
        found = json.loads((tmp_path / "a.json").read_text())
        assert [one["name"] for one in found["categories"]] == names
        assert 0 in np.asarray(Image.open(tmp_path / "a_mask.png"))


def test_the_attention_of_a_patch(tmp_path, capsys):
    picture = drawn(tmp_path / "a.png")
    assert main([picture, *WORDS, "--tiny", "--attention", "40,100", "--out", str(tmp_path)]) == 0
    assert Image.open(tmp_path / "a_attention.png").width >= Image.open(picture).width
    assert main([picture, *WORDS, "--tiny", "--attention", "4000,1", "--out", str(tmp_path / "out")]) == 1
    assert "inside the picture" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--attention", "4000"])
    assert "120,80" in capsys.readouterr().err


def test_words_from_a_file_and_from_the_config(tmp_path):
    (tmp_path / "mine.txt").write_text("sky; cloud\nboat\n", encoding="utf-8")
    options = DemoOptions(tiny=True, classes=str(tmp_path / "mine.txt"))
    assert build_demo_segmenter(options).classes == ("sky", "boat")
    assert build_demo_segmenter(DemoOptions(tiny=True)).classes[0] == "car"
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        build_demo_segmenter(DemoOptions(tiny=True, classes="nowhere.txt"))


@pytest.mark.parametrize(
    "words, given",
    [(None, None), ("0.25", 0.25), ("wall, ceiling", "wall, ceiling")],
)
def test_background_of_the_command_line(words, given):
    assert parse_background(words) == given


def test_numbers_and_refinements_reach_the_model():
    segmenter = build_demo_segmenter(DemoOptions(tiny=True, beta=1.0, refine=("pamr",)))
    assert segmenter.tunable == {"beta": 1.0, "gamma": 3.0}
    assert "PAMR" in segmenter.describe()["refine"][0]


def test_missing_weights_are_one_message(tmp_path, capsys):
    picture = drawn(tmp_path / "a.png")
    assert main([picture, "--classes", "cat; dog", "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    for part in ("ViT-B-16", "open_clip_model.safetensors", "huggingface.co", "local-dir:FOLDER", "--tiny"):
        assert part in error


def test_a_picture_without_words_is_searched_for_a_usual_list(tmp_path, capsys):
    assert main([drawn(tmp_path / "a.png"), "--out", str(tmp_path)]) == 1  # there are no weights
    assert "configs/cls_coco_stuff.txt" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, message",
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
def test_wrong_words_are_one_message(tmp_path, capsys, words, message):
    picture = drawn(tmp_path / "a.png")
    assert main([picture, "--classes", "cat", "--out", str(tmp_path), *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "words",
    [("--classes", ";"), ("--threshold", "2"), ("--method", "sclip", "--vfm", "dino"), ("--vfm", "none")],
)
def test_nothing_is_fetched_for_what_cannot_be(tmp_path, monkeypatch, words):
    fetched = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("proxyclip.models.weights.fetch.fetch_weights", fetched.append)
    picture = drawn(tmp_path / "a.png")
    assert main([picture, "--classes", "cat", "--out", str(tmp_path), *words]) == 1
    assert fetched == []


@pytest.mark.parametrize(
    "words, model, names",
    [
        ((), "", ["ViT-B-16", "dino-b8"]),
        (("--method", "maskclip"), "", ["ViT-B-16"]),
        (("--vfm", "dinov2-s"), "", ["ViT-B-16", "dinov2-s"]),
        (("--clip", "local-dir:proxyclip/tinyworld/weights/clip"), "", ["dino-b8"]),
        ((), "vfm_model=dict(type='dino', checkpoint='own.pth')", ["ViT-B-16"]),
        ((), "checkpoint='own.pth'", ["ViT-B-16"]),
        ((), "vfm_model=dict(type='dino', model='vit_small_patch8_224.dino')", ["ViT-B-16", "dino-s8"]),
    ],
)
def test_what_a_first_run_fetches(tmp_path, monkeypatch, words, model, names):
    fetched = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("proxyclip.models.weights.fetch.fetch_weights", lambda entry: fetched.append(entry.name))
    (tmp_path / "own.py").write_text(f"_base_ = '{ROOT}/configs/base_config.py'\nmodel = dict({model})\n")
    said = parse_demo_options(["a.png", *words])
    options = EvalOptions(str(tmp_path / "own.py"), method=said.method, clip=said.clip, vfm=said.vfm)
    download_missing_weights(merge_config(options).model, said.vfm)
    assert fetched == names


def test_offline_is_said_before_anything_is_imported(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(
        "proxyclip.cli.demo.run_demo", lambda options: seen.append(__import__("os").environ["HF_HUB_OFFLINE"]) or 0
    )
    assert main(["--offline"]) == 0
    assert main(["--offline", "x.jpg"]) == 0
    assert seen == ["1", "1"]


def test_the_page_is_served_with_what_was_said(monkeypatch, capsys):
    served = []
    monkeypatch.setattr("proxyclip.apis.web.serve_page", served.append)
    words = [
        "--web",
        "--tiny",
        "--port",
        "0",
        "--classes",
        "sky; sea",
        "--beta",
        "1",
        "--method",
        "naclip",
        "--vfm",
        "clip",
    ]
    assert main(words) == 0
    (said,) = served
    assert (said.tiny, said.port, said.host, said.classes, said.beta) == (True, 0, "127.0.0.1", "sky; sea", 1)
    assert (said.method, said.vfm, said.gamma) == ("naclip", "clip", None)
    with pytest.raises(SystemExit):
        main(["--web", "photo.jpg"])
    assert "drop photo.jpg on the page" in capsys.readouterr().err


def test_interrupted(monkeypatch, capsys):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("proxyclip.cli.demo.run_demo", interrupt)
    assert main([]) == 130
    assert "what was written stays" in capsys.readouterr().err
