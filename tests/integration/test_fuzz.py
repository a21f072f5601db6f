"""Any picture with any class names: a valid segmentation, or a documented error.

`HYPOTHESIS_EXAMPLES=500 pytest tests/integration/test_fuzz.py` tries so many examples a test, other ones each time.
"""

import functools
import io
import json
import math
import os

import numpy as np
import PIL.Image
import pytest
import torch

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle

from proxyclip import Segmenter
from proxyclip.apis.images import to_rgb_array

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "0"))
DOCUMENTED = (ValueError, TypeError, OSError)
TINY = "configs/cfg_tinyworld.py"
ALONE = ("naclip", "sclip", "clearclip", "maskclip", "resclip", "sc_clip", "vanilla")  # without a VFM
METHODS = [("proxy", "tiny"), ("gla", "tiny"), ("naclip", "tiny"), *((method, "none") for method in ALONE)]
PLAIN = ["sky", ["boat", "fish"], "sand"]


def examples(count):
    fixed = dict(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    return settings(max_examples=EXAMPLES or count, derandomize=not EXAMPLES, **fixed)


@pytest.fixture(scope="module")
def tiny():
    """Windows that do not overlap: fast."""
    return Segmenter(PLAIN, config=TINY, slide_stride=96)


@pytest.fixture(scope="module")
def whole():
    """One window for pictures that are not too long."""
    return Segmenter(PLAIN, config=TINY, slide_crop=768, slide_stride=768)


@pytest.fixture(scope="module")
def segmenters():
    """Every method, with backgrounds and steps of all kinds among them."""
    backgrounds = (None, 0.4, ["wood"], None, 0.9) * 2
    steps = (None, None, ["pamr"], ["area"], None) * 2
    return [
        Segmenter(PLAIN, method=method, vfm=vfm, config=TINY, slide_stride=96, background=background, refine=refine)
        for (method, vfm), background, refine in zip(METHODS, backgrounds, steps, strict=True)
    ]


SIZES = st.one_of(
    st.sampled_from([(1, 1), (1, 2), (2, 1), (3, 9), (30, 1), (120, 160), (97, 131), (200, 64), (192, 192), (50, 199)]),
    st.tuples(st.integers(1, 200), st.integers(1, 200)).filter(lambda hw: max(hw) < 5 * min(hw)),
)
TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
ODD = st.text(max_size=12) | st.sampled_from(["sky", "boat", "fish", "stone", "other", "background", "brick wall"])
NAMES = TEXT | TEXT | ODD
CLASSES = st.one_of(
    st.lists(NAMES | st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=6),
    st.dictionaries(NAMES, NAMES | st.lists(NAMES, max_size=3), max_size=5),
    st.text(alphabet=st.characters() | st.sampled_from(";,\n {}"), max_size=30),
    st.none() | st.integers() | st.binary(max_size=3) | st.lists(st.none() | st.integers(), max_size=2),
)
BACKGROUNDS = st.none() | st.floats(0, 1) | st.lists(TEXT, min_size=1, max_size=3) | st.text(max_size=9) | st.floats()
THRESHOLDS = st.floats(0, 1) | st.floats()
NUMBERS = st.floats(-3, 9) | st.floats(-1e6, 1e6) | st.floats()
STARTS = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF", b"BM", b"II*\0", b"P6 3 3 255 "]
THINGS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(np.zeros((1, 1, 1, 1, 1))),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=2), some, max_size=2),
    max_leaves=4,
)


@st.composite
def valid_classes(draw):
    """Classes, some with synonyms, background and threshold that go together."""
    names = draw(st.lists(TEXT, min_size=1, max_size=9, unique=True))
    taken = draw(st.integers(0, min(2, len(names) - 1)))
    several = draw(st.integers(1, 3))
    classes = [names[i : i + several] for i in range(taken, len(names), several)]
    threshold = draw(st.just(0.0) | st.floats(0, 1))
    if not taken and draw(st.booleans()):
        return classes, threshold, 0.0
    return classes, names[:taken] or None, threshold


ASKED = st.one_of(
    valid_classes(), st.tuples(CLASSES, st.none(), st.just(0.0)), st.tuples(CLASSES, BACKGROUNDS, THRESHOLDS)
)


