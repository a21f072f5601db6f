"""The drawn world: same scenes for the same seed, exact masks, whole folders, weights that plain libraries load."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image

from proxyclip.models.vfm import build_vfm
from proxyclip.models.vfm.tiny import Tiny
from proxyclip.tinyworld import WEIGHTS, train
from proxyclip.tinyworld.dataset import write_voc
from proxyclip.tinyworld.losses import mae_loss
from proxyclip.tinyworld.materials import MATERIAL_PAINTERS
from proxyclip.tinyworld.models import MAEDecoder, build_tiny_vfm, encode_patches, sine_positions
from proxyclip.tinyworld.scenes import CLASSES, PALETTE, STUFF, SYNONYMS, draw_scene, draw_seeded_scene, paint_thing
from proxyclip.tinyworld.things import THING_PAINTERS

ROOT = WEIGHTS.parents[2]


def test_scene_is_the_same_on_every_run_and_differs_between_seeds():
    draw_seeded_scene(5, 0)
    one, two, other = draw_seeded_scene(5, 3), draw_seeded_scene(5, 3), draw_seeded_scene(6, 3)
    assert np.array_equal(one.image, two.image) and np.array_equal(one.mask, two.mask)
    assert one.image.shape != other.image.shape or not np.array_equal(one.image, other.image)


@pytest.mark.parametrize("size", [(64, 97), (224, 160), (130, 130)])
def test_scene_has_the_asked_size_and_legal_values(size):
    drawn = draw_scene(0, size)
    assert drawn.image.shape == (*size, 3) and drawn.mask.shape == size
    assert drawn.image.dtype == drawn.mask.dtype == np.uint8
    assert drawn.mask.max() < len(CLASSES)
    assert drawn.contents and set(drawn.contents) <= set(CLASSES)


def test_every_class_is_drawn_and_several_shapes():
    drawn = [draw_seeded_scene(0, i) for i in range(40)]
    assert {name for s in drawn for name in s.contents} == set(CLASSES)
    assert len({s.mask.shape for s in drawn}) > 2


@pytest.mark.parametrize("kind", range(len(THING_PAINTERS)))
def test_mask_of_a_thing_is_where_it_changed_the_picture(kind):
    image, mask = Image.new("RGB", (97, 64), (1, 2, 3)), Image.new("L", (97, 64), 255)
    paint_thing(np.random.default_rng(kind), image, mask, kind, (48, 32), 25)
    changed, marked = (np.asarray(image) != (1, 2, 3)).any(2), np.asarray(mask) == kind
    assert marked.sum() > 300 and np.array_equal(changed, marked)


def test_lists_agree():
    classes = (ROOT / "configs" / "cls_tinyworld.txt").read_text().splitlines()
    assert [line.split(";")[0].strip() for line in classes] == list(CLASSES)
    synonyms = dict(line.split("; ") for line in classes if ";" in line)
    assert synonyms == SYNONYMS
    assert len(MATERIAL_PAINTERS) == len(STUFF) and len(set(PALETTE)) == len(CLASSES)


def _content(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_folder_has_the_layout_of_voc(tmp_path):
    root = write_voc(tmp_path / "deep" / "voc", 5, 7)
    names = (root / "ImageSets/Segmentation/val.txt").read_text().split()
    for part in ("JPEGImages", "SegmentationClass"):
        assert sorted(p.stem for p in (root / part).iterdir()) == names
    for i, name in enumerate(names):
        expected = draw_seeded_scene(7, i)
        mask = Image.open(root / "SegmentationClass" / f"{name}.png")
        assert mask.mode == "P" and np.array_equal(np.asarray(mask), expected.mask)
        assert mask.getpalette()[: 3 * len(PALETTE)] == [v for rgb in PALETTE for v in rgb]
        assert np.array_equal(np.asarray(Image.open(root / "JPEGImages" / f"{name}.png")), expected.image)
    assert [p.name for p in root.parent.iterdir()] == ["voc"]


@pytest.mark.parametrize("damage", ["missing", "short", "extra", "list", "record"])
def test_damaged_folder_is_redone(tmp_path, damage):
    root = write_voc(tmp_path / "voc", 3, 1)
    whole, image = _content(root), root / "JPEGImages" / "000001.png"
    if damage == "missing":
        image.unlink()
    elif damage == "short":
        image.write_bytes(image.read_bytes()[:100])
    elif damage == "extra":
        (root / "JPEGImages" / "000009.png").write_bytes(b"x")
    elif damage == "list":
        (root / "ImageSets/Segmentation/val.txt").write_text("000000\n")
    else:
        (root / "tinyworld.json").write_text('{"fingerprint": ')
    assert _content(write_voc(root, 3, 1)) == whole


def test_whole_folder_is_kept_and_an_outdated_one_redone(tmp_path):
    root = write_voc(tmp_path / "voc", 3, 1)
    before, content = root.stat().st_mtime_ns, _content(root)
    assert write_voc(root, 3, 1).stat().st_mtime_ns == before
    assert len(list((write_voc(root, 2, 1) / "JPEGImages").iterdir())) == 2
    assert _content(write_voc(root, 3, 4)) != content == _content(write_voc(root, 3, 1))


def test_two_at_once_end_with_one_whole_folder(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        roots = list(pool.map(lambda _: write_voc(tmp_path / "voc", 6, 2), range(4)))
    assert len(_content(roots[0])) == 14 and [p.name for p in tmp_path.iterdir()] == ["voc"]


def test_foreign_folder_is_not_touched(tmp_path):
    (tmp_path / "holiday.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="other files"):
        write_voc(tmp_path, 2, 0)
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.txt"]


def test_weights_fit_and_load_in_plain_open_clip_and_timm():
    assert sum(p.stat().st_size for p in WEIGHTS.rglob("*") if p.is_file()) <= 12e6
    name = f"local-dir:{WEIGHTS / 'clip'}"
    model, _, look = open_clip.create_model_and_transforms(name)
    tokens = open_clip.get_tokenizer(name)([f"a photo of a {c}." for c in ("car", "grass")])
    drawn = [draw_scene(0, (96, 96))]
    pixels = torch.stack([look(Image.fromarray(s.image)) for s in drawn])
    with torch.inference_mode():
        assert model.encode_image(pixels).shape == (1, 128) == (1, model.encode_text(tokens).shape[1])
    for part in ("contrast", "mae"):
        vfm = timm.create_model(f"local-dir:{WEIGHTS / part}", pretrained=True, num_classes=0).eval()
        with torch.inference_mode():
            patches = vfm.forward_features(torch.zeros(1, 3, 64, 96))
        assert patches.shape == (1, 16 * 24 + vfm.num_prefix_tokens, 96)


def test_vfms_by_name():
    image, made = torch.rand(2, 3, 64, 96), {}
    for model in (None, "contrast", "mae", f"local-dir:{WEIGHTS / 'mae'}"):
        with torch.inference_mode():
            made[model] = Tiny(model)(image)
        assert made[model].shape == (2, 96, 16, 24) and made[model].isfinite().all()
    default, contrast, mae, folder = made.values()
    assert torch.equal(default, contrast) and torch.equal(mae, folder) and not torch.equal(contrast, mae)
    assert build_vfm("tiny-mae").name == Tiny("mae").name
    with pytest.raises(ValueError, match="contrast, mae"):
        Tiny("dino")


def test_clip_knows_its_materials():
    name = f"local-dir:{WEIGHTS / 'clip'}"
    model, _, look = open_clip.create_model_and_transforms(name)
    fills = [m(np.random.default_rng(1), 96, 96).clip(0, 255).astype(np.uint8) for m in MATERIAL_PAINTERS]
    tokens = open_clip.get_tokenizer(name)([f"a photo of the {c}." for c in STUFF])
    with torch.inference_mode():
        images = model.eval().encode_image(torch.stack([look(Image.fromarray(f)) for f in fills]), normalize=True)
        best = (images @ model.encode_text(tokens, normalize=True).T).argmax(1)
    assert (best == torch.arange(len(fills))).sum() >= 6


def test_training_and_evaluation_read_the_same_features():
    vfm, image = Tiny("contrast"), torch.rand(2, 3, 32, 48)
    with torch.inference_mode():
        patches = encode_patches(vfm.vit, image)
        everything = encode_patches(vfm.vit, image, torch.arange(96).flip(0).expand(2, -1))
    torch.testing.assert_close(patches, vfm(image).flatten(2).mT, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(everything.flip(1), patches, atol=1e-4, rtol=1e-4)  # no position table: a heap


def test_hidden_patches_reach_the_loss_but_not_the_encoder():
    torch.manual_seed(0)
    vfm, decoder, image = build_tiny_vfm(), MAEDecoder(), torch.rand(1, 3, 16, 24)
    order, other = torch.randperm(24)[None], image.clone()
    y, x = divmod(int(order[0, -1]), 6)
    other[:, :, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4] = torch.rand(4, 4)
    kept = order[:, :6]
    with torch.inference_mode():
        assert torch.equal(encode_patches(vfm, image, kept), encode_patches(vfm, other, kept))
        loss = [mae_loss(vfm, decoder, i, order, 0.75) for i in (image, image, other)]
    assert loss[0] == loss[1] != loss[2]


def test_perfect_decoder_has_no_loss():
    image = torch.rand(1, 3, 8, 12)
    blocks = [image[0, :, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].flatten() for y in range(2) for x in range(3)]
    truth = torch.stack([(b - b.mean()) / b.std() for b in blocks])[None]
    loss = mae_loss(build_tiny_vfm(), lambda *_: truth, image, torch.randperm(6)[None], 0.5)
    assert loss < 1e-8


def test_positions_of_the_decoder_differ_and_do_not_depend_on_the_grid():
    small, large = sine_positions(3, 5, 64), sine_positions(4, 6, 64)
    assert len(torch.unique(large, dim=0)) == 24 and large.shape == (24, 64)
    assert torch.equal(large.view(4, 6, 64)[:3, :5], small.view(3, 5, 64))


def _train(out, *more):
    few = ["--scenes", "4", "--batch", "4", "--captions", "6", "--workers", "1", "--save-every", "2"]
    few += ["--contrast-side", "32", "--contrast-batch", "2", "--mae-batch", "2"]
    train.main(["--out", str(out), "--device", "cpu", *few, *more])
    return json.loads((out / "losses.json").read_text())


def test_resumed_training_equals_uninterrupted(tmp_path, monkeypatch):
    steps = ["--clip-steps", "5", "--contrast-steps", "2", "--mae-steps", "2"]
    whole = _train(tmp_path / "whole", *steps)
    assert {part: len(losses) for part, losses in whole.items()} == {"clip": 5, "contrast": 2, "mae": 2}
    real = train.np.random.default_rng

    def killed(key):
        if key == [0, 0, 3]:
            raise KeyboardInterrupt
        return real(key)

    monkeypatch.setattr(train.np.random, "default_rng", killed)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "cut", *steps)
    monkeypatch.undo()
    assert _train(tmp_path / "cut", *steps) == whole
    for part in ("clip", "contrast", "mae"):
        first, second = ([p.read_bytes() for p in sorted((tmp_path / n / part).iterdir())] for n in ("whole", "cut"))
        assert first == second
    assert _train(tmp_path / "cut", *steps, "--parts", "mae") == whole
