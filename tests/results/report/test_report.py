"""The HTML report: whole and harmless pages from any records, right numbers, and a script that agrees with them."""

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers.result_records import make_identity
from PIL import Image

from proxyclip.cli.report import main
from proxyclip.results.published import find_published_result
from proxyclip.results.records import load_record, save_record, to_dense_confusion, to_sparse_confusion
from proxyclip.results.report.build import build_report
from proxyclip.results.report.charts import build_histogram, build_matrix_chart, list_confused_pairs
from proxyclip.results.report.facts import group_facts
from proxyclip.results.report.images import collect_gallery
from proxyclip.results.report.pictures import read_gallery_labels
from proxyclip.results.report.run_view import RunView, build_run_views
from proxyclip.utils.formats import format_count, format_points

NASTY = "</script><b>&\"'"
NAMES = ("sky", "sheep", NASTY, "Köln ☃")
AAA, BBB, GONE = map(make_identity, ("aaa111", "bbb222", "gone"))
VOID = {"meta", "br", "link", "img", "input", "hr", "base"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Checks that elements nest, and keeps what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str | None]] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.titles: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("id")))

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name in ("src", "href", "xlink:href", "action", "srcset", "data", "poster"):
                self.references.append(value)
            elif name in ("title", "aria-label"):
                self.titles.append(value)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        for _, name in self.open:
            self.texts.setdefault(name, []).append(data)

    def text(self, name: str) -> str:
        return " ".join(" ".join(self.texts.get(name, [])).split())


def run(folder: Path, name: str, names=NAMES, seed=0, images=6, **more) -> dict:
    """Write the record and pictures of one run on `images` images of 24 x 32 pixels, and return the record."""
    identity = make_identity(name)
    rng, k = np.random.default_rng(seed), len(names)
    matrix, mious = np.zeros((k, k), np.int64), []
    place = folder / "gallery" / identity
    place.mkdir(parents=True, exist_ok=True)
    for i in range(images):
        truth = np.kron(np.random.default_rng(i).integers(k, size=(3, 4)), np.ones((8, 8), int))
        prediction = np.where(rng.random(truth.shape) < 0.8, truth, rng.integers(k, size=truth.shape))
        scored = np.arange(32) >= 4 * np.ones((24, 1))
        hits = np.bincount((truth * k + prediction)[scored], minlength=k * k).reshape(k, k)
        matrix += hits
        mious.append(100 * float(np.mean(truth == prediction)))
        for kind, labels in (("truth", truth), ("prediction", prediction)):
            Image.fromarray(np.where(scored, labels, 255).astype(np.uint8)).save(place / f"{i}-{kind}.png")
        Image.fromarray(rng.integers(255, size=(24, 32, 3)).astype(np.uint8)).save(place / f"{i}-image.jpg")
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    iou = (100 * matrix.diagonal() / union).tolist()
    made = {
        "identity": identity, "config_name": "cfg_voc21", "method": more.pop("method", f"method {name}"),
        "metrics": {"mIoU": float(np.mean(iou)), "aAcc": 100 * float(matrix.trace() / matrix.sum()), "mAcc": 50.0},
        "arguments": {"model_type": "ViT-B/16", "clip_type": "openai", "vfm_model": {"type": "dino"}, "prob_thd": 0.1},
        "dataset": {"type": "PascalVOCDataset", "images": images, "list_sha256": "1" * 64},
        "per_class": [
            {"name": label, "iou": one, "acc": one, "pixels": int(pixels)}
            for label, one, pixels in zip(names, iou, matrix.sum(1), strict=True)
        ],
        "confusion": to_sparse_confusion(matrix),
        "per_image": {"file": [f"a/{i} {NASTY}.jpg" for i in range(images)], "mIoU": mious, "aAcc": mious},
        "gallery": [
            {"index": 0, "why": "worst", "note": ""}, {"index": 1, "why": "best", "note": ""},
            {"index": 2, "why": "failure", "note": f"sky called {NASTY}, 12 pixels"},
        ],
        "left_out": [], "scoring": "correct", "protocol": {"prob_thd": 0.1}, "end": "2026-01-02T03:04:05.000006+00:00",
        "git": {"commit": "f" * 40, "dirty": False}, "command": ["eval.py", "--config", "configs/cfg_voc21.py"],
        **more,
    }  # fmt: skip
    save_record(made, folder)
    return made


