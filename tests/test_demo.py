"""The demo: a drawn scene without arguments, own pictures and words, and messages instead of tracebacks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import demo
from proxyclip.paths import ROOT

TINY = ("--config", "configs/cfg_tinyworld.py")


def test_without_arguments_a_drawn_scene(tmp_path, capsys):
    assert demo.main(["--out", str(tmp_path)]) == 0
    scene, picture = (np.asarray(Image.open(tmp_path / f"tinyworld_21{end}.png")) for end in ("", "_seg"))
    h, w = scene.shape[:2]
    assert picture.shape[0] >= h
    assert picture.shape[1] > 2 * w  # image, overlay, legend
    assert np.array_equal(picture[22 : 22 + h, :w], scene)
    assert not np.array_equal(picture[22 : 22 + h, w : 2 * w], scene)
    out = capsys.readouterr().out
    assert "drawn toy" in out
    assert "%" in out


def test_own_pictures_and_words(tmp_path, capsys):
    scene = demo.draw_scene(tmp_path, 7)
    whole = Image.open(scene)
    forms = {"gray": whole.convert("L"), "alpha": whole.convert("RGBA"), "dot": whole.resize((1, 1)), "jpg": whole}
    names = []
    for name, image in forms.items():
        names.append(str(tmp_path / f"{name}.{'jpg' if name == 'jpg' else 'png'}"))
        image.save(names[-1])
    out = tmp_path / "out"
    assert demo.main([*names, "--classes", "sky; stone ; boat;", "--out", str(out), *TINY]) == 0
    assert sorted(p.name for p in out.iterdir()) == sorted(f"{n}_seg.png" for n in forms)
    said = capsys.readouterr().out
    assert set(said.replace(",", " ").split()) & {"sky", "stone", "boat"}
    assert "mushroom" not in said


def test_a_bad_picture_does_not_stop_the_rest(tmp_path, capsys):
    (tmp_path / "page.jpg").write_bytes(b"<html>")
    good = demo.draw_scene(tmp_path, 8)
    files = [str(tmp_path / "page.jpg"), str(tmp_path / "none.jpg"), str(good)]
    assert demo.main([*files, "--classes", "sky;sand", "--out", str(tmp_path / "out"), *TINY]) == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["tinyworld_8_seg.png"]
    error = capsys.readouterr().err
    assert "page.jpg cannot be read" in error
    assert "no picture" in error


def test_missing_weights_are_one_message(tmp_path, capsys):
    picture = demo.draw_scene(tmp_path, 1)
    assert demo.main([str(picture), "--classes", "cat; dog", "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    for part in ("ViT-B-16", "open_clip_model.safetensors", "huggingface.co", "local-dir:FOLDER"):
        assert part in error


@pytest.mark.parametrize(
    "words, message",
    [
        (("--clip", "ViT-B-1"), "ViT-B-16"),
        ((*TINY, "--method", "sclp"), "Did you mean sclip?"),
        ((*TINY, "--method", "sclip", "--vfm", "tiny"), "sclip uses no VFM"),
        ((*TINY, "--vfm-model", "vit_base_patch8_224", "--method", "vanilla"), "vanilla uses no VFM"),
        ((*TINY, "--vfm", "dyno"), "dinov2"),
        ((*TINY, "--vfm", "sam"), "sam_vit_b"),
        (("--clip", "local-dir:nowhere"), "nowhere"),
    ],
)
def test_wrong_names_are_one_message(tmp_path, capsys, words, message):
    picture = demo.draw_scene(tmp_path, 1)
    assert demo.main([str(picture), "--classes", "cat", "--out", str(tmp_path), *words]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, kind, attention, guide",
    [
        ((), "ProxyCLIPSegmentation", "Proxy", "Tiny"),
        (("--method", "naclip"), "ProxyCLIPSegmentation", "NACLIP", None),
        (("--method", "naclip", "--vfm", "tiny"), "ProxyCLIPSegmentation", "NACLIP", "Tiny"),
        (("--method", "maskclip"), "MaskCLIPSegmentation", "MaskCLIP", None),
        (("--vfm", "none", "--method", "sclip"), "ProxyCLIPSegmentation", "SCLIP", None),
        (("--clip", "local-dir:proxyclip/tinyworld/weights/clip"), "ProxyCLIPSegmentation", "Proxy", "Tiny"),
        (
            ("--vfm", "dino", "--vfm-model", "local-dir:proxyclip/tinyworld/weights/contrast"),
            "ProxyCLIPSegmentation",
            "Proxy",
            "DINO",
        ),
    ],
)
def test_any_combination(words, kind, attention, guide):
    model, scale = demo.build(TINY[1], demo.parse(words))
    assert (type(model).__name__, type(model.attention).__name__) == (kind, attention)
    assert (guide is None and model.vfm is None) or type(model.vfm).__name__ == guide
    assert scale == (2048, 192)


def test_words_of_the_parts():
    """--vfm-model alone keeps the family; --clip-weights goes with --clip."""
    options = dict(vfm_model=dict(type="mae", model="a", checkpoint="b"))
    changed = demo.weights(demo.parse(["--vfm-model", "c"]), options)
    assert changed == dict(vfm_model=dict(type="mae", model="c"), checkpoint=None)
    changed = demo.weights(demo.parse(["--vfm", "mae", "--vfm-weights", "w"]), dict(vfm_model=dict(type="mae")))
    assert changed == dict(vfm_model=dict(type="mae", checkpoint="w"), checkpoint=None)
    assert demo.weights(demo.parse(["--clip-weights", "w"]), options) == dict(clip_type="w")
    assert demo.weights(demo.parse(["--clip", "x", "--clip-weights", "w"]), options) == {}


def test_words_are_asked_for(capsys):
    with pytest.raises(SystemExit) as stop:
        demo.main(["photo.jpg"])
    assert stop.value.code == 2
    assert "--classes" in capsys.readouterr().err


def test_the_demo_shows_what_an_evaluation_measures(tmp_path):
    """The same labels as the test loop gives for the same picture."""
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from mmseg.registry import DATASETS

    from proxyclip.pictures import read_rgb

    model, scale = demo.build(ROOT / "configs/cfg_tinyworld.py", demo.parse([]))
    cfg = Config.fromfile(ROOT / "configs/cfg_tinyworld.py").test_dataloader.dataset
    cfg.update(data_root=str(tmp_path), count=2)
    with DefaultScope.overwrite_default_scope("mmseg"):
        import proxyclip.data  # noqa: F401  registers the data set

        one = DATASETS.build(cfg)[1]
    evaluated = model.test_step({"inputs": [one["inputs"]], "data_samples": [one["data_samples"]]})[0]
    shown = demo.segment(model, read_rgb(tmp_path / "JPEGImages" / f"{evaluated.img_path[-10:]}"), scale)
    assert np.array_equal(shown, evaluated.pred_sem_seg.data[0].numpy())
