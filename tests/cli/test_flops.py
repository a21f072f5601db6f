"""Parameters and FLOPs: published figures, differences computed by hand, shapes, messages."""

import json
from dataclasses import replace

import helpers.dummy_trained  # noqa: F401  registers DummyTrained
import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from proxyclip.cli.flops import ModelCost, PartCost, count_model_cost, main
from proxyclip.engine.config.load import merge_config
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.registration import activate_scope, register_modules
from proxyclip.models.clip.loading import get_clip_config
from proxyclip.models.trained.base import TrainedSegmentor
from proxyclip.models.trained.flops import PUBLISHED_SIZES_FILE, count_macs, use_fake_tensors
from proxyclip.utils.paths import ROOT

pytestmark = pytest.mark.slow

REFERENCE = json.loads((ROOT / "tests/golden/trained/cliprc_model_size.json").read_text())
VOC, COCO = (next(value for name, value in REFERENCE.items() if part in name) for part in ("voc", "coco"))
PUBLISHED = json.loads(PUBLISHED_SIZES_FILE.read_text())["rows"]
CASES = {"voc20": (VOC, 20, 10), "coco_stuff164k": (COCO, 171, 100)}  # figures, classes C, prompts K
# CLIP-RC at 512 x 512: width E, space D, layers, patches, regions, usual width of an MLP in the decoder
E, D, BLOCKS, PATCHES, REGIONS, HIDDEN = 768, 512, 12, 1024, 16, 2048
TOWER = 86192640  # parameters of CLIP's image tower
UNUSED = 8 * (4 * D * D + 4 * D + 2 * D)  # self-attention and norm, in two streams of three layers and of one


