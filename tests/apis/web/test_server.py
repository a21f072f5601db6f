"""Web page without a browser: inference, models on offer, HTML and HTTP server."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.web_server import serve_in_thread
from PIL import Image

from proxyclip.apis.web import WebSettings, server
from proxyclip.apis.web.inference import decode_upload, draw_example, initial_inputs, read_upload, segment_panes
from proxyclip.apis.web.model_cache import NO_VFM, ModelCache, ModelChoice
from proxyclip.apis.web.render import (
    encode_attention,
    encode_label_indices,
    render_message,
    render_probability,
    render_probe,
    render_segmentation,
    resize_for_display,
)
from proxyclip.apis.web.server import open_server, open_socket
from proxyclip.apis.web.session import PaneResult, ResultStore
from proxyclip.utils.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio")]  # its own calls
CLASSES = "grass, lawn; brick wall; boat; <b>x</b>"
PROXY, SCLIP = ModelChoice("proxy", "tiny", True), ModelChoice("sclip", NO_VFM, True)


@pytest.fixture(scope="module")
def models() -> ModelCache:
    return ModelCache(WebSettings(tiny=True))


@pytest.fixture(scope="module")
def panes(models) -> list[PaneResult]:
    return segment_panes(models, draw_example(1), (PROXY, SCLIP), CLASSES)


def test_read_upload_makes_a_safe_name(tmp_path):
    path = tmp_path / "my <odd> näme.png"
    Image.new("RGB", (7, 5), (1, 2, 3)).save(path)
    image = read_upload(path)
    assert image.name == "my_odd_näme"
    assert np.array_equal(decode_upload(image), np.full((5, 7, 3), (1, 2, 3)))


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"hello", "is text, not a picture"), (b"", "is empty"), (draw_example(0).data[:9000], "truncated")],
    ids=["text", "empty", "truncated"],
)
def test_read_upload_refuses_other_files(tmp_path, data, message):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_upload(path)
    assert str(tmp_path) not in str(error.value)


def test_read_upload_checks_the_size_before_decoding(tmp_path, monkeypatch):
    path = tmp_path / "big.png"
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("decoded"))
    for size, message in (
        ((9000, 5000), "9000 x 5000 pixels, 45 megapixels, but at most 40"),
        ((20000, 10000), "20000 x 10000 pixels, 200 megapixels, but at most 40"),  # beyond Pillow's own limit
    ):
        Image.new("1", size).save(path)
        with pytest.raises(ValueError, match=message):
            read_upload(path)


def test_segment_panes_equals_the_api(panes):
    from proxyclip import Segmenter

    segmenter = Segmenter(CLASSES, config="configs/cfg_tinyworld.py")
    assert np.array_equal(panes[0].segmentation.labels, segmenter(draw_example(1).data).labels)
    assert panes[0].segmentation.name == "scene_2"
    assert not np.array_equal(panes[0].segmentation.labels, panes[1].segmentation.labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(classes=" ; "), "Say what to look for"),
        (dict(classes="a; a"), "'a' stands twice"),
        (dict(classes="; ".join(map(str, range(1001)))), "at most 1000 names, but got 1001"),
        (dict(choices=(ModelChoice("sclip", "tiny", True),)), "sclip works without a VFM, but tiny is chosen"),
        (dict(choices=(ModelChoice("proxy", NO_VFM, True),)), "proxy needs a VFM"),
        (dict(choices=(ModelChoice("my/own.py", "tiny", True),)), "Expected a method of the list"),
        (dict(choices=(ModelChoice("proxy", "my/own.py", True),)), "Expected a VFM of the list"),
    ],
)
def test_segment_panes_refuses_requests(models, change, message):
    request = dict(choices=(PROXY,), classes="boat") | change
    with pytest.raises(ValueError, match=message):
        segment_panes(models, draw_example(0), **request)
    with pytest.raises(ValueError, match="Choose a picture first"):
        segment_panes(models, None, **request)


def test_segment_panes_with_background_and_threshold(models):
    image = draw_example(1)
    (named,) = segment_panes(models, image, (PROXY,), "boat", "grass, brick wall; water")
    assert named.segmentation.names == ("background", "boat") and not named.has_other
    (other,) = segment_panes(models, image, (PROXY,), "boat; grass", " ,", 0.9)
    assert other.segmentation.names == ("other", "boat", "grass") and other.has_other
    assert 0 < other.segmentation.areas["other"] < 100
    html = render_probe([other], 40, 60)
    bars = html.split('class="pixel"')[1].split("</table>")[0]
    assert ">boat<" in bars and ">other<" not in bars  # it has no text, so no probability


def test_initial_inputs_are_those_of_the_command_line(tmp_path):
    file = tmp_path / "classes.txt"
    file.write_text("horse\ngrass;lawn\n")
    settings = WebSettings(classes=str(file), background="wall, sky", threshold=0.2)
    assert initial_inputs(settings) == ("horse; grass, lawn", "wall, sky", 0.2)
    file.write_text("grass;lawn\n")
    assert initial_inputs(WebSettings(classes=str(file), background="0.3")) == ("grass, lawn;", "", 0.3)
    assert initial_inputs(WebSettings(classes="a; b")) == ("a; b", "", 0.0)


@pytest.mark.parametrize(
    ("classes", "background", "notes"),
    [
        ("boat, sky", "", ["2 classes: boat | sky", "for there is no ';'"]),
        ("boat；sky", "0,4", ["2 classes: boat | sky; class 0, other: what no class reaches the probability 0.4 for"]),
        ("__ignore__\n船\nboat", "wall", ["2 classes: 船 | boat; class 0, background: wall", "__ignore__", "script"]),
    ],
)
def test_page_says_which_classes_were_understood(models, classes, background, notes):
    (pane,) = segment_panes(models, draw_example(1), (PROXY,), classes, background)
    assert len(pane.notes) == len(notes) and all(map(str.__contains__, pane.notes, notes))
    html = render_message("", pane.notes)
    assert html.count('role="status"') == len(notes) and 'role="alert"' not in html


@pytest.mark.parametrize(
    ("classes", "background", "message"),
    [
        ("Boat; boat", "", "one text for CLIP"),
        ("boat; sky", "40%", "not percent, write 0.4"),
        ("boat; sky", "wall, 0.4", "0.4 as threshold"),
        ("0: boat\n2: sky", "", "line 2 of the text"),
    ],
)
def test_page_refuses_what_is_meant_otherwise(models, classes, background, message):
    with pytest.raises(ValueError, match=message):
        segment_panes(models, draw_example(1), (PROXY,), classes, background)


def test_initial_inputs_take_no_text_for_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gravel").write_text("notes on gravel\n")
    (tmp_path / "list.txt").write_text("building, edifice\nsky; heaven\n")
    for text in ("gravel", "lake of kind 1; " * 60, "x/" * 400, "a\nb"):
        assert initial_inputs(WebSettings(classes=text))[0] == text
    assert initial_inputs(WebSettings(classes="list.txt"))[0] == '"building, edifice"; sky, heaven'
    assert initial_inputs(WebSettings(background="0,4")) == ("", "", 0.4)
    with pytest.raises(ValueError, match="not percent"):
        initial_inputs(WebSettings(background="40%"))


def test_segment_panes_tunes_its_own_segmenter(models, panes):
    def labels(**params: float) -> np.ndarray:
        return segment_panes(models, draw_example(1), (PROXY,), CLASSES, **params)[0].segmentation.labels

    before = panes[0].segmentation.labels
    assert not np.array_equal(labels(beta=0.0, gamma=0.5), before)
    assert np.array_equal(labels(beta=1.2, gamma=3.0, unknown=1.0), before)
    assert panes[0].segmenter.tunable == {"beta": 1.2, "gamma": 3.0}


def test_render_probe_shows_attention_and_probabilities(panes):
    html = render_probe(panes, 40, 60)
    segmentation = panes[0].segmentation
    attention = encode_attention(segmentation.image, panes[0].segmenter.attention(segmentation.image, 40, 60), (40, 60))
    assert attention in html and "no attention map" in html
    for pane in panes:
        assert f"{100 * pane.segmentation.probabilities[:, 60, 40].max():.1f} %" in html
    with pytest.raises(ValueError, match="inside the picture of 192 x 160, but got 192, 0"):
        render_probe(panes, 192, 0)
    with pytest.raises(ValueError, match="Expected one of the classes"):
        render_probability(panes, 99)


def test_model_cache_passes_refine():
    refined = ModelCache(WebSettings(tiny=True, refine=("area",))).segmenter(SCLIP)
    assert [type(step).__name__ for step in refined._model.refine] == ["Area"]


def test_model_cache_evicts_the_least_recently_used_with_its_results():
    store = ResultStore()
    cache = ModelCache(WebSettings(tiny=True), max_size=2, on_evict=store.drop_model)
    keys = [store.put(segment_panes(cache, draw_example(0), (choice,), "boat; sky")) for choice in (PROXY, SCLIP)]
    networks = cache.segmenter(PROXY)._model.clip
    cache.segmenter(ModelChoice("vanilla", NO_VFM, True))
    assert cache.segmenter(PROXY)._model.clip is networks
    assert store.get(keys[0])
    with pytest.raises(ValueError, match="press Segment again"):
        store.get(keys[1])


def test_model_cache_shares_networks_only(models):
    first = models.segmenter(PROXY).set_classes("boat; sky").tune(beta=0.5)
    second = models.segmenter(PROXY)
    assert second.classes != first.classes and second.tunable["beta"] == 1.2
    assert second._model.clip is first._model.clip


def test_model_cache_tunable_loads_nothing():
    fresh = ModelCache(WebSettings(tiny=True))
    assert fresh.tunable(PROXY) == {"beta": 1.2, "gamma": 3.0}
    assert fresh.tunable(SCLIP) == fresh.tunable(ModelChoice("gla", "tiny", True)) == {}
    assert fresh.tunable(ModelChoice("proxy", NO_VFM, True)) == {}  # they do not go together
    assert not fresh._loaded


def test_model_cache_offers_methods_and_vfms():
    fresh = ModelCache(WebSettings(vfm="dino-s16", method="gla"))
    offer = fresh.list_available()
    assert offer.first == ModelChoice("gla", "dino-s16") and "dinov2-l-reg" in offer.vfms and "tiny" not in offer.vfms
    assert fresh.list_available(tiny=True).first == PROXY
    assert fresh.fit_vfm("sclip", "dino") == NO_VFM and fresh.fit_vfm("proxy", NO_VFM) == "dino-s16"
    assert fresh.fit_vfm("naclip", "dino") == "dino"
    assert fresh.fit_vfm("my/own.py", "dino") == "dino"  # not available, so never opened
    own = ModelCache(WebSettings(vfm="dino,some/file.pth"))
    assert own.list_available().vfms[0] == own.list_available().first.vfm == "dino,some/file.pth"


def test_result_store_is_bounded():
    pane = PaneResult(PROXY, None, SimpleNamespace(labels=np.zeros((10, 10))), 0.0, False)  # type: ignore[arg-type]
    store = ResultStore(max_size=3, max_pixels=250)
    keys = [store.put([pane]) for _ in range(4)]
    assert len(set(keys)) == 4
    assert [key in store._results for key in keys] == [False, False, True, True]
    assert store.put([pane] * 5) in store._results  # a single one may be larger


def test_render_escapes_names(panes):
    for html in (
        render_segmentation(panes),
        render_probability(panes, 3),
        render_probe(panes, 40, 60),
        render_message("<b>x</b>"),
    ):
        assert "<b>x" not in html and "&lt;b&gt;x" in html


def test_render_segmentation_has_areas_agreement_and_files(panes):
    html = render_segmentation(panes)
    first, second = (pane.segmentation for pane in panes)
    assert f"{next(iter(first.areas.values())):.1f} %" in html
    assert f"the same class on {100 * (first.labels == second.labels).mean():.1f} % of the pixels" in html
    files = dict(re.findall(r'download="([^"]+)" href="data:[^,]+,([^"]+)"', html))
    stems = ("scene_2_proxy_tiny", "scene_2_sclip_none")
    assert sorted(files) == [f"{stem}{suffix}" for stem in stems for suffix in (".json", "_mask.png")]
    mask = Image.open(io.BytesIO(base64.b64decode(files["scene_2_sclip_none_mask.png"])))
    assert np.array_equal(np.array(mask), second.labels)
    assert json.loads(base64.b64decode(files["scene_2_proxy_tiny.json"]))["images"][0]["width"] == 192


def test_render_segmentation_titles_have_the_vfm_for_one_method(models):
    choices = (PROXY, ModelChoice("proxy", "tiny-mae", True))
    html = render_segmentation(segment_panes(models, draw_example(0), choices, "boat; sky"))
    assert "<b>proxy, tiny</b>" in html and "<b>proxy, tiny-mae</b>" in html


@pytest.mark.parametrize(
    ("size", "shown"), [((160, 192), (640, 768)), ((3000, 100), (1400, 47)), ((800, 900), (800, 900))]
)
def test_resize_for_display_bounds_the_size(size, shown):
    assert resize_for_display(np.zeros((*size, 3), np.uint8)).shape == (*shown, 3)
    assert resize_for_display(np.zeros(size)).shape == shown


def test_encode_label_indices_of_many_classes():
    labels = np.array([[0, 255, 256, 70000 % 65536]], np.int32)
    data = encode_label_indices(labels).split(",")[1]
    code = np.array(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)
    assert np.array_equal(code[..., 0] + 256 * code[..., 1], labels)


@pytest.fixture(scope="module")
def page():
    pytest.importorskip("gradio")
    with serve_in_thread(WebSettings(tiny=True, port=0)) as running:
        yield running
    assert not Path(running.uploads).exists()


def get(page, path: str, **headers: str) -> tuple[int, str]:
    import httpx

    response = httpx.get(page.url + path, headers=headers, timeout=30, trust_env=False)
    return response.status_code, response.text


def test_server_listens_on_this_machine_only(page):
    assert page.socket.getsockname()[0] == "127.0.0.1"
    assert WebSettings().is_local and WebSettings(host="localhost").is_local and WebSettings(host="::1").is_local
    assert not WebSettings(host="0.0.0.0").is_local and not WebSettings(host="some.name").is_local


@pytest.mark.parametrize(("host", "url"), [("localhost", "http://localhost:"), ("0.0.0.0", "http://127.0.0.1:")])
def test_server_url(host, url, monkeypatch):
    monkeypatch.setattr(server, "build_app", lambda settings: None)
    with open_server(WebSettings(host=host, port=0)) as running:
        assert running.url == f"{url}{running.socket.getsockname()[1]}"


def test_server_refuses_other_host_names(page):
    assert get(page, "/")[0] == 200
    assert get(page, "/", Host="evil.example")[0] == 400


def test_page_references_no_other_host(page):
    status, html = get(page, "/")
    assert status == 200 and "Segment a picture" in html
    assert not re.findall(r'(?:src|href)="(?:https?:)?//[^"]*', html)
    style = get(page, "/theme.css")[1]
    assert not re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", style + html)


def test_server_serves_no_files_of_the_machine(page):
    for path in (
        "/gradio_api/file=/etc/hostname",
        "/gradio_api/file=../../../etc/hostname",
        f"/gradio_api/file={ROOT}/demo.py",
    ):
        assert get(page, path)[0] in (403, 404)


@pytest.mark.parametrize("kind", ["path", "url"])
def test_server_reads_uploads_only(page, tmp_path, kind):
    """A browser may claim that its upload lies anywhere on this machine."""
    import httpx

    secret = tmp_path / "secret.png"
    secret.write_bytes(draw_example(0).data)
    with httpx.Client(base_url=page.url, timeout=30, trust_env=False) as client:
        events = client.get("/config").json()["dependencies"]
        number = next(event["id"] for event in events if event["targets"][0][1] == "upload")
        path = str(secret) if kind == "path" else f"{page.url}/config"
        data = [dict(path=path, meta={"_type": "gradio.FileData"}), None]
        joined = client.post("/gradio_api/queue/join", json=dict(data=data, fn_index=number, session_hash=kind))
        assert joined.status_code == 200
        with client.stream("GET", "/gradio_api/queue/data", params=dict(session_hash=kind)) as lines:
            end = next(line for line in lines.iter_lines() if "process_completed" in line)
    assert '"success":false' in end and "preview" not in end
    assert secret.exists()


def test_server_refuses_large_uploads(page):
    import httpx

    files = {"files": ("a.png", b"\0" * (21 * 2**20))}
    answer = httpx.post(f"{page.url}/gradio_api/upload", files=files, timeout=60, trust_env=False)
    assert answer.status_code == 413


def test_open_socket_suggests_a_free_port(page):
    port = page.socket.getsockname()[1]
    with pytest.raises(OSError, match=rf"Port {port} is taken.*--port \d+"):
        open_socket("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("192.0.2.1", 0, "cannot be used"),
        ("no.such.host.invalid", 0, "There is no address"),
        ("127.0.0.1", 70000, "0 to 65535"),
    ],
)
def test_open_socket_refuses_addresses(host, port, message):
    with pytest.raises(OSError, match=message):
        open_socket(host, port)


def print_start(monkeypatch, capsys, **settings) -> tuple[server.Server, str]:
    monkeypatch.setattr(server, "build_app", lambda settings: None)
    with open_server(WebSettings(tiny=True, host="0.0.0.0", port=0, **settings)) as running:
        monkeypatch.setattr(running.uvicorn, "run", lambda sockets: None)
        running.run()
    return running, capsys.readouterr().out


def test_server_prints_links_with_the_token_if_open_to_others(monkeypatch, capsys):
    running, output = print_start(monkeypatch, capsys)
    links = re.findall(r"http://([^:/]+):(\d+)/\?token=([\w-]+)", output)
    assert links[0][0] == "127.0.0.1" and "warning" not in output
    assert {link[2] for link in links} == {running.access.token}


def test_server_warns_if_open_to_others_without_a_token(monkeypatch, capsys):
    running, output = print_start(monkeypatch, capsys, no_token=True)
    assert "warning: the page listens on 0.0.0.0: anybody" in output and "http://127.0.0.1:" in output
    assert running.access.token is None and "token=" not in output


def test_open_server_without_gradio_has_the_remedy(monkeypatch):
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "gradio>=6,<7"'):
        open_server(WebSettings()).__enter__()


def test_gradio_is_not_imported_with_the_package():
    code = "import sys, proxyclip.apis.web; assert 'gradio' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("proxy", ["socks://127.0.0.1:7890", "not a proxy"])
def test_page_is_built_without_the_proxies_of_the_environment(monkeypatch, proxy):
    """Gradio makes an HTTP client when it is imported, which fails for such a proxy."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("https_proxy", proxy)
    seen = []
    monkeypatch.setattr(server, "build_app", lambda settings: seen.append({*os.environ}))
    with open_server(WebSettings(tiny=True, port=0)):
        assert os.environ["ALL_PROXY"] == os.environ["https_proxy"] == proxy  # for the weights that are fetched
    assert not any(name.lower().endswith("_proxy") for name in seen[0])