def cells(text: str, start: str) -> list[str]:
    """The cells of the table row that begins with the header cell `start`."""
    row = re.search(rf"<tr[^>]*>(?:(?!</tr>).)*?<th scope=\"row\">{re.escape(start)}</th>.*?</tr>", text, re.S)
    assert row, f"no row {start}"
    found = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row[0], re.S)
    return [" ".join(re.sub(r"<[^>]+>", " ", one).split()) for one in found]


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs <of> me")
    run(folder, "aaa111", seed=1)
    run(folder, "bbb222", seed=2, left_out=[{"file": "b<d.jpg", "why": "cut & short"}], resumed_images=3)
    other = {"config_name": "cfg_voc20", "dataset": {"type": "Other", "images": 6}}
    run(folder, "abc333", seed=3, method="method aaa111", **other)
    return folder


@pytest.fixture(scope="module")
def text(work) -> str:
    return build_report(work)


def test_the_page_is_whole_and_needs_nothing_else(text):
    page = Page(text)
    assert [one for one in page.references if not one.startswith(("#", "data:image/"))] == []
    assert not re.search(r"https?://|url\(|@import|<link|<iframe", text)
    assert len(page.ids) == len(set(page.ids))
    assert {one[1:] for one in page.references if one.startswith("#")} <= set(page.ids)
    for section in (
        "runs",
        "crossed",
        "comparison",
        "details",
        "run-aaa111aaa111",
        "run-bbb222bbb222",
        "run-abc333abc333",
    ):
        assert section in page.ids
    assert page.tags.count("h1") == 1 and page.text("runs-title") == "All runs"


def test_names_that_are_markup_stay_names(text):
    page = Page(text)
    assert "<b>&" not in text and "<b>&amp;" not in text  # the class name opened no element
    assert f"sky called {NASTY}, 12 pixels" in page.text("details")
    assert any(NASTY in one for one in page.titles) and "Köln ☃" in page.text("details")
    assert not re.search("[<>&]", page.text("data"))
    data = json.loads(page.text("data"))
    assert data["sets"][1]["classes"] == list(NAMES)
    assert page.tags.count("script") == 3  # data, and two scripts
    assert "b<d.jpg" in page.text("run-bbb222bbb222") and "cut & short" in page.text("run-bbb222bbb222")


def test_report_depends_on_the_records_and_not_on_their_path(work, text, tmp_path):
    shutil.copytree(work, tmp_path / work.name)
    assert build_report(tmp_path / work.name) == text
    assert str(tmp_path) not in text and str(work.parent) not in text


def test_overview_lists_numbers_and_badges_of_runs(work, text):
    for identity in (AAA, BBB):
        metrics = load_record(work, identity)["metrics"]
        row = next(one for one in re.findall(r"<tr.*?</tr>", text, re.S) if f'href="#run-{identity}"' in one)
        assert f"{metrics['mIoU']:.2f}<" in row and f"{metrics['aAcc']:.2f}<" in row
        assert "best</span>" not in row  # of the two, one left an image out
    page = Page(text)
    assert "1 left out" in page.text("run-bbb222bbb222") and "resumed" in page.text("run-bbb222bbb222")
    assert any("3 images were taken over" in one for one in page.titles)
    assert "2026-01-02" in text and "3 runs" in text


def test_overview_marks_best_among_whole_runs(tmp_path):
    run(tmp_path, "good", metrics={"mIoU": 40.0})
    run(tmp_path, "fair", metrics={"mIoU": 30.0})
    run(tmp_path, "part", metrics={"mIoU": 90.0}, partial=True)
    marked = re.findall(r'<tr class="best">.*?</tr>', build_report(tmp_path), re.S)
    assert len(marked) == 1 and f"#run-{make_identity('good')}" in marked[0]


