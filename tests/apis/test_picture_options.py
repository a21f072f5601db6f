"""Options of `Segmenter` on pictures and refinements: notes, stretching, large files, dropped classes."""

import json
import warnings

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.image_bytes import encode

from proxyclip import Segmenter
from proxyclip.apis.export import format_coco_json
from proxyclip.apis.images import ImageWarning
from proxyclip.apis.web.inference import AS_CONFIGURED, UploadedImage, draw_example, segment_panes, stretch_upload
from proxyclip.apis.web.model_cache import ModelCache, ModelChoice
from proxyclip.apis.web.settings import WebSettings
from proxyclip.models.refine.regions import Regions, find_regions
from proxyclip.tinyworld.scenes import draw_seeded_scene

TINY = "configs/cfg_tinyworld.py"
CLASSES = "boat; sky; sand; grass"


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter(CLASSES, config=TINY, method="maskclip", slide_crop=0)


@pytest.fixture
def scene():
    return draw_seeded_scene(21, 0).image


def darken(image):
    """Gray values of 12 bits, as a 16-bit PNG."""
    return encode(np.asarray(PIL.Image.fromarray(image).convert("L")).astype(np.uint16) * 16, "PNG")


def test_segmenter_warns_of_unused_bits_and_stretches(segmenter, scene, tmp_path):
    (tmp_path / "scan.png").write_bytes(darken(scene))
    with pytest.warns(ImageWarning, match=r"scan\.png: has 16 bits a channel.*stretch=True"):
        result = segmenter(tmp_path / "scan.png")
    assert result.image.max() <= 15 and len(result.notes) == 1
    stretching = segmenter.fork()
    stretching._reading = dict(stretch=True, max_megapixels=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ImageWarning)
        result = stretching(tmp_path / "scan.png")
    assert result.image.max() == 255 and result.notes == ()
    assert stretching.describe()["stretch"] and not segmenter.describe()["stretch"]


def test_segmenter_takes_the_options_of_pictures(scene):
    options = Segmenter(CLASSES, config=TINY, method="maskclip", slide_crop=0, stretch=True, max_megapixels=0.001)
    assert options(scene.astype(float) * 1000 - 7).image.max() == 255
    with pytest.raises(OSError, match=r"max_megapixels=1"):
        options(encode(scene, "PNG"))


@pytest.mark.parametrize("values", [np.uint16(16), np.int32(16), 0.1])
def test_arrays_of_other_ranges_are_stretched(scene, values, segmenter):
    stretching = segmenter.fork()
    stretching._reading = dict(stretch=True, max_megapixels=None)
    assert np.abs(stretching(scene * values).image.astype(int) - stretching(scene * 2.0).image).max() <= 1


def test_warning_of_an_array_names_it(segmenter, scene):
    with pytest.warns(ImageWarning, match="the given array: has 16 bits"):
        segmenter(scene.astype(np.uint16) * 16)


@pytest.mark.parametrize(("background", "threshold"), [(None, 0.0), ("brick wall", 0.4), (0.5, 0.0)])
def test_regions_clean_labels_with_any_background(segmenter, scene, background, threshold):
    plain = segmenter.fork().set_classes(CLASSES, background, threshold)
    cleaned = plain.fork().set_refine("regions:min_region=300:min_hole=200")
    before, after = plain(scene), cleaned(scene)
    expected = Regions(300, 200)(torch.from_numpy(before.labels)).numpy()
    np.testing.assert_array_equal(after.labels, expected)
    regions, labels = find_regions(after.labels)
    assert (np.bincount(regions.ravel()) >= np.where(labels == 0, 200, 300)).all()
    assert not np.array_equal(before.labels, after.labels)
    np.testing.assert_array_equal(before.probabilities, after.probabilities)
    assert np.array_equal(np.asarray(after.mask()), after.labels)


def test_dropped_names_the_classes_that_a_refinement_removes(segmenter, scene):
    plain = segmenter.fork().set_classes(CLASSES, "brick wall")
    before = plain(scene)
    assert before.dropped == () and "dropped" not in json.loads(format_coco_json(before))
    for steps in ("area:threshold=0.9", "regions:min_region=100000"):
        after = plain.fork().set_refine(steps)(scene)
        gone = {before.names[i] for i in np.unique(before.labels)} - {*after.areas}
        assert set(after.dropped) == gone and gone, steps
        assert json.loads(format_coco_json(after))["dropped"] == [*after.dropped]
    assert plain.fork().set_refine("pamr")(scene).dropped == ()  # on scores


def test_set_refine_leaves_others_and_refuses_unknown_steps(segmenter, scene):
    other = segmenter.fork().set_refine("area:threshold=0.9")
    assert other.describe()["refine"] == ["Area(threshold=0.9)"]
    assert segmenter.describe()["refine"] == []
    with pytest.raises(ValueError, match="regions"):
        other.set_refine("region")


@pytest.mark.slow
def test_page_chooses_refinement_and_stretches(scene):
    models = ModelCache(WebSettings(tiny=True, refine=("area:threshold=0.9",)))
    choice = ModelChoice("sclip", "none", True)

    def run(image, refine):
        (pane,) = segment_panes(models, image, (choice,), CLASSES, "brick wall", refine=refine)
        return pane

    image = draw_example(1)
    configured, none = run(image, AS_CONFIGURED), run(image, "none")
    assert any("refinement dropped" in note for note in configured.notes)
    assert not any("refinement dropped" in note for note in none.notes)
    assert not np.array_equal(configured.segmentation.labels, none.segmentation.labels)
    dark = stretch_upload(UploadedImage("scan", darken(scene)), False)
    assert "The picture scan has 16 bits" in dark.notes[0] and 'tick "Stretch"' in dark.notes[0]
    assert dark.notes[0] in run(dark, "none").notes
    bright = stretch_upload(dark, True)
    assert bright.notes == () and run(bright, "none").segmentation.image.max() == 255
