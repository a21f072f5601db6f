"""The form of a record: what every reader may rely on, and what is refused."""

import json
import math

import pytest
from helpers.result_records import A1, make_published_record

from proxyclip.results.record_schema import check_record
from proxyclip.results.records import to_json_types


def make_whole_record(**changes):
    more = {
        "schema": 5,
        "confusion": {"classes": 2, "label": [0, 0], "prediction": [0, 1], "count": [9, 3]},
        "per_image": {"file": ["a.jpg", "b.jpg"], "mIoU": [50.0, None], "aAcc": [100, 0.0]},
        "gallery": [{"index": 1, "why": "best", "note": ""}],
        "left_out": [{"file": "c.jpg", "why": "cut"}],
        "versions": {"torch": "2", "mmcv compiled ops": False},
        "times": {"total_s": 2.5},
        "command": ["eval.py"],
        "seed": -1,
    }
    return to_json_types(make_published_record(**more)) | changes


def refuse(reason, **changes):
    with pytest.raises(ValueError, match=reason):
        check_record(make_whole_record(**changes), A1)


def test_a_whole_record_and_one_without_most_fields_are_good():
    check_record(make_whole_record(), A1)
    check_record({"schema": 4, "identity": A1, "metrics": {}, "unknown": [{}]}, A1)
    run = make_whole_record()
    check_record({key: value if key in ("schema", "identity", "metrics") else None for key, value in run.items()}, A1)


def test_the_identity_is_that_of_the_file():
    for name in ("b2b2b2b2b2b2", "", "x"):
        with pytest.raises(ValueError, match=f"expected the file {A1}.json"):
            check_record(make_whole_record(), name)
    refuse("12 hexadecimal digits, but got '/etc/passwd'", identity="/etc/passwd")


WRONG = {
    "metrics.mIoU": (lambda run: run["metrics"].update(mIoU="x"), "a percentage in `metrics.mIoU`, but got 'x'"),
    "percent": (lambda run: run["metrics"].update(mIoU=137.0), "but got 137.0"),
    "bool": (lambda run: run["metrics"].update(aAcc=True), "but got True"),
    "10**400": (lambda run: run["metrics"].update(new=10**400), "64 bits"),
    "infinite": (lambda run: run["metrics"].update(new=math.inf), "finite numbers, but got inf"),
    "text": (lambda run: run.update(new=["x" * 100_001]), "at most 100000 characters"),
    "key": (lambda run: run.update({"x" * 100_001: 1}), "at most 100000 characters"),
    "per_image.file": (lambda run: run["per_image"].update(file=5), "lists of one length in `per_image`"),
    "shorter": (lambda run: run["per_image"].update(aAcc=[1.0]), "lists of one length in `per_image`"),
    "no text": (lambda run: run["per_image"].update(file=["a", None]), "texts in `per_image.file`, but got None"),
    "score": (lambda run: run["per_image"].update(mIoU=[1, "x"]), "percentages in `per_image.mIoU`"),
    "classes": (lambda run: run["confusion"].update(classes=10**6), "of the 2 classes of the record, but got 1000000"),
    "negative": (lambda run: run["confusion"].update(classes=-5), "of the 2 classes"),
    "label": (lambda run: run["confusion"].update(label=[0, 2]), "classes below 2"),
    "count": (lambda run: run["confusion"].update(count=[1, -1]), "0 or more, in `confusion`"),
    "sum": (lambda run: run["confusion"].update(count=[2**62, 2**62]), "fewer pixels"),
    "length": (lambda run: run["confusion"].update(count=[1]), "lists of one length in `confusion`"),
    "unnamed": (lambda run: run.update(per_class=[], confusion={"classes": 10**6}), "of the 0 classes"),
    "class name": (lambda run: run["per_class"][1].update(name=["a"]), r"a text in `per_class\[1\].name`"),
    "class": (lambda run: run.update(per_class=["a"]), r"an object in `per_class\[0\]`, but got 'a'"),
    "gallery": (lambda run: run.update(gallery=7), "`gallery`, but got 7"),
    "entry": (lambda run: run.update(gallery=[None]), r"an object in `gallery\[0\]`"),
    "index": (lambda run: run["gallery"][0].update(index=2), "an `index` of `per_image`"),
    "no index": (lambda run: run["gallery"][0].pop("index"), "an `index` of `per_image`"),
    "huge index": (lambda run: run["gallery"][0].update(index=10**30), "64 bits"),
    "left_out": (lambda run: run.update(left_out=5), "a list in `left_out`"),
    "versions": (lambda run: run.update(versions=[1]), "`versions`, but got a list of 1"),
    "many versions": (lambda run: run.update(versions=dict.fromkeys(map(str, range(301)), "1")), "at most 300"),
    "options": (lambda run: run.update(options="x"), "an object in `options`"),
    "dataset": (lambda run: run["dataset"].update(images=-1), "`dataset.images`"),
    "list hash": (lambda run: run["dataset"].update(list_sha256=[]), "`dataset.list_sha256`"),
    "end": (lambda run: run.update(end=["x"]), "a text in `end`"),
    "times": (lambda run: run.update(times={"total_s": "x"}), "`times`"),
    "changes": (lambda run: run.update(changes=[1]), "a list of texts in `changes`"),
    "rate": (lambda run: run.update(images_per_second="x"), "a number in `images_per_second`"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_value_that_no_reader_can_use_is_refused_by_its_field(case):
    change, reason = WRONG[case]
    run = make_whole_record()
    change(run)
    with pytest.raises(ValueError, match=reason) as error:
        check_record(run, A1)
    assert str(error.value).isprintable() and len(str(error.value)) < 200


def test_lists_and_objects_are_nested_to_a_bounded_depth():
    check_record(make_whole_record(new=json.loads("[" * 60 + "]" * 60)), A1)
    for text in ("[" * 70 + "]" * 70, '{"a":' * 900 + "1" + "}" * 900):
        refuse("at most 64 levels", new=json.loads(text))
