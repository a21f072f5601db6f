"""The report and tables of somebody else's work dir hold nothing of outside of it, no markup, and no huge picture."""

import io
import shutil
import zlib

import numpy as np
import pytest
from helpers.result_records import A1, make_published_record
from PIL import Image

from proxyclip.results.records import save_record
from proxyclip.results.report.build import build_report
from proxyclip.results.tables import rebuild_tables

KINDS = ("image.jpg", "truth.png", "prediction.png")
MARKUP = "<img src=x onerror=alert(1)> `a` [b](http://evil.example) ![c](//d) www.evil.example\n| e & <!-- \x1b[31m"


@pytest.fixture
def work(tmp_path):
    """A work dir of one run with one image."""
    per_image = {"file": ["a.jpg"], "mIoU": [50.0], "aAcc": [60.0]}
    save_record(
        make_published_record(A1, per_image=per_image, gallery=[{"index": 0, "why": "best"}]), tmp_path / "work"
    )
    make_pictures(tmp_path / "work" / "gallery" / A1)
    return tmp_path / "work"


def make_pictures(folder):
    folder.mkdir(parents=True)
    labels = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) % 2)
    Image.new("RGB", (4, 3), (10, 200, 30)).save(folder / "0-image.jpg")
    for name in KINDS[1:]:
        labels.save(folder / f"0-{name}")


def count_pictures(folder):
    return build_report(folder).count('<image href="data:')


def test_pictures_of_the_work_dir_are_embedded(work):
    assert count_pictures(work) == 3  # truth and prediction are equal, and the errors


@pytest.mark.parametrize("place", ["file", "run", "gallery"])
def test_no_picture_from_outside_of_the_work_dir_is_embedded(work, place):
    outside = work.parent / "outside"
    target = {"file": work / "gallery" / A1, "run": work / "gallery" / A1, "gallery": work / "gallery"}[place]
    shutil.move(target, outside)
    if place == "file":
        target.mkdir()
        for name in KINDS:
            (target / f"0-{name}").symlink_to(outside / f"0-{name}")
    else:
        target.symlink_to(outside)
    page = build_report(work)
    assert "data:image" not in page and "a link that leads out of it is not followed" in page
    assert str(work.parent) not in page


def test_a_work_dir_that_is_itself_a_link_has_its_pictures(work):
    (work.parent / "link").symlink_to(work)
    assert count_pictures(work.parent / "link") == 3


def test_an_identity_that_leads_out_of_the_work_dir_is_left_out(work, capsys):
    (record,) = (work / "records").iterdir()
    record.write_text(record.read_text().replace(A1, str(work / "gallery" / A1)))
    with pytest.raises(FileNotFoundError, match="no readable record"):
        build_report(work)
    assert "12 hexadecimal digits" in capsys.readouterr().err


def make_bomb(side):
    """Make a PNG of side x side black pixels, which has a thousandth of their bytes."""
    rows = zlib.compress(bytes((side + 1) * side), 9)
    parts = {b"IHDR": side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00", b"IDAT": rows, b"IEND": b""}
    chunks = [
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
        for name, data in parts.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_huge_pictures_and_other_forms_are_refused(work):
    place = work / "gallery" / A1
    (place / "0-truth.png").write_bytes(make_bomb(3000))
    (place / "0-image.jpg").write_bytes(bytes(20_000_001))
    tiff = io.BytesIO()
    Image.new("L", (4, 3)).save(tiff, "TIFF")
    (place / "0-prediction.png").write_bytes(tiff.getvalue())
    page = build_report(work)
    assert "data:image" not in page
    assert "expected at most 1.0 megapixels, but gallery" in page and "has 3000 x 3000 pixels" in page
    assert "Expected a picture of the gallery of at most 20.0 MB" in page and "cannot identify image file" in page


def test_markdown_has_no_markup_of_a_record(tmp_path):
    save_record(make_published_record(A1, method=MARKUP, config_name=MARKUP), tmp_path)
    rebuild_tables(tmp_path)
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if "evil" in line]
    assert len(rows) == 1 and "\x1b" not in text and "<" not in text
    for escaped in ("&lt;img src=x", "\\`a\\`", "\\[b\\](http\\://evil", "www\\.evil", "\\| e &amp; &lt;!--"):
        assert rows[0].count(escaped) == 2


def test_the_page_has_no_markup_of_a_record(work):
    taint = '"><img src=x onerror=alert(1)></script><script>alert(2)</script>{{7*7}}'
    names = ("config_name", "method", "precision", "device_name", "scoring", "end")
    rows = [{"name": taint, "iou": 1.0, "acc": 1.0, "pixels": 1}] * 2
    before = build_report(work)
    per_image = {"file": [taint], "mIoU": [50.0], "aAcc": [60.0]}
    gallery = [{"index": 0, "why": "best", "note": taint}]
    run = make_published_record(A1, per_class=rows, per_image=per_image, gallery=gallery, **dict.fromkeys(names, taint))
    save_record(run, work)
    page = build_report(work)
    assert "<img" not in page and "{{7*7}}" in page
    assert page.count("<script") == before.count("<script") and "&lt;img src=x" in page
