"""Students of MaskCLIP+: decode modules, named networks, pretrained weights.

golden/trained/mit_hf.npz is a random SegformerForImageClassification of the transformers library 4.57.6 (hidden sizes
4, 8, 12, 16; heads 1, 2, 3, 4; depths 1, 2, 1, 1; norms 1 + N(0, 0.2)): `w/NAME` of its state dict, `image`, and
`feat0..3`, the encoder's hidden states. Version 5.23 reads the same file and gives the same features (within 1e-6).
"""

import math
import os

import huggingface_hub.constants as hub_constants
import numpy as np
import pytest
import timm.models.resnet as timm_resnet
import torch
from helpers.fake_hub import open_stub_hub
from helpers.reference import HERE, arrays
from mmengine.config import Config
from safetensors.torch import save, save_file

import proxyclip  # noqa: F401  first, for MMSegmentation's imports
from proxyclip.models.trained.maskclip_plus.decoders import SumASPP, build_decoder
from proxyclip.models.trained.maskclip_plus.pretrained import load_pretrained
from proxyclip.models.trained.maskclip_plus.students import BATCH_NORM, STUDENTS, build_student, probe_feature_channels
from proxyclip.models.weights import WeightsError

TINY_MIT = dict(type="MixVisionTransformer", embed_dims=4, num_heads=(1, 2, 3, 4), num_layers=(1, 2, 1, 1))
HEAD = dict(type="SegformerHead", in_index=[0, 1, 2, 3], norm_cfg=BATCH_NORM)


def own(backbone, channels=8, **options):
    return build_student(dict(backbone=backbone, decoder=HEAD, **options), channels)


def mit(eps=1e-5):
    options = dict(sr_ratios=(8, 4, 2, 1), norm_cfg=dict(type="LN", eps=eps))
    return own(TINY_MIT | options)[0].eval()