@pytest.fixture(scope="module", autouse=True)
def no_device_guard():
    """Keep fake tensors from registering a CUDA guard, after which no process that has trained can be forked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch._C, "_ensureCUDADeviceGuardSet", lambda: None)
        yield


def model_of(name: str, *changes: str):
    cfg = merge_config(EvalOptions(config=f"configs/trained/{name}.py", cfg_options=changes))
    register_modules()
    activate_scope(cfg)
    return cfg.model


@pytest.fixture(scope="module")
def counted():
    return {name: count_model_cost(model_of(f"clip_rc/{name}_inductive")) for name in CASES}


def parts(count: ModelCost) -> dict[str, PartCost]:
    return {part.name: part for part in count.parts}


def encoder(prompts: int) -> int:
    """MACs of the image encoder: patches, blocks with attention, projection of prompts, last projection."""
    tokens = 1 + prompts + PATCHES + REGIONS
    linear = tokens * E * (3 * E + E + 4 * E + 4 * E)
    return (
        PATCHES * 3 * 16 * 16 * E
        + BLOCKS * (linear + 2 * tokens * tokens * E + prompts * E * E)
        + (tokens - prompts) * E * D
    )


def decoder(classes: int) -> int:
    """MACs of the decoder: projections, six cross-attentions with their MLPs, product of mean queries and patches."""
    queries = classes * REGIONS
    both = queries + PATCHES
    layer = both * 4 * D * D + 2 * 2 * queries * PATCHES * D + both * 2 * D * HIDDEN
    return queries * 2 * D * D + PATCHES * 3 * D * D + 3 * layer + classes * PATCHES * D


@pytest.mark.parametrize("name", CASES)
def test_count_model_cost_has_the_published_parameters(counted, name):
    reference, actual = CASES[name][0], parts(counted[name])
    for part, key in (("image encoder", "backbone"), ("text encoder", "text_encoder")):
        assert (
            actual[part].parameters == reference[key]["total"] and actual[part].trainable == reference[key]["trainable"]
        )
    assert actual["image encoder"].trainable == {"voc20": 684288, "coco_stuff164k": 1513728}[name]
    decoders = actual["decode head"].parameters + actual["recovery"].parameters
    assert decoders == 27844096 == reference["decode_head"]["total"] - UNUSED
    assert reference["trainable_unused(self_attn,norm1)"] == UNUSED
    assert actual["recovery"].parameters == reference["recovery"] - UNUSED // 4
    assert all(actual[part].trainable == actual[part].parameters for part in ("decode head", "recovery"))
    assert counted[name].total.trainable == reference["total_trainable"] - UNUSED


@pytest.mark.parametrize("name", CASES)
def test_count_model_cost_has_the_macs_computed_by_hand(counted, name):
    _, classes, prompts = CASES[name]
    actual = parts(counted[name])
    assert actual["image encoder"].macs == encoder(prompts) and actual["decode head"].macs == decoder(classes)
    assert actual["text encoder"].macs is actual["recovery"].macs is None
    assert counted[name].total.macs == encoder(prompts) + decoder(classes)


def elementwise(classes: int, prompts: int) -> tuple[int, int]:
    """FLOPs that only fvcore counts in the published image encoder and after it: 5 a value of a norm, 4 of a bilinear
    resize, and half of the products that queries are made of, to four digits."""
    tokens, queries = 1 + prompts + PATCHES + REGIONS, classes * REGIONS
    norms = 5 * E * (tokens - prompts + 2 * BLOCKS * tokens + tokens - REGIONS + tokens)
    positions = 4 * PATCHES * E
    after = 5 * D * 3 * 2 * (queries + PATCHES)
    resized = 4 * (PATCHES * D + PATCHES * classes + 2 * 512 * 512 * classes)  # regions, and scores in three steps
    return norms + positions, after + resized + int(float(f"{queries * D:.3e}")) // 2


@pytest.mark.parametrize("name", CASES)
def test_published_sizes_explain_every_difference(counted, name):
    reference, classes, prompts = CASES[name]
    queries, tokens = classes * REGIONS, 1 + prompts + PATCHES + REGIONS
    attention, projected = BLOCKS * 2 * tokens * tokens * E, prompts * E * D
    late = (queries - classes) * PATCHES * D
    within, after = elementwise(classes, prompts)
    gmacs = {part: round(number * 1e9) for part, number in reference["GMACs_fvcore"].items()}
    actual = parts(counted[name])
    assert actual["image encoder"].macs == gmacs["backbone"] + attention - projected - within
    assert actual["decode head"].macs == gmacs["total"] - gmacs["backbone"] - late - after
    row = next(row for row in PUBLISHED if f"trained/clip_rc/{name}_inductive" in row["configs"])
    differences = row["differences"]
    assert all((ROOT / "configs" / f"{config}.py").is_file() for config in row["configs"])
    assert [amount for amount, _ in differences["macs"]] == [attention, -late, -projected, -within - after]
    assert f" {(gmacs['total'] + attention) / 1e9:.2f}" in differences["macs"][0][1]
    assert [amount for amount, _ in differences["trainable"]] == [-UNUSED]
    for part, key in (
        ("image encoder", "backbone"), ("decode head, with recovery", "decode_head"), ("text encoder", "text_encoder"),
    ):  # fmt: skip
        published = row["parts"][part]
        assert [published["parameters"], published["trainable"]] == [
            reference[key]["total"],
            reference[key]["trainable"],
        ]
    assert [part["macs"] for part in row["parts"].values()] == [
        gmacs["backbone"],
        gmacs["total"] - gmacs["backbone"],
        gmacs["text"],
    ]


@pytest.fixture(scope="module")
def tiny():
    return count_model_cost(model_of("clip_rc/tinyworld_inductive"))


@MODELS.register_module(force=True)
class Pixels(TrainedSegmentor):
    """Custom method without `sizes`."""

    def __init__(self, name_path, checkpoint=None):
        super().__init__(checkpoint, name_path=name_path, background=False, templates=(), precision="fp32",
                         data_preprocessor=None)  # fmt: skip
        self.conv = nn.Conv2d(3, len(self.names), 1)

    def logits(self, inputs, samples):
        return self.conv(inputs)


def test_count_model_cost_of_a_custom_method(tmp_path):
    (tmp_path / "cls.txt").write_text("sky\nsand\n")
    actual = count_model_cost(dict(type="Pixels", name_path=str(tmp_path / "cls.txt")), (10, 20))
    assert actual.parts == (PartCost("model", 8, 8, 10 * 20 * 3 * 2),) and actual.classes == 2
    with pytest.raises(ValueError, match="DummyTrained to be a TrainedSegmentor, which says its `sizes`"):
        count_model_cost(dict(type="DummyTrained"), (10, 20))


def test_count_model_cost_counts_windows(tiny):
    model, shape = model_of("clip_rc/tinyworld_inductive"), (96, 97)
    built = MODELS.build(model).eval().requires_grad_(False)
    sizes = {(96, 96): 1, (50, 30): 1, shape: 2, (1, 144): 2, (192, 240): 12}
    assert {size: built.sizes(size).windows for size in sizes} == sizes
    actual = count_model_cost(model, shape)
    assert (actual.windows, actual.window) == (2, (96, 96)) and (tiny.windows, tiny.shape) == (1, (96, 96))
    assert actual.total.macs == 2 * tiny.total.macs and actual.total.parameters == tiny.total.parameters
    with use_fake_tensors():
        list(built.sizes(shape).model_parts)  # puts the outline of CLIP in
        assert count_macs(built.encode_decode, torch.zeros(1, 3, *shape)) == actual.total.macs


def test_count_model_cost_depends_on_recovery_alone(tiny):
    changes = ("model.parity=paper", "model.setting=fully", "model.loss_weights.recovery=0")
    actual = count_model_cost(model_of("clip_rc/tinyworld_inductive", *changes))
    assert actual.parts == tuple(part for part in tiny.parts if part.name != "recovery") != tiny.parts


def test_count_macs_includes_attention():
    """Count with and without a mask: on a CPU PyTorch has one operation for it all, of which it counts nothing."""
    layer = nn.MultiheadAttention(32, 4, batch_first=True).eval().requires_grad_(False)
    macs = 10 * 4 * 32 * 32 + 2 * 10 * 10 * 32
    with use_fake_tensors():
        x, mask = torch.zeros(1, 10, 32), torch.zeros(10, 10)
        for options in ({}, {"need_weights": False}, {"need_weights": False, "attn_mask": mask}):
            assert count_macs(lambda o=options: layer(x, x, x, **o)) == macs
    assert torch.backends.mha.get_fastpath_enabled()  # as it was


def test_count_model_cost_lists_the_teacher_of_a_student():
    """Count SegFormer-b0 (sizes of docs/training.md), with a CLIP for the class weight."""
    model = dict(model_of("maskclip_plus/zero_shot/voc20_segformer_b0"), class_weight=dict(tau=1.0))
    actual = parts(count_model_cost(model, (64, 96)))
    assert [*actual] == ["backbone", "decode head", "class weight", "teacher", "text encoder"]
    assert [round(actual[part].parameters / 1e6, 1) for part in ("backbone", "decode head")] == [3.3, 1.3]
    assert [actual[part].parameters for part in ("class weight", "teacher", "text encoder")] == [TOWER, TOWER, 63428096]
    assert [part.trainable for part in actual.values()] == [*(actual[p].parameters for p in [*actual][:2]), 0, 0, 0]
    assert [part.macs is None for part in actual.values()] == [False, False, False, True, True]
    tokens = 1 + 14 * 14
    blocks = BLOCKS * (tokens * E * 12 * E + 2 * tokens * tokens * E)
    assert actual["class weight"].macs == 14 * 14 * E * E + blocks + E * D + 20 * D  # the class token is projected


def test_count_model_cost_of_a_student_scales_with_the_image():
    model = dict(model_of("maskclip_plus/tinyworld_deeplab"))
    model["student"] = dict(type="deeplab_tiny", decoder=dict(type="SumASPP"))
    space = get_clip_config(model["teacher"]["model_type"])["embed_dim"]
    small, large = count_model_cost(model), count_model_cost(model, (96, 192))
    assert small.shape == (96, 96) and (large.windows, large.window) == (1, (96, 192))
    assert parts(large)["backbone"].macs == 2 * parts(small)["backbone"].macs
    # at stride 8: four 3 x 3 convolutions, and the text of 19 classes
    assert parts(large)["decode head"].macs == 12 * 24 * (4 * 9 * 128 * space + 19 * space)


def run(capsys, *arguments: str) -> tuple[int, str]:
    code = main([*arguments])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.fixture
def stand_in(counted, monkeypatch):
    """Return the cost counted above for any model; for another shape as if it took two windows."""
    cost = counted["voc20"]
    monkeypatch.setattr(
        "proxyclip.cli.flops.count_model_cost",
        lambda model, shape: cost if shape in (None, cost.shape) else replace(cost, shape=shape, windows=2),
    )


@pytest.mark.parametrize("arguments", [(), ("--shape", "512"), ("--shape", "512", "512")], ids=str)
def test_flops_prints_own_and_published_counts(capsys, stand_in, arguments):
    code, output = run(capsys, "configs/trained/clip_rc/voc20_transductive.py", *arguments)
    assert code == 0
    for number in ("684,288", "27,844,096", "28,528,384", "36,941,568", "126.39", "252.78", "106.37", "-8,413,184"):
        assert number in output
    assert "windows" not in output


@pytest.mark.parametrize("arguments", [("--shape", "512", "683"), ("--cfg-options", "model.prompts=20")], ids=str)
def test_flops_compares_the_published_shape_and_model_alone(capsys, stand_in, arguments):
    code, output = run(capsys, "configs/trained/clip_rc/voc20_inductive.py", *arguments)
    assert code == 0 and "126.39" in output and "published" not in output
    assert ("2 windows of 512 x 512, 63.20 GMACs each" in output) == ("--shape" in arguments)


def test_flops_json(capsys):
    code, output = run(capsys, "configs/trained/maskclip_plus/tinyworld_deeplab.py", "--json", "--shape", "64", "96")
    actual = json.loads(output)
    assert code == 0 and actual["shape"] == [64, 96] and actual["published"] is None
    assert actual["total"]["macs"] == sum(part["macs"] or 0 for part in actual["parts"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["configs/cfg_voc20.py"], 1, "ProxyCLIPSegmentation is not trained"),
        (["configs/trained/maskclip_plus/tinyworld_teacher.py"], 1, "MaskCLIPTeacher is not trained"),
        (["configs/trained/clip_rc/voc21_inductive.py"], 2, "did you mean"),
        (["configs/trained/clip_rc/tinyworld_inductive.py", "--shape", "0", "96"], 1, "at least 1 x 1, but got 0 x 96"),
        (["configs/trained/maskclip_plus/tinyworld_segformer.py", "--shape", "4"], 1, "cannot take an image of 4 x 4"),
        (["configs/trained/clip_rc/tinyworld_inductive.py", "--cfg-options", "model.regions=3"], 1, "square number"),
        (
            ["configs/trained/maskclip_plus/tinyworld_segformer.py", "--cfg-options", "model.data_preprocessor=None"],
            1,
            "say --shape",
        ),
        (
            ["configs/trained/maskclip_plus/tinyworld_deeplab.py", "--cfg-options", "model.teacher.model_type=RN50x99"],
            1,
            "Expected model_type to be a name of open_clip",
        ),
    ],
)
def test_flops_errors(capsys, arguments, code, message):
    exit_code, output = run(capsys, *arguments)
    assert exit_code == code and message in output and "Traceback" not in output


def test_flops_refuses_three_sides(capsys):
    with pytest.raises(SystemExit):
        main(["configs/trained/clip_rc/tinyworld_inductive.py", "--shape", "1", "2", "3"])
    assert "HEIGHT WIDTH" in capsys.readouterr().err