def best_runs(folder: Path) -> list[str]:
    """Names of the runs that are marked as best."""
    marked = re.findall(r'<tr class="best">.*?</tr>', build_report(folder), re.S)
    return sorted(bytes.fromhex(re.search(r"#run-(\w+)", row)[1]).rstrip(b"\0").decode() for row in marked)


INCOMPARABLE = {
    "limit": {"partial": True},
    "left out": {"left_out": [{"file": "a.jpg", "why": "cut"}]},
    "approximation": {"approximations": ["vfm window cache"]},
    "other scoring": {"scoring": "published"},
    "changed code": {"changed_code": ["the file a.py"]},
}


@pytest.mark.parametrize("changes", INCOMPARABLE.values(), ids=INCOMPARABLE)
def test_best_is_a_run_on_all_images_without_restrictions(tmp_path, changes):
    for identity, miou in (("p1", 90.0), ("p2", 80.0)):
        run(tmp_path, identity, metrics={"mIoU": miou}, **changes)
    assert best_runs(tmp_path) == []  # not among themselves either
    run(tmp_path, "good", metrics={"mIoU": 40.0})
    assert best_runs(tmp_path) == []  # of one run
    run(tmp_path, "fair", metrics={"mIoU": 30.0})
    assert best_runs(tmp_path) == ["good"]


def test_best_is_of_the_same_images_and_classes(tmp_path):
    other = {"type": "PascalVOCDataset", "images": 6, "list_sha256": "2" * 64}
    run(tmp_path, "one", metrics={"mIoU": 40.0})
    run(tmp_path, "files", metrics={"mIoU": 50.0}, dataset=other)
    run(tmp_path, "names", ("sky", "sheep", "cow", "car"), metrics={"mIoU": 60.0})
    assert best_runs(tmp_path) == []
    run(tmp_path, "two", metrics={"mIoU": 41.0})
    run(tmp_path, "few", metrics={"mIoU": 70.0}, dataset={**other, "images": 3})
    run(tmp_path, "less", metrics={"mIoU": 71.0}, dataset={**other, "images": 3})
    assert best_runs(tmp_path) == ["two"]


def test_crossed_table_shows_whole_runs_before_parts(tmp_path):
    for config in ("cfg_voc21", "cfg_voc20"):
        run(tmp_path, f"w{config[-2:]}", method="m", config_name=config, metrics={"mIoU": 40.0})
        run(tmp_path, f"p{config[-2:]}", method="m", config_name=config, metrics={"mIoU": 90.0}, partial=True)
        run(tmp_path, f"o{config[-2:]}", method="other", config_name=config, metrics={"mIoU": 70.0}, partial=True)
    crossed = Page(build_report(tmp_path)).text("crossed")
    assert crossed.count("40.00") == 2 and "90.00" not in crossed and crossed.count("70.00 *") == 2


def test_overview_has_published_number_and_difference(tmp_path):
    model = {"model_type": "ViT-B/16", "clip_type": "openai", "vfm_model": {"type": "dino"}}
    origin = {"config": {"model": model}, "options": {"config": "configs/cfg_voc21.py"}}
    made = run(tmp_path, "pub", method="proxy", changes=[], approximations=[], metrics={"mIoU": 50.0}, **origin)
    target = find_published_result(made)
    row = cells(build_report(tmp_path), "proxy")
    assert row[7].removeprefix("~ ") == f"{target.value:.2f}"
    assert row[8].removeprefix("~ ") == format_points(50.0 - target.value)


