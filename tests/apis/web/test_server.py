"""The web page without a browser: what its controls do, which models it offers, and where it listens."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from proxyclip.apis.web import WebSettings, server
from proxyclip.apis.web.inference import (
    SegmentRequest,
    compute_pane_probabilities,
    decode_upload,
    draw_example,
    initial_inputs,
    probe_pixel,
    read_upload,
    segment_panes,
)
from proxyclip.apis.web.model_cache import NO_VFM, ModelCache, ModelChoice
from proxyclip.apis.web.render import (
    encode_label_indices,
    render_message,
    render_probability,
    render_probe,
    render_segmentation,
    resize_for_display,
)
from proxyclip.apis.web.server import Server, open_socket
from proxyclip.apis.web.session import PaneResult, ResultStore
from proxyclip.utils.paths import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio")  # what gradio calls, not what we call
PROXY, SCLIP = ModelChoice("proxy", "tiny", True), ModelChoice("sclip", NO_VFM, True)


@pytest.fixture(scope="module")
def models() -> ModelCache:
    return ModelCache(WebSettings(tiny=True))


@pytest.fixture(scope="module")
def found(models) -> list[PaneResult]:
    ask = SegmentRequest("grass, lawn; brick wall; boat; <b>x</b>", "", 0.0, (PROXY, SCLIP))
    return segment_panes(models, draw_example(1), ask)


# Pictures


def test_a_file_becomes_a_picture_with_a_safe_name(tmp_path):
    path = tmp_path / "my <odd> näme.png"
    Image.new("RGB", (7, 5), (1, 2, 3)).save(path)
    picture = read_upload(path)
    assert picture.name == "my_odd_näme"
    assert (decode_upload(picture) == (1, 2, 3)).all()
    assert decode_upload(picture).shape == (5, 7, 3)


def test_files_that_are_no_picture_are_refused_in_words(tmp_path):
    whole = draw_example(0).data
    for data, words in ((b"hello", "cannot be read as a picture"), (b"", "picture"), (whole[:9000], "truncated")):
        path = tmp_path / "a.png"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=words) as error:
            read_upload(path)
        assert str(tmp_path) not in str(error.value)


def test_the_size_is_looked_at_before_anything_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "big.png"
    Image.new("1", (9000, 5000)).save(path)
    monkeypatch.setattr("proxyclip.apis.web.inference.to_rgb_array", lambda data: pytest.fail("decoded"))
    with pytest.raises(ValueError, match="9000 x 5000 pixels, 45 megapixels, but at most 40"):
        read_upload(path)
    Image.new("1", (20000, 10000)).save(path)  # Pillow refuses this one itself
    with pytest.raises(ValueError, match="more than 40 megapixels"):
        read_upload(path)


# What the button does


def test_a_result_is_that_of_the_api(models, found):
    from proxyclip import Segmenter

    api = Segmenter("grass, lawn; brick wall; boat; <b>x</b>", config="configs/cfg_tinyworld.py")
    assert np.array_equal(found[0].segmentation.labels, api(draw_example(1).data).labels)
    assert found[0].segmentation.name == "scene_2"
    assert not np.array_equal(found[0].segmentation.labels, found[1].segmentation.labels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(classes=" ; "), "Say what to look for"),
        (dict(classes="a; a"), "'a' stands twice"),
        (dict(classes="; ".join(map(str, range(1001)))), "at most 1000 names, but got 1001"),
        (dict(panes=(ModelChoice("sclip", "tiny", True),)), "sclip works without a VFM, but tiny is chosen"),
        (dict(panes=(ModelChoice("proxy", NO_VFM, True),)), "proxy needs a VFM"),
        (dict(panes=(ModelChoice("my/own.py", "tiny", True),)), "Expected a method of the list"),
        (dict(panes=(ModelChoice("proxy", "my/own.py", True),)), "Expected a VFM of the list"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(models, change, words):
    ask = SegmentRequest(**dict(classes="boat", background="", threshold=0.0, panes=(PROXY,)) | change)
    with pytest.raises(ValueError, match=words):
        segment_panes(models, draw_example(0), ask)


def test_without_a_picture_it_asks_for_one(models):
    with pytest.raises(ValueError, match="Choose a picture first"):
        segment_panes(models, None, SegmentRequest("boat", "", 0.0, (PROXY,)))


def test_background_words_and_threshold(models):
    picture = draw_example(1)
    request = SegmentRequest("boat", "grass, brick wall; water", 0.0, (PROXY,))
    (named,) = segment_panes(models, picture, request)
    assert named.segmentation.names == ("background", "boat") and not named.has_other
    (other,) = segment_panes(models, picture, SegmentRequest("boat; grass", "", 0.9, (PROXY,)))
    assert other.segmentation.names == ("other", "boat", "grass") and other.has_other
    assert 0 < other.segmentation.areas["other"] < 100
    html = render_probe([other], probe_pixel(models, [other], 40, 60))
    bars = html.split('class="pixel"')[1].split("</table>")[0]
    assert ">boat<" in bars and ">other<" not in bars  # it has no words, so no probability


def test_the_command_line_becomes_what_is_typed(tmp_path):
    file = tmp_path / "classes.txt"
    file.write_text("horse\ngrass;lawn\n")
    assert initial_inputs(WebSettings(classes=str(file), background="wall, sky", threshold=0.2)) == (
        "horse; grass, lawn", "wall, sky", 0.2,
    )  # fmt: skip
    file.write_text("grass;lawn\n")
    assert initial_inputs(WebSettings(classes=str(file), background="0.3")) == ("grass, lawn;", "", 0.3)
    assert initial_inputs(WebSettings(classes="a; b")) == ("a; b", "", 0.0)


def test_steps_on_the_maps_reach_every_model():
    refined = ModelCache(WebSettings(tiny=True, refine=("area",))).segmenter(SCLIP)
    assert [type(step).__name__ for step in refined._model.refine] == ["Area"]


def test_numbers_change_the_result_and_nobody_elses(models, found):
    def labels(**numbers: float) -> np.ndarray:
        ask = SegmentRequest("grass, lawn; brick wall; boat; <b>x</b>", "", 0.0, (PROXY,), tuple(numbers.items()))
        return segment_panes(models, draw_example(1), ask)[0].segmentation.labels

    before = found[0].segmentation.labels
    assert not np.array_equal(labels(beta=0.0, gamma=0.5), before)
    assert np.array_equal(labels(beta=1.2, gamma=3.0, unknown=1.0), before)
    assert found[0].segmenter.tunable == {"beta": 1.2, "gamma": 3.0}


def test_one_pixel(models, found):
    place = probe_pixel(models, found, 40, 60)
    for side, values in zip(found, place.probabilities, strict=True):
        assert np.allclose(values, side.segmentation.probabilities[:, 60, 40], atol=1e-6)
    looks, nothing = place.attention
    assert nothing is None and looks is not None
    assert looks.shape == found[0].segmentation.labels.shape and np.isnan(looks).any() and np.nanmin(looks) >= 0
    with pytest.raises(ValueError, match="inside the picture of 192 x 160, but got 192, 0"):
        probe_pixel(models, found, 192, 0)
    with pytest.raises(ValueError, match="Expected one of the classes"):
        compute_pane_probabilities(models, found, 99)


# Models


def test_the_longest_unused_model_goes_first_with_its_results():
    store = ResultStore()
    few = ModelCache(WebSettings(tiny=True), max_size=2, on_evict=store.drop_model)
    first, second, third = PROXY, SCLIP, ModelChoice("vanilla", NO_VFM, True)
    names = {}
    for choice in (first, second):
        request = SegmentRequest("boat; sky", "", 0.0, (choice,))
        names[choice] = store.put(segment_panes(few, draw_example(0), request))
    networks = few.segmenter(first)._model.clip
    few.segmenter(third)
    assert few.segmenter(first)._model.clip is networks  # used last, so still there
    assert store.get(names[first])
    with pytest.raises(ValueError, match="press Segment again"):
        store.get(names[second])


def test_forks_share_networks_but_no_words(models):
    one, two = models.segmenter(PROXY), models.segmenter(PROXY)
    one.set_classes("boat; sky").tune(beta=0.5)
    assert two.classes != one.classes and two.tunable["beta"] == 1.2
    assert two._model.clip is one._model.clip


def test_sliders_are_told_without_loading():
    fresh = ModelCache(WebSettings(tiny=True))
    assert fresh.tunable(PROXY) == {"beta": 1.2, "gamma": 3.0}
    assert fresh.tunable(SCLIP) == fresh.tunable(ModelChoice("gla", "tiny", True)) == {}
    assert not fresh._loaded


def test_offers_and_what_fits():
    fresh = ModelCache(WebSettings(vfm="dino-s16", method="gla"))
    offer = fresh.list_available()
    assert offer.first == ModelChoice("gla", "dino-s16") and "dinov2-l-reg" in offer.vfms and "tiny" not in offer.vfms
    assert fresh.list_available(tiny=True).first == PROXY
    assert fresh.fit_vfm("sclip", "dino") == NO_VFM and fresh.fit_vfm("proxy", NO_VFM) == "dino-s16"
    assert fresh.fit_vfm("naclip", "dino") == "dino"
    assert fresh.fit_vfm("my/own.py", "dino") == "dino"  # not on offer, so never opened
    own = ModelCache(WebSettings(vfm="dino,some/file.pth"))
    assert own.list_available().vfms[0] == own.list_available().first.vfm == "dino,some/file.pth"


def test_the_store_is_bounded():
    class Found:
        labels = np.zeros((10, 10))

    side = PaneResult(PROXY, None, Found(), 0.0)  # type: ignore[arg-type]
    store = ResultStore(max_size=3, max_pixels=250)
    names = [store.put([side]) for _ in range(4)]
    assert len(set(names)) == 4
    assert [name in store._results for name in names] == [False, False, True, True]
    assert store.put([side] * 5) in store._results  # alone it may be larger


# What is shown


def test_names_are_text_and_never_markup(models, found):
    place = probe_pixel(models, found, 40, 60)
    for html in (
        render_segmentation(found),
        render_probability(found, 3, compute_pane_probabilities(models, found, 3)),
        render_probe(found, place),
        render_message("<b>x</b>"),
    ):
        assert "<b>x" not in html and "&lt;b&gt;x" in html


def test_a_result_says_areas_agreement_and_files(found):
    html = render_segmentation(found)
    share = next(iter(found[0].segmentation.areas.values()))
    assert f"{share:.1f} %" in html
    same = 100 * (found[0].segmentation.labels == found[1].segmentation.labels).mean()
    assert f"the same class on {same:.1f} % of the pixels" in html
    files = dict(re.findall(r'download="([^"]+)" href="data:[^,]+,([^"]+)"', html))
    assert sorted(files) == [
        f"scene_2_{side}{end}" for side in ("proxy_tiny", "sclip_none") for end in (".json", "_mask.png")
    ]
    mask = Image.open(io.BytesIO(base64.b64decode(files["scene_2_sclip_none_mask.png"])))
    assert np.array_equal(np.array(mask), found[1].segmentation.labels)
    assert json.loads(base64.b64decode(files["scene_2_proxy_tiny.json"]))["images"][0]["width"] == 192


def test_two_vfms_of_one_method_are_told_apart(models):
    ask = SegmentRequest("boat; sky", "", 0.0, (PROXY, ModelChoice("proxy", "tiny-mae", True)))
    html = render_segmentation(segment_panes(models, draw_example(0), ask))
    assert "<b>proxy, tiny</b>" in html and "<b>proxy, tiny-mae</b>" in html


@pytest.mark.parametrize(
    ("size", "shown"), [((160, 192), (640, 768)), ((3000, 100), (1400, 47)), ((800, 900), (800, 900))]
)
def test_what_is_shown_is_neither_small_nor_huge(size, shown):
    assert resize_for_display(np.zeros((*size, 3), np.uint8)).shape == (*shown, 3)
    assert resize_for_display(np.zeros(size)).shape == shown


def test_a_label_map_for_the_browser_holds_many_classes():
    labels = np.array([[0, 255, 256, 70000 % 65536]], np.int32)
    data = encode_label_indices(labels).split(",")[1]
    code = np.array(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)
    assert np.array_equal(code[..., 0] + 256 * code[..., 1], labels)


# The server


@pytest.fixture(scope="module")
def page():
    pytest.importorskip("gradio")
    with Server(WebSettings(tiny=True, port=0)) as running:
        thread = threading.Thread(target=running.run)
        thread.start()
        yield running
        running.stop()
        thread.join()
    assert not Path(running.folder).exists()  # what was sent is gone


def ask(page, path: str, **headers: str) -> tuple[int, str]:
    import httpx

    answer = httpx.get(page.url + path, headers=headers, timeout=30, trust_env=False)
    return answer.status_code, answer.text


def test_only_this_machine_is_listened_to(page):
    assert page.socket.getsockname()[0] == "127.0.0.1"
    assert WebSettings().is_local and WebSettings(host="localhost").is_local and WebSettings(host="::1").is_local
    assert not WebSettings(host="0.0.0.0").is_local and not WebSettings(host="some.name").is_local


@pytest.mark.parametrize(("host", "url"), [("localhost", "http://localhost:"), ("0.0.0.0", "http://127.0.0.1:")])
def test_the_address_that_is_said(host, url, monkeypatch):
    other = Server(WebSettings(host=host, port=0))
    monkeypatch.setattr(other, "_uvicorn", lambda: None)
    with other as running:
        assert running.url == f"{url}{running.socket.getsockname()[1]}"


def test_another_site_cannot_read_along(page):
    assert ask(page, "/")[0] == 200
    assert ask(page, "/", Host="evil.example")[0] == 400


def test_the_page_names_no_other_host(page):
    status, html = ask(page, "/")
    assert status == 200 and "Segment a picture" in html
    assert not re.findall(r'(?:src|href)="(?:https?:)?//[^"]*', html)
    style = ask(page, "/theme.css")[1]
    assert not re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", style + html)


def test_files_of_this_machine_are_not_served(page):
    for path in (
        "/gradio_api/file=/etc/hostname",
        "/gradio_api/file=../../../etc/hostname",
        f"/gradio_api/file={ROOT}/demo.py",
    ):
        assert ask(page, path)[0] in (403, 404)


@pytest.mark.parametrize("kind", ["path", "url"])
def test_a_file_that_was_not_uploaded_is_not_read(page, tmp_path, kind):
    """A browser is free to say that its upload lies anywhere on this machine."""
    import httpx

    secret = tmp_path / "secret.png"
    secret.write_bytes(draw_example(0).data)
    with httpx.Client(base_url=page.url, timeout=30, trust_env=False) as client:
        events = client.get("/config").json()["dependencies"]
        number = next(event["id"] for event in events if event["targets"][0][1] == "upload")
        path = str(secret) if kind == "path" else f"{page.url}/config"
        data = [dict(path=path, meta={"_type": "gradio.FileData"}), None]
        said = client.post("/gradio_api/queue/join", json=dict(data=data, fn_index=number, session_hash=kind))
        assert said.status_code == 200
        with client.stream("GET", "/gradio_api/queue/data", params=dict(session_hash=kind)) as lines:
            end = next(line for line in lines.iter_lines() if "process_completed" in line)
    assert '"success":false' in end and "preview" not in end
    assert secret.exists()


def test_a_file_that_is_too_large_is_refused(page):
    import httpx

    files = {"files": ("a.png", b"\0" * (21 * 2**20))}
    answer = httpx.post(f"{page.url}/gradio_api/upload", files=files, timeout=60, trust_env=False)
    assert answer.status_code == 413


def test_a_taken_port_is_said_with_a_free_one(page):
    port = page.socket.getsockname()[1]
    with pytest.raises(OSError, match=rf"Port {port} is taken.*--port \d+"):
        open_socket("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("192.0.2.1", 0, "cannot be used"),
        ("no.such.host.invalid", 0, "There is no address"),
        ("127.0.0.1", 70000, "0 to 65535"),
    ],
)
def test_addresses_that_cannot_be_used(host, port, words):
    with pytest.raises(OSError, match=words):
        open_socket(host, port)


def test_others_may_use_it_only_with_a_warning(monkeypatch, capsys):
    open_to_all = Server(WebSettings(tiny=True, host="0.0.0.0", port=0))
    monkeypatch.setattr(open_to_all, "_uvicorn", lambda: type("Ends", (), {"run": lambda self, sockets: None})())
    with open_to_all as running:
        running.run()
    said = capsys.readouterr().out
    assert "warning: the page listens on 0.0.0.0: anybody" in said and "http://127.0.0.1:" in said


def test_without_gradio_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "gradio>=6,<7"'):
        Server(WebSettings())


def test_gradio_is_not_imported_with_the_package():
    code = "import sys, proxyclip.apis.web; assert not {'gradio', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
