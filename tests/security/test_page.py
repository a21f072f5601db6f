"""One person, one web site or one request cannot take the page away from the others, or fill memory and disk."""

import threading
from pathlib import Path

import pytest
from helpers.page_client import PageClient, make_png
from helpers.web_server import serve_in_thread

from proxyclip.apis.web import WebSettings
from proxyclip.apis.web.inference import decode_upload, draw_example, segment_panes
from proxyclip.apis.web.model_cache import ModelCache, ModelChoice
from proxyclip.apis.web.waiting_lines import MAX_WAITING, MODEL_LINE, PICTURE_LINE

pytest.importorskip("gradio")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:gradio")  # its own calls
PROXY = ModelChoice("proxy", "tiny", True)


@pytest.fixture(scope="module")
def models():
    """The models of the page that is served, in whose lock a test can keep them busy."""
    from proxyclip.apis.web import model_cache

    made = []

    class KeptCache(ModelCache):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append(self)

    patch = pytest.MonkeyPatch()
    patch.setattr(model_cache, "ModelCache", KeptCache)
    yield made
    patch.undo()


@pytest.fixture(scope="module")
def page(models):
    with serve_in_thread(WebSettings(tiny=True, port=0)) as server:
        yield server


@pytest.fixture
def visitor(page, request):
    with PageClient(page.url, request.node.name[:60]) as client:
        yield client


def test_page_segments_what_it_is_sent(visitor):
    assert "preview" in str(visitor.upload(make_png())["output"])
    message = visitor.segment("grass; sky")
    assert message["success"] and 'data-name="grass"' in str(message["output"]).replace('\\"', '"')


def test_queue_cannot_be_passed(visitor):
    """Gradio has three more ways to an event; the page has none of them, and its events no names."""
    event = visitor.find_event("click", 14)
    for path in ("run/predict", "api/predict", "run/segment", "call/segment", "call/v2/segment"):
        answer = visitor.post(f"/gradio_api/{path}", json=dict(data=[], fn_index=event, session_hash="a"))
        assert answer.status_code == 404 and ("no address" in answer.text or "join the queue" in answer.text)


def test_only_events_of_no_cost_are_outside_of_the_lines(page):
    """Gradio itself refuses the others, without the gate in front of it too."""
    from starlette.testclient import TestClient

    client = TestClient(page.uvicorn.config.app.app)
    direct = []
    for event in client.get("/config").json()["dependencies"]:
        body = dict(data=[None] * len(event["inputs"]), fn_index=event["id"], session_hash="a")
        if client.post("/gradio_api/run/predict", json=body).status_code != 404:
            direct.append(event["api_name"])
    assert direct == ["lambda", "fit_vfm", "fit_vfm_1", "toggle_sliders", "switch_world", "lambda_1"]


def test_long_line_for_the_model_stops_no_upload(page, models, visitor):
    """With the model busy and its line full, another person can still choose a picture."""
    event = visitor.find_event("click", 14)
    values = [None, None, True, "a; b", "", 0, False, "proxy", "tiny", "sclip", "none", 1.2, 3.0, "as configured"]
    visitor.upload(make_png())
    ended = threading.Event()

    def keep_busy():
        with models[0].lock:
            ended.wait(60)

    thread = threading.Thread(target=keep_busy)
    thread.start()
    try:
        answers = [visitor.join(event, values) for _ in range(MAX_WAITING[MODEL_LINE] + 4)]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert 3 <= len(refused) <= 4 and answers[-1].status_code == 429
        assert answers[-1].json()["detail"].startswith("The page is busy: there are 16 requests before this one.")
        with PageClient(page.url, "another") as other:
            assert "preview" in str(other.upload(make_png())["output"])
    finally:
        ended.set()
        thread.join()


def test_every_queued_event_waits_in_a_line_with_a_limit(page):
    from proxyclip.apis.web.page import build_page

    blocks = build_page(ModelCache(WebSettings(tiny=True)))
    events = [event for event in blocks.fns.values() if event.queue]
    assert {event.concurrency_id for event in events} == {MODEL_LINE, PICTURE_LINE} == {*MAX_WAITING}
    assert {event.concurrency_limit for event in events} == {1}


