"""Web page in a browser: uploads, results, clicks and errors."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.web_server import serve_in_thread
from PIL import Image

from proxyclip.apis.web import WebSettings

pytest.importorskip("gradio")
sync = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine", allow_module_level=True)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio")]  # its own calls
CLASSES = "grass, lawn; brick wall; boat; butterfly; water; snowman"
X, Y = 40, 60  # a pixel of the image


@pytest.fixture(scope="module")
def address():
    with serve_in_thread(WebSettings(tiny=True, port=0)) as server:
        yield server.url


@pytest.fixture(scope="module")
def browser():
    with sync.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, address):
    """Open the page in a new session, with its `requests` and JavaScript `errors`."""
    contexts = []

    def visit(url: str = address, width: int = 1300, height: int = 900, **options):
        context = browser.new_context(viewport=dict(width=width, height=height), **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30000)
        page.requests, page.errors = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(error))
        page.goto(url)
        page.wait_for_selector("#go")
        return page

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    from proxyclip.apis.web.inference import draw_example

    path = tmp_path_factory.mktemp("image") / "garden.png"
    path.write_bytes(draw_example(1).data)
    return path


@pytest.fixture(scope="module")
def expected(image):
    from proxyclip import Segmenter

    segmenter = Segmenter(CLASSES, config="configs/cfg_tinyworld.py")
    return segmenter, segmenter(image)


def upload(page, path: Path) -> None:
    page.set_input_files("#file input[type=file]", path)


def segment(page, path: Path, classes: str = CLASSES) -> None:
    upload(page, path)
    page.wait_for_selector(".preview img")
    page.fill("#classes textarea", classes)
    page.press("#classes textarea", "Enter")
    page.wait_for_selector(".result.overlay")


def message(page) -> str:
    text = page.wait_for_selector("#message .message").inner_text()
    assert "Traceback" not in text
    return text


def click_pixel(page, x: int, y: int) -> None:
    box = page.locator(".stage").first.bounding_box()
    place = dict(x=(x + 0.5) / 192 * box["width"], y=(y + 0.5) / 160 * box["height"])
    page.locator(".stage").first.click(position=place)


def test_page_segments_and_downloads_the_mask(visit, image, expected, tmp_path):
    page = visit()
    segmentation = expected[1]
    segment(page, image)
    assert page.locator(".classes [data-class]").count() == 6
    names = page.locator(".classes ul .name").all_inner_texts()
    assert names == [*segmentation.areas]
    assert f"{segmentation.areas['boat']:.1f} %" in page.locator("[data-name=boat]").inner_text()
    with page.expect_download() as download:
        page.click("text=Mask (PNG)")
    assert download.value.suggested_filename == "garden_mask.png"
    download.value.save_as(tmp_path / "mask.png")
    assert np.array_equal(np.array(Image.open(tmp_path / "mask.png")), segmentation.labels)

    # All requests were to this machine, and nothing failed.
    assert {url.split("/")[2].split(":")[0] for url in page.requests if url.startswith(("http", "ws"))} == {"127.0.0.1"}
    assert all(url.startswith(("http://127.0.0.1", "data:", "blob:")) for url in page.requests)
    assert not page.errors


def test_page_shows_probabilities_and_attention(visit, image, expected):
    from proxyclip.apis.web.render import encode_attention, encode_jpeg, resize_for_display
    from proxyclip.visualization.overlay import draw_probability

    page = visit()
    segmenter, segmentation = expected
    segment(page, image)

    # The pointer on a class darkens the others; on the image it says the class.
    page.hover("[data-name=boat]")
    pixels = "shade => [...shade.getContext('2d').getImageData(0, 0, shade.width, shade.height).data]"
    shade = np.array(page.locator(".shade").evaluate(pixels)).reshape(*segmentation.labels.shape, 4)
    assert np.array_equal(shade[..., 3] == 0, segmentation.labels == segmentation.index("boat"))
    page.locator(".stage").hover(position=dict(x=5, y=5))
    assert page.locator(".tip").inner_text() == segmentation.names[segmentation.labels[0, 0]]

    # A click on a class: its probability, in the colors of the map.
    page.click("[data-name=boat]")
    page.wait_for_selector(".result.probability")
    assert page.locator("h2").inner_text() == "Probability of boat"
    drawn = draw_probability(resize_for_display(segmentation.probability("boat")))
    assert page.locator(".layer").get_attribute("src") == encode_jpeg(drawn)

    # A click on a pixel: where its patch looks, and the classes there.
    click_pixel(page, X, Y)
    page.wait_for_selector(".result.attention")
    assert page.locator("h2").inner_text() == f"Pixel {X}, {Y}: where its patch looks"
    looks = segmenter.attention(segmentation.image, X, Y)
    assert page.locator(".layer").get_attribute("src") == encode_attention(segmentation.image, looks, (X, Y))
    rows = page.locator(".pixel tbody tr").all_inner_texts()
    best = int(segmentation.probabilities[:, Y, X].argmax())
    assert rows[0].split("\t")[0] == segmentation.names[best]
    assert f"{100 * segmentation.probabilities[best, Y, X]:.1f} %" in rows[0]

    # Escape goes back; arrow keys and Enter ask as the pointer does.
    page.keyboard.press("Escape")
    page.locator(".stage").focus()
    page.wait_for_selector(".result.overlay")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector(".result.attention")
    assert page.locator("h2").inner_text().startswith(f"Pixel {int(0.52 * 192)}, 80:")
    assert not page.errors


def test_page_compares_two_models_and_has_sliders(visit, image):
    page = visit()
    segment(page, image)
    before = page.locator(".layer").get_attribute("src")
    page.fill("#beta input[type=number]", "0.2")
    page.keyboard.press("Tab")
    page.wait_for_function("before => document.querySelector('.layer').src !== before", arg=before)

    page.check("#compare input")
    page.wait_for_selector("text=Method, right")
    page.click("#go")
    page.wait_for_selector(".stages.two")
    assert page.locator("figcaption b").all_inner_texts() == ["proxy", "sclip"]
    assert re.search(r"the same class on \d+\.\d % of the pixels", page.locator(".classes h3").inner_text())
    click_pixel(page, X, Y)
    page.wait_for_selector(".pixel")
    assert "no attention map" in page.locator("figure >> nth=1").inner_text()
    assert page.locator(".files p a").count() == 4

    # Without proxy attention on either side there is nothing to slide.
    assert page.is_visible("#beta")
    choose(page, "Method", "vanilla")
    page.wait_for_selector("#beta", state="hidden")
    assert page.input_value("#vfm input") == "none"
    choose(page, "VFM", "tiny")
    page.click("#go")
    assert "vanilla works without a VFM, but tiny is chosen" in message(page)
    assert page.locator(".result").count() == 1  # what was there stays
    assert not page.errors


def choose(page, label: str, word: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=word, exact=True).click()


def test_page_shows_errors(visit, image, tmp_path):
    page = visit()
    page.click("#go")
    assert "Choose a picture first" in message(page)
    broken = tmp_path / "broken.png"
    broken.write_bytes(image.read_bytes()[:5000])
    upload(page, broken)
    page.wait_for_selector("text=The picture broken cannot be read")
    upload(page, image)
    page.wait_for_selector(".preview img")
    page.fill("#classes textarea", " ")
    page.click("#go")
    page.wait_for_selector("text=Say what to look for: one or more classes")
    page.fill("#classes textarea", "<img src=x onerror=alert(1)>; boat")
    page.click("#go")
    page.wait_for_selector(".result.overlay")
    assert page.locator(".classes [data-class='0']").get_attribute("data-name") == "<img src=x onerror=alert(1)>"
    assert page.locator("#message .message").count() == 0 and not page.errors


def test_page_sessions_are_separate(visit, image):
    mine, theirs = visit(), visit()
    segment(mine, image)
    theirs.click("#go")
    assert "Choose a picture first" in message(theirs)
    assert theirs.locator(".result, .preview").count() == 0


def test_page_on_narrow_and_dark_screens(visit):
    page = visit(width=420, color_scheme="dark")
    page.click("[data-example='2']")
    page.wait_for_selector(".preview img")
    page.click("#go")
    page.wait_for_selector(".result.overlay")
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    stage, sliders = (page.locator(name).bounding_box() for name in (".stage", "#numbers"))
    assert stage["width"] > 350 and sliders["y"] > stage["y"]
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", background)[:3])) < 60


def test_page_offers_the_tiny_world_for_missing_weights(visit, image, monkeypatch):
    from proxyclip import Segmenter
    from proxyclip.models.weights import WeightsError

    def segmenter(config: str, **options):
        if "tiny" not in config:
            raise WeightsError("The weights of ViT-B-16 are not on this machine")
        return Segmenter(config=config, **options)

    monkeypatch.setattr("proxyclip.apis.web.model_cache.Segmenter", segmenter)
    with serve_in_thread(WebSettings(port=0)) as server:
        page = visit(server.url)
        upload(page, image)
        page.wait_for_selector(".preview img")
        page.fill("#classes textarea", CLASSES)
        page.click("#go")
        assert "ViT-B-16 are not on this machine" in message(page)
        page.click("#rescue")
        page.wait_for_selector("#message .message", state="detached")
        page.wait_for_function("document.querySelector('#vfm input').value === 'tiny'")
        page.click("#go")
        page.wait_for_selector(".result.overlay")