def spread(module, seed=0):
    """Fill a module with weights and statistics of which none equals another."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        draw = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim > 1:
            tensor.copy_(draw / math.sqrt(tensor[0].numel()))
        else:
            tensor.copy_(draw * 0.2 + (0.0 if name.endswith(("bias", "mean")) else 1.0))
            tensor.abs_() if name.endswith("var") else None
    return module.eval()


def deep_timm():
    layers = dict(layers=[3, 4, 6, 3], channels=(8, 16, 32, 64), num_classes=3)
    return spread(timm_resnet.ResNet(timm_resnet.Bottleneck, stem_width=8, stem_type="deep", **layers))


def v1c(**options):
    backbone = own(dict(type="ResNetV1c", depth=50, base_channels=8, stem_channels=16, norm_cfg=BATCH_NORM, **options))[
        0
    ]
    backbone.eval()  # returns None
    return backbone


def hf_state():
    with np.load(HERE / "trained" / "mit_hf.npz") as file:
        golden = {k: torch.from_numpy(file[k]) for k in file.files}
    return {k[2:]: v for k, v in golden.items() if k.startswith("w/")}, golden


CASES = {
    "maskclip_plus_dlv3p": (
        dict(type="DepthwiseSeparableASPPHead", dilations=(1, 12, 24, 36), c1_channels=6, norm_cfg=BATCH_NORM),
        (8, 12, 16, 24),
        "w/",
    ),
    "maskclip_plus_segformer": (HEAD, (8, 12, 20, 24), "w/"),
    "maskclip_plus_train": (dict(type="SumASPP"), (8, 12, 16, 24), "dec/"),
}


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_decoders_equal_the_reference(name):
    config, channels, prefix = CASES[name]
    golden = {k: torch.from_numpy(v) for k, v in arrays(f"trained/{name}").items() if v.dtype == np.float32}
    decoder = build_decoder(config, channels, 16).eval()
    weights = {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}
    counts = {k: v for k, v in decoder.state_dict().items() if k.endswith("num_batches_tracked")}
    decoder.load_state_dict(weights | counts)  # strict: the names are MMSegmentation's
    features = [golden.get(f"feat{i}") for i in range(4)]
    kept = [None if f is None else f.clone() for f in features]
    end = "eval/" if prefix == "dec/" else ""
    dense = decoder(features)
    torch.testing.assert_close(dense, golden[f"{end}dec_feat"], rtol=1e-4, atol=1e-5)
    logits = torch.einsum("ndhw,cd->nchw", dense, golden["text"])
    torch.testing.assert_close(logits, golden[f"{end}logits"], rtol=1e-4, atol=1e-5)
    assert all(f is None or torch.equal(f, k) for f, k in zip(features, kept, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_decoders_are_initialized_kaiming_normal(name):
    torch.manual_seed(0)
    config, channels, _ = CASES[name]
    decoder = build_decoder(config, [8 * c for c in channels], 64)
    seen = 0
    for module in decoder.modules():
        if isinstance(module, torch.nn.Conv2d) and module.groups == 1:
            fan_out = module.out_channels * math.prod(module.kernel_size)
            expected = math.sqrt(2 / fan_out)
            assert module.bias is None
            assert module.weight.std().item() == pytest.approx(expected, rel=0.1)
            assert module.weight.abs().max() > 2.5 * expected  # normal, not uniform
            seen += 1
        elif isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()
    assert seen >= 4
    assert not any(isinstance(m, torch.nn.Dropout2d) for m in decoder.modules())


# Millions of parameters of backbone and of the decoder at D = 1024 and 512: the published totals, less the teachers.
SIZES = {
    "deeplabv2_r101": (42.5, 75.5, 37.8),
    "deeplabv3plus_r101": (42.5, 140.7 - 42.5 - 38.2, None),
    "segformer_b0": (3.3, 46.3 - 3.3 - 38.2, None),
    "segformer_b5": (81.4, 125.0 - 81.4 - 38.2, 169.2 - 81.4 - 86.2),
}


@pytest.fixture
def meta(monkeypatch):
    """Build networks on the device "meta"; MiT's constructor reads numbers of a tensor it makes."""
    linspace = torch.linspace
    monkeypatch.setattr(torch, "linspace", lambda *args: linspace(*args, device="cpu"))
    with torch.device("meta"):
        yield


def millions(module):
    return sum(p.numel() for p in module.parameters()) / 1e6


@pytest.mark.parametrize("name", SIZES)
def test_named_students_have_the_published_sizes(meta, name):
    backbone, decoder, weights = build_student(dict(type=name), 1024)
    maps = probe_feature_channels(backbone)
    assert weights == STUDENTS[name]["pretrained"]
    size, large, small = SIZES[name]
    assert millions(backbone) == pytest.approx(size, abs=0.15)
    assert millions(decoder) == pytest.approx(large, abs=0.15)
    if small:
        assert millions(build_decoder(STUDENTS[name]["decoder"], maps, 512)) == pytest.approx(small, abs=0.15)
    if name.startswith("segformer"):
        assert maps == ([32, 64, 160, 256] if name.endswith("b0") else [64, 128, 320, 512])
        dropped = [m.drop_prob for m in backbone.modules() if type(m).__name__ == "DropPath"]
        assert max(dropped) == pytest.approx(0.1) and min(dropped) == 0
        return
    assert maps == [256, 512, 1024, 2048]
    strides = [m.stride for m in backbone.modules() if isinstance(m, torch.nn.Conv2d)]
    assert strides.count((2, 2)) == 3  # the stem, and two of stage 2: with the pooling, output stride 8
    assert backbone.layer4[0].conv2.dilation == (2, 2) and backbone.layer4[1].conv2.dilation == (4, 4)
    assert not backbone.norm_eval and not backbone.avg_down


