"""Label maps are read exactly, and what is no label map is refused by name."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from proxyclip.data.files.label_maps import decode_label_map
from proxyclip.data.files.labels import LabelFormat
from proxyclip.data.transforms import LoadImageFromFile, MyLoadAnnotations, remap_labels

WIDE = np.array([[0, 1, 255, 256], [300, 846, 65535, 254]])


def save(folder, labels, dtype=np.uint16, name="mask.tif"):
    path = folder / name
    Image.fromarray(np.asarray(labels).astype(dtype)).save(path)
    return str(path)


def load(path, loader=None, **sample):
    return (loader or MyLoadAnnotations()).transform({"seg_map_path": path, "seg_fields": [], **sample})["gt_seg_map"]


@pytest.mark.parametrize(
    ("dtype", "name"), [(np.uint16, "a.tif"), (np.uint16, "a.png"), (np.int32, "a.tif"), (np.float32, "a.tif")]
)
def test_loader_keeps_wide_labels(tmp_path, dtype, name):
    found = load(save(tmp_path, WIDE, dtype, name), ignore_index=65535, num_classes=847, reduce_zero_label=False)
    assert found.dtype == np.int32
    assert (found == WIDE).all()


def test_loader_gives_palette_indices(tmp_path):
    picture = Image.fromarray(np.array([[0, 15, 255]], np.uint8))
    picture.putpalette(list(range(256)) * 3)
    picture.save(tmp_path / "a.png")
    assert load(str(tmp_path / "a.png")).tolist() == [[0, 15, 255]]


def test_loader_equals_mmseg_on_8_bits(tmp_path):
    from mmseg.datasets.transforms import LoadAnnotations

    labels = np.random.default_rng(0).integers(0, 256, (9, 13))
    path = save(tmp_path, labels, np.uint8, "a.png")
    for reduce_zero in (False, True):
        sample = {"seg_map_path": path, "reduce_zero_label": reduce_zero, "seg_fields": []}
        theirs = LoadAnnotations().transform(dict(sample))["gt_seg_map"]
        assert (MyLoadAnnotations().transform(dict(sample))["gt_seg_map"] == theirs).all()


def test_apply_with_reduce_zero_merges_no_classes():
    labels = np.arange(65536)
    reduced = LabelFormat(ignore=65535, reduce_zero=True).apply(labels)
    assert reduced[0] == reduced[65535] == 65535
    assert (reduced[1:65535] == labels[:65534]).all()


def test_remap_labels_ignores_the_other_classes():
    assert remap_labels(np.array([[0, 1, 2, 65535]]), {0: 255, 1: 0, 2: 1}, 65535).tolist() == [[65535, 0, 1, 65535]]


@pytest.mark.parametrize(("labels", "sample", "allowed"), [
    ([[0, 2]], dict(num_classes=3), True),
    ([[0, 255]], dict(num_classes=3), True),
    ([[0, 3]], dict(num_classes=3, reduce_zero_label=True), True),
    ([[0, 3]], dict(num_classes=3), False),
    ([[0, 4]], dict(num_classes=3, reduce_zero_label=True), False),
    ([[0, 65535]], dict(num_classes=3), False),
    ([[0, 255]], dict(num_classes=3, ignore_index=65535), False),
    ([[0, 60000]], dict(), True),
])  # fmt: skip
def test_loader_accepts_classes_and_the_ignore_value_only(tmp_path, labels, sample, allowed):
    path = save(tmp_path, labels)
    if allowed:
        load(path, **sample)
        return
    with pytest.raises(ValueError, match=f"mask.tif.*1 pixels have {labels[0][1]}.*reduce_zero_label"):
        load(path, **sample)


def test_loader_refuses_settings_that_contradict_the_data_set(tmp_path):
    path = save(tmp_path, [[0, 1]])
    assert load(path, MyLoadAnnotations(reduce_zero_label=True)).tolist() == [[255, 0]]
    assert load(path, MyLoadAnnotations(ignore_index=9, reduce_zero_label=True)).tolist() == [[9, 0]]
    for loader, sample in (
        (MyLoadAnnotations(reduce_zero_label=True), dict(reduce_zero_label=False)),
        (MyLoadAnnotations(ignore_index=255), dict(ignore_index=65535)),
    ):
        with pytest.raises(ValueError, match="say it once"):
            load(path, loader, **sample)
    with pytest.raises(ValueError, match="pillow"):
        MyLoadAnnotations(imdecode_backend="cv2")


def encoded(labels, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(labels).save(file, **options)
    return file.getvalue()


GREY = np.random.default_rng(0).integers(0, 3, (40, 50), np.uint8)
BAD = {
    "colours": (encoded(np.dstack([GREY] * 3), format="PNG"), ValueError, "RGB.*class indices"),
    "truncated": (encoded(GREY, format="PNG")[:200], OSError, "cannot be read"),
    "empty": (b"", OSError, "is empty"),
    "web page": (b"<html>404</html>", OSError, "is a web page"),
    "lossy": (encoded(GREY, format="JPEG"), ValueError, "JPEG"),
    "fractions": (encoded(GREY.astype(np.float32) / 2, format="TIFF"), ValueError, "fractions"),
    "not numbers": (encoded(np.full((2, 3), np.nan, np.float32), format="TIFF"), ValueError, "fractions"),
}


@pytest.mark.parametrize("kind", BAD)
def test_decode_label_map_refuses_other_files_by_name(kind):
    data, error, words = BAD[kind]
    with pytest.raises(error, match=words) as caught:
        decode_label_map(data, "some/mask.png")
    assert "some/mask.png" in str(caught.value)
    assert "\n" not in str(caught.value)


class DarkImages(torch.utils.data.Dataset):
    """Image files that leave the upper bits unused, read by a loader's processes."""

    def __init__(self, folder, **options):
        self.paths = [str(folder / f"{i}.png") for i in range(6)]
        for i, path in enumerate(self.paths):
            Image.fromarray(np.arange(i, i + 48, dtype=np.uint16).reshape(6, 8)).save(path)
        self.load = LoadImageFromFile(**options)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.load.transform({"img_path": self.paths[index]})["img"]


@pytest.mark.parametrize("workers", [0, 2])
def test_image_notes_are_printed_once_in_a_run(tmp_path, capfd, workers):
    for options, notes in (({}, 1), (dict(stretch=True), 0)):
        images = [*torch.utils.data.DataLoader(DarkImages(tmp_path, **options), num_workers=workers, batch_size=None)]
        assert len(images) == 6 and images[0].max() == (0 if notes else 255)
        assert capfd.readouterr().err.count("has 16 bits a channel") == notes


def test_image_loader_reads_other_color_types_by_mmcv(tmp_path):
    path = str(tmp_path / "a.png")
    Image.fromarray(np.full((4, 5), 7000, np.uint16)).save(path)
    image = LoadImageFromFile(color_type="unchanged").transform({"img_path": path})["img"]
    assert (image.dtype, image.shape, image[0, 0]) == (np.uint16, (4, 5), 7000)
    assert LoadImageFromFile(color_type="grayscale").transform({"img_path": path})["img"].shape == (4, 5)
    assert LoadImageFromFile(to_float32=True).transform({"img_path": path})["img"].dtype == np.float32
    for options in (dict(color_type="grayscale"), dict(imdecode_backend="pillow")):
        with pytest.raises(ValueError, match=r"color_ignore_orientation.*cv2.*with stretch"):
            LoadImageFromFile(stretch=True, **options)
    assert "stretch=True, max_megapixels=200" in repr(LoadImageFromFile(stretch=True, max_megapixels=200))