@st.composite
def pixels(draw, sizes=SIZES):
    """(H, W, 3) uint8: one color, noise, stripes, a ramp, or a few boxes."""
    h, w = draw(sizes)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    texture = draw(st.sampled_from(["boxes", "noise", "flat", "stripes", "ramp"]))
    image = np.zeros((h, w, 3), np.uint8) + random.integers(0, 256, 3, np.uint8)
    if texture == "noise":
        image = random.integers(0, 256, (h, w, 3), np.uint8)
    elif texture == "stripes":
        image[:, :: random.integers(1, 9)] = random.integers(0, 256, 3)
    elif texture == "ramp":
        image = np.add.outer(np.arange(h) * 3, np.arange(w) * 2)[..., None].repeat(3, 2).astype(np.uint8)
    elif texture == "boxes":
        for _ in range(5):
            y, x = random.integers(0, h), random.integers(0, w)
            image[y : y + h // 2 + 1, x : x + w // 2 + 1] = random.integers(0, 256, 3)
    return image


def to_pil(pixels, *modes):
    """Convert uint8 pixels into a PIL image of the last mode, through the others."""
    return functools.reduce(PIL.Image.Image.convert, modes, PIL.Image.fromarray(pixels))


def encode(pixels, file_format):
    """Convert uint8 pixels into the bytes of a file."""
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, file_format)
    return file.getvalue()


EXACT = {
    "uint8": lambda a: a,
    "alpha": lambda a: np.dstack([a, a[..., :1]]),
    "uint16": lambda a: a.astype(np.uint16) * 257,
    "int32": lambda a: a.astype(np.int32),
    "float16": lambda a: (a / 255).astype(np.float16),
    "float64": lambda a: a / 255,
    "fortran": np.asfortranarray,
    "tensor": lambda a: torch.from_numpy(a.transpose(2, 0, 1).copy()),
    "float tensor": lambda a: torch.from_numpy(a.transpose(2, 0, 1) / np.float32(255)),
    "RGB": lambda a: to_pil(a, "RGB"),
    "RGBA": lambda a: to_pil(a, "RGBA"),
    **{file_format: functools.partial(encode, file_format=file_format) for file_format in ("PNG", "TIFF", "BMP")},
}
OTHERS = {
    "gray": lambda a: a[..., 0],
    "bool": lambda a: a[..., 0] > 99,
    "strided": lambda a: a[::-1, ::-1],
    "bfloat16 tensor": lambda a: torch.from_numpy(a.transpose(2, 0, 1) / 255).bfloat16(),
    "I": lambda a: PIL.Image.fromarray(a[..., 0].astype(np.int32) * 255),
    **{mode: lambda a, mode=mode: to_pil(a, mode) for mode in ("1", "L", "P", "CMYK", "YCbCr", "HSV")},
    **{mode: lambda a, mode=mode: to_pil(a, "RGBA", mode) for mode in ("LA", "RGBa")},
    **{file_format: functools.partial(encode, file_format=file_format) for file_format in ("JPEG", "WEBP")},
}
FORMS = EXACT | OTHERS


def check(result, h, w):
    """Check what every segmentation satisfies."""
    assert (result.image.shape, result.image.dtype, result.labels.shape) == ((h, w, 3), np.uint8, (h, w))
    assert 0 <= result.labels.min() <= result.labels.max() < len(result.names)
    maps = result.probabilities
    assert maps.shape == (len(result.names), h, w) and np.isfinite(maps).all()
    assert 0 <= maps.min() <= maps.max() <= 1 + 1e-5
    assert sum(result.areas.values()) == pytest.approx(100)
    assert np.array_equal(np.asarray(result.mask()), result.labels)
    coco = json.loads(json.dumps(result.to_coco()))
    assert sum(item["area"] for item in coco["annotations"]) == h * w
    for item in coco["annotations"]:
        assert np.array_equal(rle.decode(item["segmentation"]) == 1, result.labels == item["category_id"] - 1)
    assert f"{w} x {h}" in repr(result)


def check_drawn(result, h, w):
    assert result.overlay().size == result.overlay(0.3, names=False).size == (w, h)
    assert min(result.legend().size) > 0 and min(result.picture().size) > 100


@examples(12)
@given(image=pixels(), form=st.sampled_from(sorted(FORMS)))
def test_any_picture_in_any_form(tiny, image, form):
    formed = FORMS[form](image)
    result = tiny.set_classes(PLAIN)(formed)
    check(result, *image.shape[:2])
    assert np.array_equal(result.image, to_rgb_array(formed))
    assert np.array_equal(result.image, image) or form in OTHERS


