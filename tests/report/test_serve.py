"""The viewer: loopback only, pages only, inside the store only."""

import http.client
import socket
import struct
import threading

import pytest

from components.common.errors import InputError
from components.report import build, build_index, build_run, serve, server


@pytest.fixture
def running(store, runs):
    build_run(store, runs["done"])
    build_index(store)
    with server(store) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(running, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", running.server_port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read()


def test_serves_pages_with_the_policy(running, runs):
    for path in ("/", f"/runs/{runs['done']}/report/", f"/runs/{runs['done']}/report/index.html?x=1"):
        answer, body = ask(running, path)
        assert answer.status == 200 and body.startswith(b"<!doctype html>")
        assert answer.headers["Content-Security-Policy"] == build.POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_listens_on_loopback_only(running):
    assert running.server_address[0] == "127.0.0.1"


def test_head_has_no_body(running):
    answer, body = ask(running, "/", method="HEAD")
    assert answer.status == 200 and body == b"" and int(answer.headers["Content-Length"]) > 0


def test_leaves_the_store_by_no_path(running, store, tmp_path):
    (tmp_path / "secret.html").write_text("secret")
    (tmp_path / "output" / "link.html").symlink_to(tmp_path / "secret.html")
    (tmp_path / "output" / ".hidden.html").write_text("secret")
    paths = [
        "/../secret.html",
        "/%2e%2e/secret.html",
        "/..%2fsecret.html",
        "/runs/../../secret.html",
        "/..\\secret.html",
    ]
    paths += [
        f"/{tmp_path}/secret.html",
        f"//{tmp_path}/secret.html",
        "/link.html",
        "/.hidden.html",
        "/%00.html",
        "/C:/x.html",
    ]
    for path in paths:
        answer, body = ask(running, path)
        assert answer.status == 404 and b"secret" not in body, path


def test_serves_pages_not_models(running, store):
    store.write_bytes("store/train/k/model.safetensors", b"weights")
    for path in ("/store/train/k/model.safetensors", "/store/", "/store", "/missing.html"):
        assert ask(running, path)[0].status == 404, path


def test_refuses_other_names_for_this_machine(running):
    answer, body = ask(running, "/", Host="evil.example")
    assert answer.status == 403 and b"forward the port (ssh -L 8000:localhost:8000)" in body
    assert ask(running, "/", Host=f"localhost:{running.server_port}")[0].status == 200


def test_writes_nothing(running):
    for method in ("POST", "PUT", "DELETE"):
        assert ask(running, "/index.html", method=method)[0].status == 501


def test_taken_port_is_one_sentence(running, store):
    with pytest.raises(InputError, match="cannot listen"):
        server(store, running.server_port)


def test_serve_tells_the_address_and_stops_on_interrupt(store):
    calls = []

    def ready(url):
        calls.append(url)
        raise KeyboardInterrupt

    serve(store, ready=ready)
    assert calls[0].startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    "path",
    ["/a%5Bb.html", "/a*.html", "/a%23.html", "/index.html/x.html", "/" + "a" * 300 + ".html"],
)
def test_names_that_no_store_has_are_not_found(running, path):
    assert ask(running, path)[0].status == 404


def test_a_client_that_disconnects_prints_no_traceback(running, capsys):
    with socket.create_connection(("127.0.0.1", running.server_port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by a reset
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    try:
        raise ConnectionResetError
    except ConnectionResetError:
        running.handle_error(None, None)
    assert ask(running, "/")[0].status == 200
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("path", ["http://[/x.html", "http://x]/a.html"])
def test_an_address_that_is_none_is_not_found(running, path, capsys):
    assert ask(running, path, Host="localhost")[0].status == 404
    assert capsys.readouterr().err == ""
