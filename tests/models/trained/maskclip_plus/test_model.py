"""MaskCLIP+: training steps of the published code, the quirks of its parity, checkpoints, the API."""

import numpy as np
import pytest
import torch
from helpers.reference import folder
from helpers.trained_reference import RESNET, TINY, VIT, folder_of, tensors
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from PIL import Image
from torch import Tensor

from proxyclip import Segmenter
from proxyclip.cli.demo import main
from proxyclip.data.transforms import SuppressLabels
from proxyclip.models.trained.base import TrainedSegmentor
from proxyclip.models.trained.maskclip_plus import MaskCLIPPlus, MaskCLIPTeacher
from proxyclip.models.trained.maskclip_plus.class_weight import compute_class_weights
from proxyclip.models.trained.maskclip_plus.decoders import SumASPP
from proxyclip.models.trained.maskclip_plus.losses import (
    distillation_loss,
    fill_pseudo_labels,
    mean_cross_entropy,
    pixel_accuracy,
)
from proxyclip.tinyworld import CLASSES
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

TRAIN, WEIGHT = "trained/maskclip_plus_train", "trained/maskclip_classweight"
ALL, UNSEEN, SHIFTED = list(range(7)), [5, 6], [6, 7]
KS, PD = dict(key_smoothing=1.0), dict(prompt_denoising=0.5)
GUIDED, SELF = "guided", "self_training"
# case -> ids that are unlabelled, stage, options
CASES = {
    "annofree_vit_plain": (ALL, GUIDED, {}),
    "annofree_vit_ks": (ALL, GUIDED, KS),
    "annofree_vit_pd": (ALL, GUIDED, PD),
    "annofree_vit_pd97": (ALL, GUIDED, dict(prompt_denoising=0.97)),
    "annofree_vit_kspd": (ALL, GUIDED, KS | PD),
    "annofree_vit_conf": (ALL, GUIDED, dict(conf_thresh=0.15)),
    "annofree_vit_ksconf": (ALL, GUIDED, KS | dict(conf_thresh=1.5)),
    "annofree_rn_plain": (ALL, GUIDED, {}),
    "zs_guided_it1": (UNSEEN, GUIDED, {}),
    "zs_guided_it3": (UNSEEN, GUIDED, {}),
    "zs_self_it4": (UNSEEN, SELF, {}),
    "zs_gap_it4": (UNSEEN, None, {}),
    "zs_conf_it1": (UNSEEN, GUIDED, dict(conf_thresh=0.15)),
    "zsbg_guided": (SHIFTED, GUIDED, {}),
    "zsbg_self": (SHIFTED, SELF, {}),
    "zs_nounlabeled": (UNSEEN, GUIDED, {}),
    "distill_labeledTrue": (UNSEEN, GUIDED, dict(distill=dict(labelled=True))),
    "distill_labeledFalse": (UNSEEN, GUIDED, dict(distill=dict(labelled=False))),
}


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """Folders of the teachers, and a vocabulary of seven names."""
    root = tmp_path_factory.mktemp("plus")
    (root / "cls.txt").write_text("\n".join("abcdefg"))
    full = (folder() / f"{RESNET}.npz").is_file()
    names = {VIT: folder_of(root / "vit", VIT), RESNET: full and folder_of(root / "rn", RESNET)}
    return names | {"names": str(root / "cls.txt")}


def build(towers, tower=VIT, parity="upstream", **options):
    """Build the reference's model: its decode module and text features; the backbone is not used."""
    model = MaskCLIPPlus(
        teacher=dict(model_type=towers[tower]), student=dict(type="deeplab_tiny"), name_path=towers["names"],
        parity=parity, **options,
    )  # fmt: skip
    model.decode_head.decoder = SumASPP(24, 16)
    stored = tensors(TRAIN)
    state = {k[4:]: v for k, v in stored.items() if k.startswith("dec/")}
    model.decode_head.decoder.load_state_dict(state, strict=False)
    model.text = stored["text"]
    if options.get("background"):
        model.decode_head.background.data.copy_(stored["bg_embedding"].flatten())
    return model.train()


def step(model, case, ids, stage):
    """Return (losses, dense features, gradient) of the stored features in a case."""
    stored = tensors(TRAIN)
    image = stored["image_rn" if "_rn_" in case else "image"]
    labels = stored[f"{case}/gt_in"][:, 0].long()
    feature = stored["feat3"].clone().requires_grad_()
    dense = model.decode_head([feature] * 4)
    model.stage = stage
    losses = model.step(image, labels, ids, dense)
    sum(value for name, value in losses.items() if "loss" in name).backward()
    return losses, dense, feature.grad


