"""The endpoint: what it answers, and how it starts and stops."""

from __future__ import annotations

import socket
import threading

import httpx
import pytest

from runner.metrics.server import ListenError, MetricsServer


def test_a_plain_client_gets_prometheus_text(metrics, serve, get):
    answer = get(f"{serve(metrics).url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "\nrunner_up 0.0\n" in answer.text


def test_a_scraper_that_asks_for_openmetrics_gets_it(metrics, serve, get):
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
    answer = get(f"{serve(metrics).url}/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")


@pytest.mark.parametrize("path", ["healthy", "ready"])
def test_a_check_that_holds_is_200_and_one_that_does_not_is_503_with_the_reason(metrics, serve, get, path):
    state = [(True, "")]
    server = serve(metrics, **{path: lambda: state[0]})
    assert (get(f"{server.url}/-/{path}").status_code, get(f"{server.url}/-/{path}").text) == (200, "ok\n")
    state[0] = (False, "account main: trade updates are not arriving")
    answer = get(f"{server.url}/-/{path}")
    assert (answer.status_code, answer.text) == (503, "account main: trade updates are not arriving\n")


def test_a_check_that_raises_is_503(metrics, serve, get):
    def broken() -> tuple[bool, str]:
        raise ValueError("secret detail")

    answer = get(f"{serve(metrics, healthy=broken).url}/-/healthy")
    assert (answer.status_code, answer.text) == (503, "the check itself failed: ValueError\n")


def test_it_answers_while_another_thread_holds_the_loop(metrics, serve, get):
    """The server's thread needs nothing of the thread that made it but the interpreter's lock, now and then."""
    held, over = threading.Event(), threading.Event()

    def busy() -> None:
        held.set()
        while not over.is_set():
            sum(range(1000))

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        held.wait()
        assert get(f"{serve(metrics).url}/-/healthy").status_code == 200
    finally:
        over.set()
        thread.join()


def test_other_paths_are_404_and_head_has_no_body(metrics, serve, get):
    server = serve(metrics)
    assert get(f"{server.url}/nothing").status_code == 404
    assert "/metrics" in get(server.url).text
    answer = httpx.head(f"{server.url}/metrics", trust_env=False)
    assert answer.status_code == 200
    assert answer.content == b""
    assert httpx.post(f"{server.url}/metrics", trust_env=False).status_code == 501


def test_a_port_in_use_is_a_clear_error(metrics, serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=rf"can't listen on 127.0.0.1:{port} .*choose another port"):
            serve(metrics, port=port)


def test_after_a_stop_nothing_listens_and_the_port_is_free_at_once(metrics, serve, get):
    server = serve(metrics)
    port = server.port
    get(f"{server.url}/metrics")
    server.stop()
    server.stop()
    assert server.port == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "metrics"]
    with pytest.raises(httpx.ConnectError):
        get(f"http://127.0.0.1:{port}/metrics")
    assert serve(metrics, port=port).port == port


def test_a_server_that_was_never_started_stops_as_well(metrics):
    MetricsServer("127.0.0.1", 0, metrics, lambda: (True, ""), lambda: (True, "")).stop()