def test_controls_answer_while_the_model_is_busy(page, models, visitor):
    events = visitor.get("/config").json()["dependencies"]
    number = next(event["id"] for event in events if event["api_name"] == "toggle_sliders")
    body = dict(data=[True, False, "proxy", "tiny", "sclip", "none"], fn_index=number, session_hash="b")
    visitor.post("/gradio_api/run/predict", json=body)
    with models[0].lock:
        assert visitor.post("/gradio_api/run/predict", json=body).status_code == 200


def test_event_that_the_page_has_not_got_is_refused(visitor):
    for event in (99, None, -1):
        answer = visitor.join(event, [])
        assert answer.status_code == 400 and "Expected an event of this page" in answer.json()["detail"]


def test_pictures_are_decoded_one_at_a_time(monkeypatch):
    """A small file may be a picture of 40 megapixels: twelve at once took 6.7 GB."""
    from proxyclip.apis.web import inference

    running: list[int] = []
    most: list[int] = []

    def load(data, **options):
        if threading.current_thread() not in threads:  # a request that another test has left to the page
            return original(data, **options)
        running.append(1)
        most.append(len(running))
        started.wait(0.05)
        running.pop()
        return original(data, **options)

    original, started = inference.load_image, threading.Event()
    monkeypatch.setattr(inference, "load_image", load)
    threads = [threading.Thread(target=decode_upload, args=(draw_example(0),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 4 and max(most) == 1


def test_picture_is_decoded_in_the_turn_of_its_request(monkeypatch):
    """Requests that wait for the model hold no picture."""
    from proxyclip.apis.web import inference

    cache = ModelCache(WebSettings(tiny=True))
    owned: list[bool] = []

    def load(data, **options):
        if threading.current_thread() is threading.main_thread():  # not of a request that another test has left
            owned.append(cache.lock._is_owned())
        return original(data, **options)

    original = inference.load_image
    monkeypatch.setattr(inference, "load_image", load)
    assert segment_panes(cache, draw_example(0), (PROXY,), "boat; sky")
    assert owned == [True]


def test_large_bodies_end_the_connection_with_a_sentence(visitor):
    answer = visitor.send_file(b"\0" * (21 * 2**20))
    assert answer.status_code == 413 and "at most 20 MB" in answer.text and answer.headers["connection"] == "close"
    answer = visitor.post("/gradio_api/queue/join", content=b'{"data": ["' + b"a" * 2**21 + b'"]}')
    assert answer.status_code == 413 and "at most 1048576 bytes" in answer.json()["detail"]


def test_upload_is_deleted_when_it_is_read(page, visitor):
    visitor.upload(make_png(50, 40))
    assert not list(Path(page.uploads).rglob("*.png"))


def test_forged_uploads_read_no_other_file(visitor, tmp_path):
    victim = tmp_path / "victim.png"
    victim.write_bytes(make_png())
    event = visitor.find_event("upload")
    for path in (str(victim), f"{visitor.base_url}/config", "../../victim.png"):
        message = visitor.call(event, [dict(path=path, meta={"_type": "gradio.FileData"}), False, None])
        assert not message["success"] and "preview" not in str(message)
    assert victim.exists()


@pytest.mark.parametrize(
    ("classes", "background", "message"),
    [
        ("; ".join(f"w{i}" for i in range(8000)), "", "at most 1000 names, but got 8000"),
        ("; ".join(f"w{i}" for i in range(8000)) + "; w7999", "", "at most 1000 names, but got 8001"),
        ("y" * 20000 + "; sky", "", "at most 200 letters in the boxes"),
        (";".join("y" * 20000 + str(i) for i in range(40)), "", "at most 100000 letters"),
        ("x" * 900000, "", "at most 100000 letters"),
        ("a; b", ", ".join(f"w{i}" for i in range(999)), "at most 1000 names, but got 1001"),
        ("a; b", "y" * 201, "at most 200 letters in the boxes"),
    ],
    ids=["8000 names", "the last twice", "20 kB name", "40 of them", "900 kB", "background", "its names"],
)
def test_names_are_counted_before_the_model_is_used(visitor, models, classes, background, message):
    visitor.upload(make_png())
    used = len(models[0]._loaded)
    answer = str(visitor.segment(classes, background)["output"])
    assert message in answer and ("name fewer classes" in answer or "between classes put" in answer)
    assert len(models[0]._loaded) == used and len(answer) < 2000