@pytest.mark.parametrize("case", CASES)
def test_step_equals_the_reference(towers, case):
    ids, stage, options = CASES[case]
    tower = RESNET if "_rn_" in case else VIT
    if not towers[tower]:
        pytest.skip("too large for tests/golden; PROXYCLIP_GOLDEN says where the full arrays are")
    stored = {k.removeprefix(f"{case}/"): v for k, v in tensors(TRAIN).items() if k.startswith(f"{case}/")}
    model = build(towers, tower, background=case.startswith("zsbg"), **options)
    calls = []
    inner = model.guide.features
    model.guide.features = lambda *args: calls.append(case) or inner(*args)
    losses, dense, gradient = step(model, case, ids, stage)
    torch.testing.assert_close(losses["loss_ce"], stored["loss_ce"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(losses["acc_seg"], stored["acc_seg"][0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradient, stored["grad_feat"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.decode_head.classify(dense, model.text), stored["logits"], rtol=1e-4, atol=1e-5)
    if "distill" in case:
        torch.testing.assert_close(losses["loss_distill"], stored["loss_distill"], rtol=1e-5, atol=1e-5)
    else:
        image = tensors(TRAIN)["image_rn" if "_rn_" in case else "image"]
        labels = model.add_pseudo_labels(image, stored["gt_in"][:, 0].long(), ids, dense)
        labels = torch.where(labels == -1, 255, labels)
        assert torch.equal(labels, stored["label"][:, 0].long())
    assert bool(calls) == (stage == GUIDED and case != "zs_nounlabeled"), "the teacher runs where it must"


@pytest.mark.parametrize("case", ["annofree_vit_kspd", "zs_self_it4"])
def test_scores_are_exact_under_autocast(towers, case, monkeypatch):
    ids, stage, options = CASES[case]
    model = build(towers, **options)
    stored = tensors(TRAIN)
    image = stored["image"]
    labels = stored[f"{case}/gt_in"][:, 0].long()
    with torch.no_grad():
        dense = model.decode_head([stored["feat3"]])
        features = model.guide.features(image, model.data_preprocessor)
    monkeypatch.setattr(model.guide, "features", lambda *_: features)
    model.stage = stage
    plain = model.add_pseudo_labels(image, labels, ids, dense), model.decode_head.classify(dense, model.text)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.add_pseudo_labels(image, labels, ids, dense), model.decode_head.classify(dense, model.text)
    assert all(torch.equal(a, b) for a, b in zip(plain, mixed, strict=True))


def test_decode_head_equals_the_reference(towers):
    stored, model = tensors(TRAIN), build(towers).eval()
    with torch.no_grad():
        dense = model.decode_head([stored["feat3"]])
        logits = model.decode_head.classify(dense, model.text)
    torch.testing.assert_close(dense, stored["eval/dec_feat"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits, stored["eval/logits"], rtol=1e-4, atol=1e-5)


def test_step_with_class_weight_equals_the_reference(towers):
    stored, model = tensors(WEIGHT), build(towers)
    weights = 7 * compute_class_weights(stored["image_global_feature"], stored["class_text_feature"], 1.0)
    case = {k.removeprefix("student_tau1/"): v for k, v in stored.items() if k.startswith("student_tau1/")}
    with torch.no_grad():
        dense = model.decode_head([stored["feat3"]])
        torch.testing.assert_close(
            model.decode_head.classify(dense, model.text, weights), case["logits"], rtol=1e-4, atol=1e-5
        )
        losses = model.step(stored["image"], case["gt_in"][:, 0].long(), ALL, dense, weights)
    torch.testing.assert_close(losses["loss_ce"], case["loss_ce"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(losses["acc_seg"], case["acc_seg"][0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "reduce", "which"),
    [
        ("voc20_annofree", True, "all"),
        ("voc20_zs", True, "unseen"),
        ("voc21_zs", False, "unseen"),
        ("plain", False, []),
        ("noann", False, "all"),
    ],
)
def test_suppress_labels_equals_the_reference(name, reduce, which):
    stored = tensors("trained/maskclip_plus_labels")
    raw = stored["raw"].numpy().astype(np.int32)
    if reduce:
        raw = np.where((raw == 0) | (raw == 255), 255, raw - 1)
    classes, unseen = (20, (15, 16, 17, 18, 19)) if reduce else (21, (16, 17, 18, 19, 20))
    results = {"num_classes": classes, "unseen": unseen, "img": np.zeros((*stored["noann"].shape, 3), np.uint8)}
    if name != "noann":
        results["gt_seg_map"] = raw.astype(np.uint8)
    results = SuppressLabels(which)(results)
    assert np.array_equal(results["gt_seg_map"], stored[name].numpy())
    assert results["gt_seg_map"].dtype == np.int32
    assert ("gt_seg_map" in results.get("seg_fields", ())) == (name == "noann")


def test_suppress_labels_refuses_unknown_classes():
    with pytest.raises(ValueError, match="zero_shot=True"):
        SuppressLabels("unseen")({"num_classes": 3, "img": np.zeros((2, 2, 3))})
    with pytest.raises(ValueError, match="or a list of ids, but got 'novel'"):
        SuppressLabels("novel")


def test_losses_count_ignored_pixels_upstream_only():
    logits, labels = torch.randn(1, 4, 6, 6), torch.randint(4, (1, 6, 6))
    labels[0, 3:] = 255
    scored = torch.nn.functional.cross_entropy(logits[:, :, :3], labels[:, :3])
    torch.testing.assert_close(mean_cross_entropy(logits, labels, 255, "paper"), scored)
    torch.testing.assert_close(mean_cross_entropy(logits, labels, 255, "upstream"), scored / 2)
    ignored = torch.full_like(labels, 255)
    assert all(mean_cross_entropy(logits, ignored, 255, parity) == 0 for parity in ("paper", "upstream"))
    best = logits.argmax(1)
    best[0, 3:] = 255
    assert pixel_accuracy(logits, best, 255, "paper") == 100 and pixel_accuracy(logits, best, 255, "upstream") == 50


def test_fill_pseudo_labels_threshold_keeps_known_labels():
    labels, scores = torch.tensor([[[0, -1, 255, 1]]]), torch.tensor([[[[0.1, 0.1, 0.1, 0.9]]]])
    assert fill_pseudo_labels(labels, scores, [2], 0.5).tolist() == [[[0, -1, 255, 1]]]
    assert fill_pseudo_labels(labels, scores, [2], 0.5, "upstream").tolist() == [[[-1, -1, -1, 1]]]
    assert fill_pseudo_labels(labels, scores, [2]).tolist() == [[[0, 2, 255, 1]]]
    assert labels.tolist() == [[[0, -1, 255, 1]]]


def test_distillation_has_a_gradient_in_paper_parity_only(towers):
    """Compare with the gradient of a step between stages, which is that of the cross-entropy alone."""
    upstream = build(towers, distill=dict(labelled=True))
    paper = build(towers, parity="paper", distill=dict(labelled=True))
    gap = step(build(towers), "zs_gap_it4", UNSEEN, None)[2]
    torch.testing.assert_close(step(upstream, "distill_labeledTrue", UNSEEN, GUIDED)[2], gap)
    paper_gap = step(build(towers, parity="paper"), "zs_gap_it4", UNSEEN, None)[2]
    assert not torch.allclose(step(paper, "distill_labeledTrue", UNSEEN, GUIDED)[2], paper_gap)
    none = torch.full((1, 4, 4), 255)
    assert distillation_loss(torch.ones(1, 2, 2, 2), torch.ones(1, 2, 2, 2), none, 255, True, "paper") == 0


def test_teacher_images_are_renormalized_in_paper_parity(towers):
    image = tensors(TRAIN)["image"]
    inputs: dict[str, Tensor] = {}
    for parity in ("paper", "upstream"):
        model = build(towers, parity=parity)
        teacher = model.guide.open(torch.device("cpu"))
        teacher.forward = lambda images, parity=parity: inputs.setdefault(parity, images)
        model.guide.features(image, model.data_preprocessor)
    assert torch.equal(inputs["upstream"], image)
    rgb = (image * model.data_preprocessor.std + model.data_preprocessor.mean) / 255
    torch.testing.assert_close(teacher.clip.to_rgb(inputs["paper"]), rgb)


def test_step_refuses_labels_of_suppressed_classes(towers):
    labels = torch.zeros(2, 40, 52, dtype=torch.int64)
    labels[1, 3, 4] = 6
    model = build(towers)
    with pytest.raises(ValueError, match=r"Labels have classes \[6\]"):
        model.step(tensors(TRAIN)["image"], labels, UNSEEN, model.decode_head([tensors(TRAIN)["feat3"]]))


def make_sample(labels, **metainfo):
    return SegDataSample(gt_sem_seg=PixelData(data=labels[None]), metainfo=metainfo)


def test_loss_refuses_samples_without_suppressed_ids(towers):
    model = build(towers)
    with pytest.raises(ValueError, match="SuppressLabels"):
        model.loss(torch.zeros(1, 3, 8, 8), [make_sample(torch.zeros(8, 8).long())])


def test_background_is_class_zero_of_unit_length(towers):
    model = build(towers, background=True)
    head, text = model.decode_head, model.text
    with torch.no_grad():
        head.background.mul_(5)
    rows = head.matrix(text)
    assert rows.shape == (8, 16)
    torch.testing.assert_close(rows[0].norm(), torch.tensor(1.0))
    assert torch.equal(rows[1:], text)
    dense = torch.randn(1, 16, 2, 2, requires_grad=True)
    head.classify(dense, text)[:, 1:].sum().backward()
    assert head.background.grad is None or not head.background.grad.any()
    head.classify(dense, text)[:, 0].sum().backward()
    assert head.background.grad.any()
    weights = torch.full((1, 7), 2.0)
    plain, weighed = head.classify(dense, text), head.classify(dense, text, weights)
    assert torch.equal(plain[:, 0], weighed[:, 0]) and torch.equal(2 * plain[:, 1:], weighed[:, 1:])


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """Student of the tiny world's CLIP, for a training, and its vocabulary."""
    names = tmp_path_factory.mktemp("student") / "cls.txt"
    names.write_text("car\nsky\ngrass\n")
    torch.manual_seed(0)
    model = MaskCLIPPlus(
        teacher=dict(model_type=TINY, residual=False), student=dict(type="segformer_tiny"), name_path=str(names)
    )
    model.init_weights()
    return model, names


def test_teacher_is_no_part_of_the_model(student):
    model, _ = student
    guide = model.guide.open(torch.device("cpu"))
    assert not {id(p) for p in guide.parameters()} & {id(p) for p in model.parameters()}
    assert {name.split(".")[0] for name in model.state_dict()} == {"backbone", "decode_head", "text", "words"}
    buffers = {name: value.clone() for name, value in guide.state_dict().items()}
    labels = torch.full((2, 96, 96), -1)
    losses = model.train().loss(
        torch.randn(2, 3, 96, 96), [make_sample(one, suppressed=(0, 1, 2), img_path="x.png") for one in labels]
    )
    losses["loss_ce"].backward()
    assert not guide.training and all(p.grad is None for p in guide.parameters())
    assert all(torch.equal(value, buffers[name]) for name, value in guide.state_dict().items())
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()


@pytest.mark.slow
def test_student_learns_the_teacher_s_labels(student):
    model, _ = student
    colors = torch.tensor([[0.35, 0.6, 0.9], [0.2, 0.55, 0.2]]).view(2, 3, 1, 1)
    rgb = colors.repeat(1, 1, 96, 96)
    rgb[:, :, 48:] = rgb[:, :, 48:].flip(0)
    preprocessor = model.data_preprocessor
    images = (255 * rgb - preprocessor.mean) / preprocessor.std
    unlabeled = torch.full((2, 96, 96), -1)
    samples = [make_sample(labels, suppressed=(0, 1, 2), img_path="x.png") for labels in unlabeled]
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    model.train()
    losses = []
    for _ in range(20):
        losses.append(model.loss(images, samples)["loss_ce"])
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2
    with torch.no_grad():
        labels = model.add_pseudo_labels(images, unlabeled, (0, 1, 2), torch.empty(0))
    assert (torch.stack(model.eval().predict(list(images))) == labels).float().mean() > 0.9
    model.train()


def save(model, path):
    torch.save({"state_dict": model.state_dict(), "meta": {"iter": 20}}, path)
    return str(path)


def loaded(names, checkpoint, **options):
    model = MaskCLIPPlus(
        teacher=dict(model_type=TINY, residual=False), student=dict(type="segformer_tiny"), name_path=str(names),
        checkpoint=checkpoint, **options,
    )  # fmt: skip
    model.prepare(torch.device("cpu"))
    return model


def test_prepare_needs_no_clip(student, tmp_path, monkeypatch):
    model, names = student
    file = save(model, tmp_path / "iter_20.pth")
    monkeypatch.setattr("proxyclip.models.trained.maskclip_plus.teacher.build_teacher", None)  # no CLIP is loaded
    again = loaded(names, file)
    images = torch.randn(1, 3, 64, 96)
    assert again.iteration == 20 and not again.training
    assert torch.equal(again.predict(images), model.eval().predict(images))
    assert again.describe()["student"] == {"type": "segformer_tiny"} and again.describe()["model_type"] == TINY
    half = loaded(names, file, precision="bf16")
    assert next(half.backbone.parameters()).dtype is torch.bfloat16 and half.text.dtype is torch.float32
    assert (half.predict(images) == again.predict(images)).float().mean() > 0.9
    model.train()


def test_prepare_embeds_other_names(student, tmp_path):
    model, names = student
    file = save(model, tmp_path / "iter_20.pth")
    (tmp_path / "more.txt").write_text("sky\ngrass\ncar\nwater\n")
    again = loaded(tmp_path / "more.txt", file)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        new, old = again.logits(images, None), loaded(names, file).logits(images, None)
    torch.testing.assert_close(new[:, [2, 0, 1]], old)
    assert new.shape[1] == 4


def test_prepare_refuses_checkpoints_that_do_not_fit(student, tmp_path):
    model, names = student
    with pytest.raises(ValueError, match="--checkpoint FILE"):
        loaded(names, None)
    file = save(model, tmp_path / "iter_20.pth")
    with pytest.raises(ValueError, match="does not fit this config"):
        loaded(names, file, background=True)
    with pytest.raises(FileNotFoundError, match="other"):
        loaded(names, str(tmp_path / "other.pth"))
    (tmp_path / "cls.txt").write_text("car; automobile\nsky\n")
    with pytest.raises(ValueError, match="expected one name a class, but got the synonyms car, automobile"):
        loaded(tmp_path / "cls.txt", file)


@pytest.mark.parametrize("parity", ["paper", "upstream"])
def test_maskclip_teacher_predicts_whole_images(student, parity):
    _, names = student
    teacher = MaskCLIPTeacher(
        teacher=dict(model_type=TINY, residual=False), name_path=str(names), parity=parity, key_smoothing=1.0
    )
    teacher.prepare(torch.device("cpu"))
    images = torch.randn(2, 3, 50, 96)
    samples = teacher.predict(images, [SegDataSample(metainfo=dict(ori_shape=(33, 47))) for _ in range(2)])
    scores = torch.nn.functional.interpolate(teacher.logits(images, None), size=(50, 96), mode="bilinear")
    scores = torch.nn.functional.interpolate(scores, size=(33, 47), mode="bilinear")
    labels = torch.stack([sample.pred_sem_seg.data[0] for sample in samples])
    assert (labels == scores.argmax(1)).float().mean() > 0.999
    imagenet = torch.allclose(teacher.data_preprocessor.mean.flatten()[0], torch.tensor(123.675))
    assert imagenet == (parity == "upstream")
    assert not issubclass(MaskCLIPTeacher, TrainedSegmentor)


@pytest.mark.slow
def test_segmenter_and_demo_take_a_student(tmp_path):
    """Segment like an evaluation; other names need the teacher's CLIP."""
    config = ROOT / "configs/trained/maskclip_plus/tinyworld_segformer.py"
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(config).model)
    model.init_weights()
    file = save(model, tmp_path / "iter_20.pth")
    scene = draw_seeded_scene(7, 0).image
    segmenter = Segmenter(config=str(config), checkpoint=file)
    result = segmenter(scene)
    assert result.names == CLASSES and len(np.unique(result.labels)) > 1
    inputs = segmenter._prepared([scene])
    sizes = [SegDataSample(metainfo=dict(ori_shape=scene.shape[:2]))]
    labels = segmenter._model.predict(inputs, sizes)[0].pred_sem_seg.data[0].numpy()
    assert np.array_equal(labels, result.labels)
    torch.testing.assert_close(result.probabilities.sum(0), np.ones(scene.shape[:2], np.float32))
    other = segmenter.fork().set_classes([["sea", "water"], "sky"], background=0.1)
    assert other(scene).names == ("other", "sea", "sky")
    assert np.array_equal(segmenter(scene).labels, result.labels)
    with pytest.raises(ValueError, match="train it first"):
        Segmenter(config=str(config))
    Image.fromarray(scene).save(tmp_path / "scene.png")
    options = ["--config", str(config), "--checkpoint", file, "--out", str(tmp_path / "out")]
    assert main([str(tmp_path / "scene.png"), *options]) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "scene_mask.png")), result.labels)
    with pytest.raises(SystemExit):
        main(["--checkpoint", file])