def test_class_rows_shares_and_confusions(work, text):
    made = load_record(work, AAA)
    view, matrix = RunView(made), to_dense_confusion(made)
    assert [row.share for row in view.classes] == pytest.approx((100 * matrix.sum(1) / matrix.sum()).tolist())
    off = matrix - np.diag(matrix.diagonal())
    first = list_confused_pairs(view)[0]
    t, p = divmod(int(off.argmax()), len(off))
    assert (first.truth, first.prediction, first.count) == (NAMES[t], NAMES[p], off[t, p])
    assert first.share == pytest.approx(100 * off[t, p] / matrix[t].sum())
    share = 100 * matrix[0, 1] / matrix[0].sum()
    wanted = f"truth sky, predicted sheep: {share:.1f} % ({format_count(int(matrix[0, 1]))} pixels)"
    assert wanted in Page(text).titles


def test_report_has_zero_shot_metrics_and_unseen_badges(tmp_path):
    old = run(tmp_path / "runs", "old")
    before = build_report(tmp_path / "runs")
    assert "hIoU" not in before and "unseen" not in before
    split = {**old["metrics"], "mIoU_seen": 61.5, "mIoU_unseen": 20.25, "hIoU": 30.47}
    classes = [{**one, "unseen": one["name"] == "sheep"} for one in old["per_class"]]
    trained = {"checkpoint": "iter_200.pth", "sha256": "e" * 64, "iteration": 200}
    run(tmp_path / "runs", "new", metrics=split, per_class=classes, trained=trained)
    text = build_report(tmp_path / "runs")
    page, row = Page(text), cells(text, "method new")
    assert row[7:10] == ["61.50", "20.25", "30.47"] and cells(text, "method old")[7:10] == ["–"] * 3
    assert "hIoU 30.47" in page.text(f"run-{make_identity('new')}") and "hIoU" not in page.text(
        f"run-{make_identity('old')}"
    )
    assert page.text(f"run-{make_identity('new')}").count("unseen 20.25") == 1 and "iter_200.pth" in page.text(
        f"run-{make_identity('new')}"
    )
    assert re.search(r">sheep</span> <span class=\"badge\">unseen</span></th>", text)
    assert text.count('class="badge">unseen') == 1 and "hIoU" not in page.text("cmp-metrics")


def test_build_histogram_counts_every_image():
    found = build_histogram([0.0, 4.9, 5.0, 100.0, None])
    assert [bar.count for bar in found["bars"]][:2] == [2, 1] and found["bars"][-1].count == 1
    assert found["undefined"] == 1 and found["mean"] == pytest.approx(109.9 / 4)
    assert build_histogram([None]) is None


def test_build_matrix_chart_draws_large_matrices_as_images():
    confusion = np.diag(np.full(70, 1000)).astype(np.int64)
    confusion[3, 60] = 250
    confusion[5, 6] = 0
    names = [{"name": f"n{i}", "iou": 1.0, "acc": 1.0, "pixels": 1} for i in range(70)]
    record = {"identity": "x", "confusion": to_sparse_confusion(confusion), "per_class": names}
    made = build_matrix_chart(RunView(record))
    assert made.cells is None and not made.named and made.picture.startswith("data:image/png;base64,")
    assert made.entries[3] == [3, 1000, 60, 250] and made.totals[3] == 1250


@pytest.mark.parametrize("classes", [30, 70])
def test_many_classes_show_forty_and_all(tmp_path, classes):
    run(tmp_path, "many", names=[f"n{i}" for i in range(classes)])
    text = build_report(tmp_path)
    page = Page(text)
    assert ("All 70 classes" in text) is (classes == 70)
    assert page.tags.count("image") >= 1 and "heat" in text