@pytest.mark.slow
@pytest.mark.parametrize("name", ["segformer_tiny", "deeplab_tiny"])
def test_tiny_students_learn(name):
    torch.manual_seed(0)
    backbone, decoder, weights = build_student(dict(type=name), 24)
    assert weights is None and load_pretrained(backbone, weights) == "random weights"
    assert all(module.training for module in backbone.modules())
    assert not any(v for k, v in backbone.state_dict().items() if k.endswith("num_batches_tracked"))
    images = torch.randn(2, 3, 64, 96)
    decoder.train()
    backbone.train()
    parameters = [*backbone.parameters(), *decoder.parameters()]
    losses = []
    for _ in range(3):
        features = decoder(backbone(images))
        assert features.shape == (2, 24, 16, 24)
        target = torch.nn.functional.interpolate(images, features.shape[2:], mode="area")
        losses.append((features[:, :3] - target).square().mean())
        for parameter, gradient in zip(parameters, torch.autograd.grad(losses[-1], parameters), strict=True):
            parameter.data -= 0.05 * gradient
    assert losses[-1] < 0.9 * losses[0]
    assert millions(backbone) + millions(decoder) < 2


def test_build_student_changes_a_named_one():
    plain, head, _ = build_student(dict(type="segformer_tiny"), 16)
    wide, other, weights = build_student(
        dict(type="segformer_tiny", backbone=dict(embed_dims=24), decoder=dict(dropout_ratio=0.1), pretrained="a/b"), 16
    )
    assert probe_feature_channels(plain) == [16, 32, 64, 128] and probe_feature_channels(wide) == [24, 48, 96, 192]
    assert other.convs[3].conv.in_channels == 192 and weights == "a/b"
    assert head.dropout is None and other.dropout.p == 0.1
    assert build_student(dict(type="deeplab_tiny", decoder=dict(type="SumASPP")), 16)[1].__class__ is SumASPP
    small = Config(
        dict(model=dict(type="segformer_b0", backbone=dict(num_layers=(1, 1, 1, 1))))
    )  # as a config gives it
    assert build_student(small.model, 16)[2] == "nvidia/mit-b0"
    assert build_student({**small.model, "pretrained": "default"}, 16)[2] == "nvidia/mit-b0"
    assert build_student({**small.model, "pretrained": None}, 16)[2] is None
    assert STUDENTS["segformer_tiny"]["backbone"]["embed_dims"] == 16  # the table is left alone


OWN = """
from torch import nn

class Own(nn.Module):
    def __init__(self, in_channels, channels, gain=1.0):
        super().__init__()
        self.layer, self.gain = nn.Conv2d(in_channels, channels, 1), gain

    def forward(self, features):
        return self.gain * self.layer(features[-1])
"""