@examples(8)
@given(long=st.integers(300, 6000), thick=st.integers(1, 2), wide=st.booleans(), at=st.floats(0, 0.999))
def test_long_and_thin_pictures(whole, long, thick, wide, at):
    size = (thick, long) if wide else (long, thick)
    image = np.random.default_rng(long).integers(0, 256, (*size, 3), np.uint8)
    result = whole(image)
    check(result, *size)
    check_drawn(result, *size)
    x, y = int(at * size[1]), int(at * size[0])
    values = whole.attention(image, x, y)
    assert values.shape == size and np.isfinite(values[y, x])


@examples(80)
@given(asked=ASKED)
def test_any_class_names(tiny, asked):
    (classes, background, threshold), before = asked, tiny.classes
    try:
        tiny.set_classes(classes, background, threshold)
    except DOCUMENTED as error:
        assert "Expected" in str(error) or "does not exist" in str(error)
        assert tiny.classes == before
        return
    assert len(set(tiny.classes)) == len(tiny.classes) > 0
    result = tiny(np.arange(60, dtype=np.uint8).reshape(4, 5, 3))
    check(result, 4, 5)
    check_drawn(result, 4, 5)


@examples(15)
@given(image=pixels(), number=st.integers(0, len(METHODS) - 1))
def test_any_method(segmenters, image, number):
    check(segmenters[number](image), *image.shape[:2])


@examples(8)
@given(images=st.lists(pixels(), min_size=1, max_size=4), batch=st.integers(1, 5))
def test_any_batch(tiny, images, batch):
    result = list(tiny.set_classes(PLAIN).each(images, batch, progress=False))
    assert len(result) == len(images)
    for segmentation, image in zip(result, images, strict=True):
        check(segmentation, *image.shape[:2])
        assert np.array_equal(segmentation.image, image)


@examples(12)
@given(beta=NUMBERS, gamma=NUMBERS, image=pixels())
def test_any_parameters(tiny, beta, gamma, image):
    tiny.set_classes(PLAIN)
    try:
        tiny.tune(beta=beta, gamma=gamma)
    except ValueError as error:
        assert "Expected" in str(error)
    else:
        check(tiny(image), *image.shape[:2])
    finally:
        tiny.tune(beta=1.2, gamma=3.0)


@examples(15)
@given(image=pixels(), right=st.floats(-0.2, 1.2), down=st.floats(-0.2, 1.2))
def test_attention_anywhere(tiny, image, right, down):
    h, w = image.shape[:2]
    x, y = math.floor(right * w), math.floor(down * h)
    if not (0 <= x < w and 0 <= y < h):
        with pytest.raises(ValueError, match="inside the picture"):
            tiny.attention(image, x, y)
        return
    values = tiny.attention(image, x, y)
    assert values.shape == (h, w) and np.nanmin(values) >= 0
    assert 0 <= values[y, x] <= np.nanmax(values) <= 1 + 1e-5


@examples(80)
@given(data=st.binary(max_size=300), start=st.sampled_from(STARTS))
def test_any_bytes(data, start):
    try:
        image = to_rgb_array(start + data)
    except (OSError, ValueError) as error:
        assert "the given bytes" in str(error)
    else:
        assert image.dtype == np.uint8 and image.ndim == 3


@examples(80)
@given(thing=THINGS)
def test_any_object_as_a_picture(tiny, thing):
    if isinstance(thing, list) and not thing:
        assert tiny(thing) == []
        return
    with pytest.raises(DOCUMENTED):
        tiny(thing)


@examples(8)
@given(names=st.lists(TEXT, min_size=1, max_size=5, unique=True), image=pixels())
def test_saved_files_of_any_class_names(tiny, tmp_path_factory, names, image):
    result = tiny.set_classes(names)(image)
    assert result.names == tuple(names)
    check_drawn(result, *image.shape[:2])
    files = result.save(tmp_path_factory.mktemp("saved"))
    assert sorted(files) == ["json", "mask", "overlay", "picture"]
    assert np.array_equal(np.asarray(PIL.Image.open(files["mask"])), result.labels)
    assert np.array_equal(np.asarray(PIL.Image.open(files["overlay"])), np.asarray(result.overlay()))
    report = json.loads(files["json"].read_text(encoding="utf-8"))
    assert report["names"] == list(result.names) and sum(report["areas"].values()) == pytest.approx(100)
    with pytest.raises(DOCUMENTED):
        result.save(files["mask"] / "a")  # no folder