def test_comparison_numbers(work):
    a, b = (load_record(work, one) for one in (AAA, BBB))
    text = build_report(work, compare=["aaa", "bbb"])
    page = Page(text)
    by = b["metrics"]["mIoU"] - a["metrics"]["mIoU"]
    numbers = f"mIoU {a['metrics']['mIoU']:.2f} {b['metrics']['mIoU']:.2f} {format_points(by)}"
    assert numbers in page.text("cmp-metrics")
    change = b["per_class"][0]["iou"] - a["per_class"][0]["iou"]
    assert format_points(change) in cells(text[text.index('id="cmp-classes"') :], "sky")
    changes = np.subtract(b["per_image"]["mIoU"], a["per_image"]["mIoU"])
    said = f"B is better on {(changes > 0).sum()} images, A on {(changes < 0).sum()}, of 6."
    assert said in page.text("cmp-said") and format_points(changes.mean()) in page.text("cmp-said")
    assert page.text("cmp-gains").count(".jpg") == (changes > 0).sum()
    assert "method aaa111 method bbb222" in page.text("cmp-settings")
    assert page.text("cmp-pictures").count("Truth") == 3


@pytest.mark.parametrize(
    ("images", "end"), [(1, "too few: it takes 5."), (4, "too few: it takes 5."), (5, "Student's t).")]
)
def test_comparison_of_few_images_has_an_interval_from_five_on(tmp_path, images, end):
    gallery = [{"index": 0, "why": "worst"}]
    for seed, name in enumerate(("one", "two")):
        run(tmp_path, name, seed=seed, images=images, gallery=gallery)
    text = Page(build_report(tmp_path)).text("cmp-said")
    assert f"of {images}." in text and text.endswith(end) and ("±" in text) == (images == 5)


def test_confusion_matrices_of_many_classes_are_not_drawn():
    record = {"identity": "x", "confusion": {"classes": 2049, "label": [0], "prediction": [1], "count": [1]}}
    assert RunView(record).confusion is None and build_matrix_chart(RunView(record)) is None
    record["confusion"]["classes"] = 2048
    assert RunView(record).confusion.shape == (2048, 2048)


def test_report_explains_runs_that_cannot_be_compared(tmp_path):
    run(tmp_path, "one")
    run(tmp_path, "two", dataset={"type": "PascalVOCDataset", "images": 6, "list_sha256": "2" * 64})
    run(tmp_path, "six", names=("sky", "sheep", "cow", "car"))
    page = Page(build_report(tmp_path))
    assert "there are none here" in page.text("comparison") and "data" not in page.ids
    for other, why in (("two", "different images"), ("six", "different classes")):
        with pytest.raises(ValueError, match=why):
            build_report(tmp_path, compare=[make_identity("one"), make_identity(other)])


def test_report_explains_missing_and_damaged_images(tmp_path):
    run(tmp_path, "gone")
    place = tmp_path / "gallery" / GONE
    (place / "0-prediction.png").unlink()
    (place / "1-image.jpg").write_bytes(b"no picture")
    page = Page(build_report(tmp_path))
    assert f"There is no file gallery/{GONE}/0-prediction.png." in page.text(f"run-{GONE}")
    assert "A picture file cannot be read" in page.text(f"run-{GONE}") and str(tmp_path) not in page.text(f"run-{GONE}")
    shutil.rmtree(tmp_path / "gallery")
    page = Page(build_report(tmp_path))
    assert page.text(f"run-{GONE}").count("There is no file") == 9 and "image" not in page.tags


def test_error_maps_and_legends(tmp_path):
    made = run(tmp_path, "err", names=("sky", "sheep", "cow"), images=1, gallery=[{"index": 0, "why": "worst"}])
    for name, labels in (("truth", [[0, 0, 255], [1, 1, 1]]), ("prediction", [[0, 2, 0], [1, 2, 1]])):
        Image.fromarray(np.array(labels, np.uint8)).save(tmp_path / "gallery" / made["identity"] / f"0-{name}.png")
    shot = collect_gallery(tmp_path, build_run_views([made]), 6).rows[f"run-{made['identity']}"]["worst"][0].shot
    with Image.open(io.BytesIO(base64.b64decode(shot.panels["errors"].drawing.uri.split(",")[1]))) as file:
        seen = np.asarray(file)
    assert (seen == 1).tolist() == [[False, True, False], [False, True, False]]  # 1: wrong
    assert seen[0, 2] in (2, 3) and shot.panels["errors"].drawing.under is None  # the image has another size
    assert {key.name: key.remark for key in shot.legend} == {"sheep": "", "sky": "", "cow": "not in the truth"}