def test_build_student_takes_custom_parts(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    body = dict(type="ResNetV1c", depth=18, base_channels=8, stem_channels=8, norm_cfg=BATCH_NORM)
    spec = dict(backbone=body, decoder=dict(type=str(tmp_path / "own.py"), gain=0.0))
    backbone, decoder, weights = build_student(spec, 12)
    assert weights is None
    dense = decoder(backbone(torch.randn(1, 3, 64, 96)))
    assert dense.shape == (1, 12, 2, 3) and (dense == 0).all()
    fcn = build_student(dict(backbone=body, decoder=dict(type="FCNHead", in_index=1, norm_cfg=BATCH_NORM)), 12)[1]
    assert fcn(backbone(torch.randn(1, 3, 64, 96))).shape == (1, 12, 8, 12)


@pytest.mark.parametrize(
    "spec, error, message",
    [
        (dict(type="segformer_b9"), ValueError, r"deeplabv2_r50.*'segformer_b9'.*Did you mean 'segformer_b"),
        (dict(type=None), ValueError, "backbone=dict"),
        (dict(type="segformer_tiny", colour=1), TypeError, r"\['colour'\].*backbone, decoder, pretrained$"),
        (dict(type="segformer_tiny", drop_path_rate=1), TypeError, r"do you mean backbone=dict\(drop_path_rate="),
        (
            dict(type="segformer_tiny", backbone=dict(depth=1)),
            TypeError,
            r"MixVisionTransformer.*no option.*num_layers",
        ),
        (dict(type="deeplab_tiny", decoder=dict(dilation=1)), TypeError, r"no option \['dilation'\].*dilations"),
        (dict(type="deeplab_tiny", decoder=dict(channels=1)), TypeError, "follow from the text"),
        (dict(backbone=TINY_MIT), TypeError, r"student\.decoder=dict\(\.\.\.\), but got None"),
        (dict(backbone=TINY_MIT, decoder=dict(type="FCNHaed")), ValueError, "close ones are FCNHead"),
        (dict(backbone=TINY_MIT, decoder=dict(in_index=1)), ValueError, "type None"),
        (dict(type="deeplabv2_r50", decoder=dict(dilations=(1, 6))), ValueError, "dilations of 2 or more"),
    ],
)
def test_build_student_refuses_bad_options(meta, spec, error, message):
    with pytest.raises(error, match=message):
        build_student(spec, 16)


@torch.no_grad()
def test_load_pretrained_reads_mit_of_transformers(tmp_path):
    state, golden = hf_state()
    torch.save(state, tmp_path / "pytorch_model.bin")
    backbone = mit()
    assert "pytorch_model.bin, sha256 " in load_pretrained(backbone, f"local-dir:{tmp_path}")
    for number, features in enumerate(backbone(golden["image"])):
        torch.testing.assert_close(features, golden[f"feat{number}"], rtol=1e-4, atol=1e-5)
    bare = {k.removeprefix("segformer."): v for k, v in state.items() if not k.startswith("classifier")}
    save_file(bare, tmp_path / "bare.safetensors")  # of a SegformerModel
    again = mit()
    load_pretrained(again, str(tmp_path / "bare.safetensors"))
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in backbone.state_dict().items())
    whole = {f"backbone.{k}": v for k, v in backbone.state_dict().items()} | {"decode_head.convs": torch.zeros(1)}
    torch.save({"state_dict": whole}, tmp_path / "mmseg.pth")
    load_pretrained(mit(), str(tmp_path / "mmseg.pth"))  # MMSegmentation's own


@torch.no_grad()
def test_load_pretrained_reads_resnets_of_timm(tmp_path):
    image = torch.randn(1, 3, 64, 96)
    theirs = deep_timm()
    torch.save({k: v for k, v in theirs.state_dict().items() if "num_batches" not in k}, tmp_path / "deep.pth")
    ours = v1c()
    load_pretrained(ours, str(tmp_path / "deep.pth"))
    expected = theirs.forward_intermediates(image, intermediates_only=True)[1:]
    for got, want in zip(ours(image), expected, strict=True):
        torch.testing.assert_close(got, want)
    dilated = v1c(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), contract_dilation=True)
    load_pretrained(dilated, str(tmp_path / "deep.pth"))
    torch.testing.assert_close(dilated(image)[1], expected[1])

    theirs = spread(timm_resnet.ResNet(timm_resnet.BasicBlock, layers=[2, 2, 2, 2], channels=(8, 16, 32, 64)))
    save_file(theirs.state_dict(), tmp_path / "plain.safetensors")
    plain = own(dict(type="ResNet", depth=18, base_channels=8, norm_cfg=BATCH_NORM))[0]
    plain.eval()
    load_pretrained(plain, str(tmp_path / "plain.safetensors"))
    expected = theirs.forward_intermediates(image, intermediates_only=True)[1:]
    for got, want in zip(plain(image), expected, strict=True):
        torch.testing.assert_close(got, want)
    with pytest.raises(WeightsError, match=r"does not fit ResNetV1c: .*175 missing.*\n.*student\.pretrained=None"):
        load_pretrained(ours, str(tmp_path / "plain.safetensors"))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with open_stub_hub(monkeypatch) as stub:
        yield stub


