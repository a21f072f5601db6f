"""What only all labels of a set tell: one issue a cause, a question where the labels leave it open."""

import numpy as np
import pytest

from proxyclip.data.files.label_counts import LabelContext, LabelCounts, count_label_values, find_label_issues
from proxyclip.data.files.labels import LabelFormat

ROAD = ("road", "sky", "car", "tree")


def count(*maps):
    """Counts of label maps, each a dict from value to pixels."""
    counts = LabelCounts()
    for number, pixels in enumerate(maps):
        counts.add(f"masks/{number}.png", pixels)
    return counts


def issues(counts, names=ROAD, stated=(), **options):
    context = LabelContext("masks", tuple(names), LabelFormat(len(names), **options), frozenset(stated))
    return list(find_label_issues(counts, context))


def kinds(*arguments, **options):
    return [(issue.level, issue.kind) for issue in issues(*arguments, **options)]


@pytest.mark.parametrize("values", [[0, 3, 3, 7], [70000, 70000, 0], [-1, 5, 5], [], [65535]])
def test_count_label_values_counts_any_value(values):
    labels = np.array([values], np.int32)
    assert count_label_values(labels) == {value: values.count(value) for value in sorted(set(values))}


def test_counts_survive_json():
    counts = count({0: 3, 255: 1}, {0: 2})
    again = LabelCounts.from_json(counts.to_json())
    assert again == counts
    assert (again.files, again.pixels, again.values[0].files, again.values[255].first) == (2, 6, 2, "masks/0.png")


def test_fit_labels_have_no_issue():
    assert kinds(count({0: 5, 1: 5, 2: 1}, {0: 4, 3: 1, 255: 2})) == []
    assert kinds(count({0: 90, 1: 10}), ("background", "thing")) == []


def test_one_illegal_value_is_one_issue_with_its_options():
    (issue,) = issues(count(*[{0: 9, 1: 1, 4: 1}] * 9, {0: 9, 2: 1, 3: 1}))
    assert issue.kind == "illegal label"
    assert "label 4 in 9 of 10 files, 8 % of the pixels (first: 0.png), but expected 0..3 or 255" in issue.text
    assert "ignore_index=4 if it means void" in issue.remedy
    assert "reduce_zero_label=True if 0 means not labelled" in issue.remedy
    assert issue.file == "masks"
    (issue,) = issues(count({0: 9}, {200: 1, 0: 8}))
    assert issue.file == "masks/1.png"
    assert "reduce_zero_label" not in issue.remedy


def test_many_illegal_values_are_one_issue_and_scaled_ones_are_recognized():
    (issue,) = issues(count({0: 5, 85: 5, 170: 3, 255: 1}))
    assert "labels 85, 170 in up to 1 of 1 files" in issue.text
    assert "multiples of 85" in issue.remedy
    (issue,) = issues(count({0: 5, 128: 5, 255: 3}), ("background", "edge", "animal"))
    assert "are these gray levels?" in issue.remedy
    (issue,) = issues(count({0: 5, 1: 2, 21: 5, 34: 3, 55: 1, 56: 1, 57: 1, 58: 1}))
    assert "gray levels" not in issue.remedy
    assert "21, 34, 55, 56, 57, ... (6 in all)" in issue.text
    assert "multiples" not in issue.remedy and "convert the data set" in issue.remedy


def test_labels_that_are_reduced_already_are_recognized():
    (issue,) = issues(count({0: 5, 3: 1, 255: 2}), reduce_zero=True, marks=())
    assert "reduce_zero_label=False if the labels are reduced already" in issue.remedy


@pytest.mark.parametrize("maps", [[{255: 9}], [{255: 3}, {255: 4}]])
def test_ignored_pixels_alone_are_refused(maps):
    assert kinds(count(*maps)) == [("error", "nothing labelled")]


@pytest.mark.parametrize(("maps", "names"), [
    ([{0: 90, 255: 10}], ("background", "thing")),
    ([{0: 10, 255: 90}] * 3, ROAD),
    ([{0: 10, 1: 10, 255: 80}], ("background", "cat", "dog")),
])  # fmt: skip
def test_an_ignored_value_in_place_of_a_class_is_asked_for(maps, names):
    assert kinds(count(*maps), names) == [("error", "foreground ignored")]
    assert "foreground ignored" not in str(kinds(count(*maps), names, stated=["ignore_index", "reduce_zero_label"]))
    assert "ignore_index=255 says so" in issues(count(*maps), names)[0].remedy


def test_few_ignored_pixels_or_all_classes_are_no_question():
    (note,) = issues(count({0: 50, 1: 30, 255: 20}), ROAD, stated=["reduce_zero_label"])
    assert "2 of 4 classes have no pixel (car, tree), 255 (ignored) has 20 % of the pixels" in note.text
    assert kinds(count({0: 50, 1: 30, 255: 20}), ROAD, stated=["reduce_zero_label"]) == [("note", "absent classes")]
    assert kinds(count({0: 5, 1: 5, 255: 90}), ("background", "thing")) == []
    zero_is_ignored = count({0: 900, 15: 90, 255: 10})
    assert kinds(zero_is_ignored, [f"c{k}" for k in range(20)], reduce_zero=True) == [("note", "absent classes")]


def test_black_masks_are_asked_for():
    assert kinds(count({0: 9}, {0: 9})) == [("error", "one label")]
    assert kinds(count({0: 9}, {0: 9}), stated=["reduce_zero_label"]) == [("note", "absent classes")]
    assert kinds(count({2: 9}, {2: 9})) == [("note", "absent classes")]


def test_the_meaning_of_0_is_asked_for():
    shifted = count({0: 1, 1: 5, 2: 5}, {0: 2, 1: 9, 3: 1})  # 0 is not labelled, and the last class has no pixel
    names = ("wall", "sky", "floor", "tree", "car")
    (issue,) = issues(shifted, names)
    assert (issue.level, issue.kind) == ("error", "meaning of 0")
    assert "label 0 is in 2 of 2 files and the last class, 4 (car), in none" in issue.text
    assert "reduce_zero_label=False if 0 is wall, reduce_zero_label=True" in issue.remedy


@pytest.mark.parametrize(("names", "maps", "stated"), [
    (("wall", "sky", "floor"), [{0: 1, 1: 1, 2: 1}], ()),
    (("background", "sky", "floor"), [{0: 1, 1: 1}], ()),
    (("_background_", "sky", "floor"), [{0: 1, 1: 1}], ()),
    (("wall", "sky", "floor"), [{0: 1, 1: 1}, {1: 4}, {1: 3}], ()),
    (("wall", "sky", "floor"), [{0: 1, 1: 1}], ("reduce_zero_label",)),
    (("wall", "sky"), [{0: 1, 1: 1}], ()),
])  # fmt: skip
def test_the_meaning_of_0_is_clear(names, maps, stated):
    assert all(level == "note" for level, _ in kinds(count(*maps), names, stated=stated))
