"""What the server takes from one user and in all."""

from types import SimpleNamespace

import pytest

gr = pytest.importorskip("gradio", reason="Gradio is not installed (extra app)")

from gradio.queueing import Event  # noqa: E402
from starlette.applications import Starlette  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.responses import PlainTextResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from lavseg.app import limits  # noqa: E402
from lavseg.app.limits import Limits, size_of, user_of, waiting  # noqa: E402

# Where Gradio takes requests into its queue.
QUEUEING = ("/queue/join", "/gradio_api/call/segment", "/gradio_api/call/v2/segment")


async def taken(request):
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """What sends requests to the server as a user, and what may be changed: the time, the queue and the folder."""
    monkeypatch.setattr(limits, "MEGABYTE", 10)
    monkeypatch.setattr(limits, "EXTRA_BYTES", 20)
    state = SimpleNamespace(now=0.0, folder=tmp_path)
    state.queue = SimpleNamespace(event_queue_per_concurrency_id={"a": SimpleNamespace(queue=[])}, active_jobs=[None])
    routes = [Route(path, taken, methods=["GET", "POST"]) for path in ("/upload", *QUEUEING)]
    page = SimpleNamespace(_queue=state.queue)
    app = Limits(Starlette(routes=routes), page, tmp_path, clock=lambda: state.now)

    def post(size, path="/upload", user="10.0.0.1"):
        return TestClient(app, client=(user, 1)).post(path, content=bytes(size))

    state.post, state.get = post, TestClient(app).get
    return state


def test_a_request_that_is_too_large_or_states_no_length(server):
    assert server.post(2020).text == "2020" and server.get("/upload").status_code == 200
    refused = server.post(2021)
    assert refused.status_code == 413 and "up to 200 MB are taken here" in refused.json()["detail"]
    chunked = TestClient(server.post.__closure__[0].cell_contents).post("/upload", content=iter([b"x"]))
    assert chunked.status_code == 411 and "does not state its length" in chunked.json()["detail"]


def test_what_a_user_sends_within_an_hour(server):
    for minute in range(10):
        server.now = 60.0 * minute
        assert server.post(2000).status_code == 200
    refused = server.post(2000)
    assert refused.status_code == 429 and "You sent 2000 MB within an hour" in refused.json()["detail"]
    assert server.post(10).status_code == server.post(2000, user="10.0.0.2").status_code == 200
    server.now = 3601
    assert server.post(2000).status_code == 200 and server.post(2000).status_code == 429


@pytest.mark.parametrize("path", QUEUEING)
def test_what_waits_of_a_user(server, path):
    def event(user):
        return SimpleNamespace(request=SimpleNamespace(scope={"client": (user, 1)}))

    server.queue.event_queue_per_concurrency_id["a"].queue += [event("10.0.0.1")] * 3
    assert server.post(10, path).status_code == 200
    server.queue.active_jobs.append([event("10.0.0.1")])
    refused = server.post(10, path)
    assert refused.status_code == 429 and "4 of your requests wait already" in refused.json()["detail"]
    assert server.post(10, path, user="10.0.0.2").status_code == server.post(10).status_code == 200


def test_gradios_own_queue():
    with gr.Blocks() as page:
        gr.Button().click(print)
    (function,) = page.fns.values()
    queue = page._queue
    queue.create_event_queue_for_fn(function)
    queue.active_jobs = [None, [Event("1", function, Request({"type": "http", "client": ("10.0.0.1", 1)}), None)]]
    (line,) = queue.event_queue_per_concurrency_id.values()
    line.queue.append(Event("2", function, Request({"type": "http", "client": ("10.0.0.1", 1)}), None))
    assert waiting(page, "10.0.0.1") == 2 and waiting(page, "10.0.0.2") == 0


def test_room_on_the_disk(server, monkeypatch):
    monkeypatch.setattr(limits, "MAX_DISK_MEGABYTES", 300)
    (server.folder / "results").mkdir()
    (server.folder / "results" / "overlay.mp4").write_bytes(bytes(1500))
    assert size_of(server.folder) == 1500 and server.post(1500).status_code == 200
    refused = server.post(1501)
    assert refused.status_code == 507 and "no room" in refused.json()["detail"]
    assert server.post(10).status_code == 200


def test_an_ipv6_network_is_one_user():
    assert user_of({"client": ("2001:db8::1", 1)}) == user_of({"client": ("2001:db8::2:1", 2)}) == "2001:db8::/64"
    assert user_of({"client": ("10.0.0.1", 1)}) == "10.0.0.1" and user_of({}) == ""