@torch.no_grad()
def test_load_pretrained_fetches_once_from_the_hub(hub, tmp_path, monkeypatch):
    lines = []
    print_log = "proxyclip.models.trained.maskclip_plus.pretrained.print_log"
    monkeypatch.setattr(print_log, lambda text, **_: lines.append(text))
    state, golden = hf_state()
    torch.save(state, tmp_path / "mit.bin")
    hub.files = {
        "nvidia/mit-b0/pytorch_model.bin": (tmp_path / "mit.bin").read_bytes(),
        "timm/resnet50c.gluon_in1k/model.safetensors": save(deep_timm().state_dict()),
    }
    backbone = mit()
    assert load_pretrained(backbone, STUDENTS["segformer_b0"]["pretrained"]).startswith(
        "nvidia/mit-b0 (pytorch_model.bin"
    )
    torch.testing.assert_close(backbone(golden["image"])[3], golden["feat3"], rtol=1e-4, atol=1e-5)
    for name in ("timm/resnet50c.gluon_in1k", "resnet50c", "hf-hub:timm/resnet50c.gluon_in1k"):
        resnet = v1c()
        load_pretrained(resnet, name)
        assert torch.equal(resnet.stem[7].running_var, deep_timm().bn1.running_var)
    gets = [path for method, path, _ in hub.asked if method == "GET" and path in hub.files]
    assert sorted(gets) == sorted(hub.files)
    assert "non-commercial" in lines[0] and "Apache-2.0" in lines[2]  # before the download
    assert not any("--vfm" in text for text in lines)
    asked = len(hub.asked)
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    load_pretrained(mit(), "nvidia/mit-b0")
    assert len(hub.asked) == asked


def test_load_pretrained_explains_missing_weights(hub, monkeypatch):
    hub.files = {"nvidia/mit-b0/README.md": b"-"}
    with pytest.raises(WeightsError, match=r"has none of the files model\.safetensors, pytorch_model\.bin"):
        load_pretrained(mit(), "nvidia/mit-b0")
    asked = len(hub.asked)
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError) as caught:
        load_pretrained(mit(), "nvidia/mit-b0")
    message = str(caught.value)
    for part in (
        "HF_HUB_OFFLINE is set",
        "huggingface.co/nvidia/mit-b0",
        "hf download nvidia/mit-b0 --local-dir FOLDER",
        "model.student.pretrained=local-dir:FOLDER",
        "model.student.pretrained=FILE",
        "model.student.pretrained=None",
    ):
        assert part in message
    assert "--vfm" not in message and len(hub.asked) == asked


@pytest.mark.parametrize(
    "name, error, message",
    [
        ("no such model", ValueError, "OWNER/NAME on Hugging Face's hub, a name of timm"),
        ("resnet101c.gluon_in2k", ValueError, "a name of timm"),
        ("no/such.pth", FileNotFoundError, "file of pretrained weights 'no/such.pth' does not exist"),
        ("local-dir:no/such", FileNotFoundError, "folder of pretrained weights"),
        ("local-dir:tests", WeightsError, r"model\.safetensors or pytorch_model\.bin in "),
    ],
)
def test_load_pretrained_refuses_bad_names(name, error, message):
    with pytest.raises(error, match=message):
        load_pretrained(torch.nn.Linear(1, 1), name)


def test_load_pretrained_refuses_a_pickle_with_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    torch.save({"layer": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="nothing was run"):
        load_pretrained(mit(), str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


def test_load_pretrained_names_missing_tensors(tmp_path):
    state, _ = hf_state()
    for key in [k for k in state if "block.1.1.attention.self.key" in k]:
        del state[key]
    torch.save(state | {"segformer.encoder.extra": torch.zeros(1)}, tmp_path / "cut.pth")
    with pytest.raises(WeightsError, match=r"2 missing tensors \(first: layers\.1\.1\.1\.attn\.attn\.in_proj_bias"):
        load_pretrained(mit(), str(tmp_path / "cut.pth"))