def test_report_accepts_records_without_numbers(tmp_path):
    save_record({"identity": make_identity("bare"), "metrics": {}}, tmp_path)
    save_record(
        {"identity": make_identity("nan"), "metrics": {"mIoU": float("nan")}, "per_class": [], "confusion": None},
        tmp_path,
    )
    run(tmp_path, "odd", per_image=None, confusion={"classes": 0, "label": [], "prediction": [], "count": []})
    page = Page(build_report(tmp_path))
    for said in ("no numbers by class", "no numbers by image", "no confusion matrix", "keeps no pictures"):
        assert said in page.text(f"run-{make_identity('bare')}")
    assert "no confusion matrix" in page.text(f"run-{make_identity('odd')}") and "No pixel" not in page.text(
        f"run-{make_identity('odd')}"
    )


def test_report_options_pictures_and_runs(work, tmp_path):
    assert "image" not in Page(build_report(work, pictures=0)).tags
    one = Page(build_report(work, runs=["aaa"]))
    assert f"run-{AAA}" in one.ids and f"run-{BBB}" not in one.ids
    for i in range(40):
        save_record({**load_record(work, AAA), "identity": f"{i:012x}", "gallery": []}, tmp_path)
    assert sum(one.startswith("run-0") for one in Page(build_report(tmp_path)).ids) == 40


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--runs", "aaa111aaa112"], f"did you mean {AAA}?"),
        (["--runs", "zzz"], "the known ones are"),
        (["--runs", "a"], "start of several identities"),
        (["--compare", "aaa", "abc"], "two data sets"),
        (["--compare", "aaa", "aaa111"], "the same run"),
        ([], "There is no folder"),
    ],
)
def test_report_command_reports_errors_in_one_line(work, capsys, arguments, said):
    assert main([str(work if arguments else work / "absent"), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (work / "report.html").exists()


def test_report_command_writes_one_file(work, tmp_path, capsys):
    target = tmp_path / "out.html"
    assert main([str(tmp_path)]) == 2 and "no readable record" in capsys.readouterr().err
    assert main([str(work), "-o", str(target), "--pictures", "1"]) == 0
    assert [one.name for one in tmp_path.iterdir()] == ["out.html"] and str(target) in capsys.readouterr().out
    Page(target.read_text(encoding="utf-8"))


def test_read_gallery_labels_keeps_wide_labels(tmp_path):
    labels = np.array([[300, 65535], [846, 0]], np.uint16)
    Image.fromarray(labels).save(tmp_path / "wide.png")
    for classes in (847, 0):  # 0: the record does not say how many
        read, scored = read_gallery_labels(tmp_path / "wide.png", classes)
        assert read.tolist() == [[300, 0], [846, 0]] and scored.tolist() == [[True, False], [True, True]]
    assert read_gallery_labels(tmp_path / "wide.png", 400)[1].tolist() == [[True, False], [False, True]]


def test_group_facts_has_the_settings_to_repeat_a_run(work):
    view = build_run_views([load_record(work, AAA)])[0]
    found = {fact.name: fact.value for facts_ in group_facts(view).values() for fact in facts_}
    assert found["Command"] == "eval.py --config configs/cfg_voc21.py" and found["Commit"] == "f" * 40
    assert found["End"] == "2026-01-02 03:04:05 UTC" and found["Threshold"] == "0.1"


STEPS = """<script>addEventListener("DOMContentLoaded", () => {
const told = Object.assign(document.createElement("p"), { id: "told" });
document.body.append(told);
const point = (on, clientX, clientY) => on.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY }));
document.querySelectorAll("details").forEach((one) => { one.open = true; });
const tip = document.getElementById("tip"), said = [];
const image = document.querySelector(".heat image").getBoundingClientRect();
point(document.querySelector(".heat svg"), image.left + image.width / 60, image.top + image.height / 60);
said.push(tip.textContent);
document.querySelector(".heat svg").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
said.push(tip.textContent);
document.querySelector("table.runs th.n button").click();
said.push([...document.querySelectorAll("table.runs tbody code")].map((one) => one.textContent).join());
document.querySelector("table.runs th.n button").click();
said.push([...document.querySelectorAll("table.runs tbody code")].map((one) => one.textContent).join());
document.getElementById("swap").click();
said.push(document.querySelector(".name-a").textContent);
told.textContent = JSON.stringify(said);
});</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_page_scripts_agree_with_the_rendered_page(tmp_path):
    names = [f"n{i}" for i in range(29)] + [NASTY]
    made = {one: run(tmp_path, one, names=names, seed=i) for i, one in enumerate(("low", "high"))}
    text = build_report(tmp_path, compare=list(map(make_identity, ("low", "high"))))
    still, moved = tmp_path / "still.html", tmp_path / "moved.html"
    still.write_text(text, encoding="utf-8")
    moved.write_text(text.replace("</body>", f"{STEPS}</body>"), encoding="utf-8")
    drawn = Page(
        rendered(f"{still.as_uri()}#compare={make_identity('low')},{make_identity('high')}", tmp_path)
    )  # drawn anew by the script
    page = Page(text)
    for part in ("metrics", "settings", "classes", "gains", "losses", "said", "pictures"):
        assert drawn.text(f"cmp-{part}") == page.text(f"cmp-{part}") != "", part
    said = json.loads(Page(rendered(moved.as_uri(), tmp_path)).text("told"))
    matrix = to_dense_confusion(
        made["high"] if build_run_views(list(made.values()))[0].id == made["high"]["identity"] else made["low"]
    )
    for place, told in enumerate(said[:2]):
        share, pixels = 100 * matrix[0, place] / matrix[0].sum(), format_count(int(matrix[0, place]))
        wanted = f"{share:.1f} % ({pixels} pixels)" if matrix[0, place] else "less than 0.05 %"
        assert told == f"truth n0, predicted n{place}: {wanted}"
    order = sorted(made, key=lambda one: -made[one]["metrics"]["mIoU"])
    ids = [made[one]["identity"] for one in order]
    title = f"method high · dino · ViT-B/16 openai ({made['high']['identity']})"
    assert said[2:] == [",".join(ids), ",".join(ids[::-1]), title]


WIDTHS = """<script>addEventListener("DOMContentLoaded", () => {
const frame = document.getElementById("cmp-settings").closest(".scroll");
const cells = [...frame.querySelectorAll("td")].map((cell) => cell.getBoundingClientRect().right);
const told = Object.assign(document.createElement("p"), { id: "told" });
told.textContent = JSON.stringify([frame.scrollWidth, frame.clientWidth, Math.max(...cells), innerWidth]);
document.body.append(told);
});</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("long", ["a=1, " * 80, "x" * 300], ids=["list", "unbroken"])
def test_settings_that_differ_show_both_columns_at_1280_pixels(tmp_path, long):
    shared = {"model_type": "ViT-B/16", "clip_type": "openai", "vfm_model": {"type": "dino"}}
    run(tmp_path, "one", arguments={**shared, "attention": long}, device_name=long)
    run(tmp_path, "two", arguments={**shared, "attention": "b"}, device_name="short")
    page = tmp_path / "page.html"
    page.write_text(build_report(tmp_path).replace("</body>", f"{WIDTHS}</body>"), encoding="utf-8")
    told = json.loads(Page(rendered(page.as_uri(), tmp_path, width=1280)).text("told"))
    assert told[0] <= told[1] and told[2] <= told[3] <= 1280


def rendered(address: str, folder: Path, width: int = 1400) -> str:
    """The page after its scripts, which must have come to their end without an error."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},3000", "--dump-dom", address]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    head = re.search(r"<html[^>]*>", found)[0]
    assert 'data-ready="yes"' in head and "data-error" not in head, head
    return found
