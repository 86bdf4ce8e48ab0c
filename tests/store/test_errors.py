"""What passes by itself is retried, here and nowhere else; the rest is told at once."""

import errno
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.common.errors import InputError, RunError
from components.store import Store, errors
from components.store import store as store_module
from components.store.errors import Unreachable, outlasting


class Flaky:
    """A filesystem of which the next calls fail."""

    def __init__(self, fs, *errors):
        self.fs, self.errors, self.calls = fs, list(errors), 0

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.calls += 1
            if self.errors:
                raise self.errors.pop(0)
            return getattr(self.fs, name)(*args, **kwargs)

        return call


@pytest.fixture
def no_pause(monkeypatch):
    pauses = []
    monkeypatch.setattr(store_module.time, "sleep", pauses.append)
    return pauses


def flaky(store, *errors) -> Flaky:
    result = Flaky(store.fs, *errors)
    assert store.root  # known before
    store._link.fs = result
    return result


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "eio"),
        TimeoutError("slow"),
        ConnectionResetError("gone"),
        OSError(errno.EBUSY, "slow down"),
    ],
)
def test_passing_errors_are_retried(memory, no_pause, error):
    fs = flaky(memory, error, error)
    memory.write_bytes("x", b"1")
    assert memory.read_bytes("x") == b"1"
    assert fs.calls == 4
    assert no_pause[0] < no_pause[1]


def test_a_store_that_never_answered_is_given_up_soon(memory, no_pause):
    flaky(memory, *[ConnectionError("no")] * 50)
    with pytest.raises(Unreachable, match="does not answer"):
        memory.read_bytes("x")
    assert sum(no_pause) < 3


def test_a_store_that_was_there_gets_more_time(memory, no_pause):
    memory.write_bytes("x", b"1")
    flaky(memory, *[ConnectionError("no")] * 8)
    assert memory.read_bytes("x") == b"1"
    assert sum(no_pause) > 15


def test_attempts_can_be_bounded(memory, no_pause):
    hasty = memory.with_attempts(1)
    fs = flaky(hasty, *[ConnectionError("no")] * 9)
    with pytest.raises(Unreachable):
        hasty.read_bytes("x")
    assert fs.calls == 1 and not no_pause


@pytest.mark.parametrize(
    "error, kind",
    [
        (PermissionError("no"), InputError),
        (OSError(errno.EINVAL, "bad"), RunError),
        (KeyError("bug"), KeyError),
    ],
)
def test_other_errors_are_not_retried(memory, no_pause, error, kind):
    fs = flaky(memory, error)
    with pytest.raises(kind):
        memory.write_bytes("x", b"1")
    assert fs.calls == 1 and not no_pause


def test_a_missing_file_is_not_retried(memory, no_pause):
    with pytest.raises(FileNotFoundError):
        memory.read_bytes("x")
    assert not no_pause


class Proxy:
    """Stands between a client and the server; spoils the first requests."""

    def __init__(self, port: int, *spoil: str):
        self.port, self.spoil, self.requests = port, list(spoil), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One request a connection, as every answer says so."""
        with client:
            request = self._read(client)
            if not request:
                return
            self.requests += 1
            how = self.spoil.pop(0) if self.spoil else "forward"
            if how == "busy":
                client.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            elif how == "quota":
                error = b"<Error><Code>QuotaExceeded</Code></Error>"
                head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\n"
                client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(error) + error)
            elif how in ("forward", "lose the answer"):
                answer = self._ask(request)
                if how == "forward":
                    client.sendall(answer)

    def _read(self, client: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := client.recv(1 << 16)):
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [
            line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        ]
        while len(body) < int(lengths[0] if lengths else 0):
            if b"expect: 100-continue" in head.lower() and not body:
                client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body += client.recv(1 << 16)
        return head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + b"\r\n\r\n" + body

    def _ask(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port)) as server:
            server.sendall(request)
            answer = b""
            while more := server.recv(1 << 16):
                answer += more
        return answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")


@pytest.fixture
def proxied(s3_env, bucket, monkeypatch):
    proxies = []

    def make(*spoil: str) -> tuple[Store, Proxy]:
        proxies.append(Proxy(s3_env.ports[0], *spoil))
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxies[-1].url)
        return Store(f"s3://{bucket}"), proxies[-1]

    yield make
    for proxy in proxies:
        proxy.listener.close()


@pytest.mark.s3
@pytest.mark.parametrize("how", ["busy", "hang up"])
def test_s3_that_is_busy_twice(proxied, how):
    store, proxy = proxied(how, how)
    store.write_bytes("x", b"1")
    assert store.read_bytes("x") == b"1"
    assert proxy.requests >= 4 and not proxy.spoil


@pytest.mark.s3
def test_exclusive_creation_whose_answer_got_lost(proxied):
    store, proxy = proxied("lose the answer")
    assert store.create("x", b"mine")  # it is ours, though the second attempt found it there
    assert proxy.requests >= 2 and not proxy.spoil
    store, _ = proxied("busy")
    assert not store.create("x", b"mine")  # the same bytes by somebody else are not
    assert store.read_bytes("x") == b"mine"


@pytest.mark.s3
def test_missing_bucket(s3_env, tmp_path):
    store = Store("s3://no-such-bucket-here/x")
    (tmp_path / "f").touch()
    for call in (
        store.check,
        store.list,
        lambda: store.read_bytes("a"),
        lambda: store.write_bytes("a", b"1"),
        lambda: store.create("a", b"1"),
        lambda: store.upload(tmp_path, "a"),
        lambda: store.exists("a"),
    ):
        with pytest.raises(InputError, match="there is no such bucket"):
            call()


@pytest.mark.s3
def test_wrong_credential(bucket, s3_env, monkeypatch):
    Store(f"s3://{bucket}").write_bytes("a", b"1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-and-private")
    store = Store(f"s3://{bucket}")
    calls = (
        store.check,
        lambda: store.read_bytes("a"),
        lambda: store.create("b", b"1"),
        lambda: store.exists("a"),
    )
    for call in calls:
        with pytest.raises(InputError, match="access denied") as caught:
            call()
        assert "wrong-and-private" not in str(caught.value) and s3_env.key not in str(caught.value)


@pytest.mark.s3
def test_no_credential(bucket, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InputError, match="no credentials; set AWS_ACCESS_KEY_ID"):
        Store(f"s3://{bucket}").check()


@pytest.mark.s3
def test_unreachable_endpoint_is_told_soon(s3_env, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    start = time.monotonic()
    store = Store("s3://bucket/x")
    with pytest.raises(Unreachable, match="s3://bucket/x does not answer"):
        store.check()
    with pytest.raises(InputError):
        store.write_bytes("a", b"1")
    assert time.monotonic() - start < 10


@pytest.mark.s3
def test_an_endpoint_that_accepts_and_says_nothing(s3_env, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(Unreachable):
            Store("s3://bucket/x").check()
        assert time.monotonic() - start < 20


@pytest.mark.s3
def test_many_objects_and_large_ones(bucket, s3_env):
    store = Store(f"s3://{bucket}")
    large = os.urandom(1 << 20) * 9
    store.write_bytes("large", large)
    assert store.read_bytes("large") == large
    for i in range(30):
        store.write_bytes(f"many/{i}", b"x")
    store.delete("many")
    assert s3_env.keys(bucket) == ["large"]


@pytest.mark.s3
def test_a_forked_process_makes_its_own_filesystem(bucket):
    store = Store(f"s3://{bucket}")
    store.write_bytes("x", b"1")
    child = os.fork()
    if not child:
        try:
            store.write_bytes("y", store.read_bytes("x") + b"2")
        finally:
            os._exit(0)
    for _ in range(200):
        if os.waitpid(child, os.WNOHANG)[0]:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert store.read_bytes("y") == b"12"


def test_an_outage_is_outlasted_and_other_errors_are_not(monkeypatch):
    pauses = []
    monkeypatch.setattr(errors, "interrupted_within", pauses.append)
    answers = iter([Unreachable("down"), Unreachable("down"), 5])
    assert outlasting(lambda: _next(answers)) == 5
    assert len(pauses) == 2
    with pytest.raises(InputError, match="no permission"):
        outlasting(lambda: _next(iter([InputError("no permission")])))


def test_nobody_waits_for_a_store_after_an_interruption(monkeypatch):
    monkeypatch.setattr(errors, "interrupted_within", lambda seconds: True)
    with pytest.raises(Unreachable, match="down"):
        outlasting(lambda: _next(iter([Unreachable("down")])))


def _next(answers):
    answer = next(answers)
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.mark.parametrize(
    "url", ["ftp://", "github://a", "dir://x", "jlab://x", "reference://x", "https://x:99999"]
)
def test_a_url_that_does_not_suit_its_filesystem_is_one_sentence(url):
    with pytest.raises((InputError, RunError), match=url):
        Store(url).list("runs")


def test_a_number_that_python_does_not_convert_is_no_json(tmp_path):
    (tmp_path / "x.json").write_text("1" * 5000)
    with pytest.raises(errors.MISSING_OR_TORN):
        Store(tmp_path).read_json("x.json")


@pytest.fixture
def web(monkeypatch, no_pause):
    """A plain web server on loopback that answers with the status in its `status`."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_web_server_that_fails_has_no_missing_files(web):
    store = Store(f"http://127.0.0.1:{web.server_port}/models")
    for status, says in ((401, "access denied"), (503, "does not answer")):
        web.status = status
        with pytest.raises(InputError, match=says):
            store.exists("manifest.json")
        with pytest.raises(InputError, match=says):
            store.read_bytes("manifest.json")
    for web.status in (403, 404):
        assert not store.exists("manifest.json")
    with pytest.raises(Unreachable, match=r"http://127.0.0.1:9/models does not answer \(Client"):
        Store("http://127.0.0.1:9/models").exists("manifest.json")


def test_a_webdav_server_that_cannot_be_reached_is_one_sentence(monkeypatch, no_pause):
    pytest.importorskip("webdav4", reason="the client of WebDAV")
    import fsspec.config

    with pytest.raises(InputError, match="without base_url; set FSSPEC_WEBDAV_BASE_URL"):
        Store("webdav://models").exists("x")
    for address, says in (("http://127.0.0.1:9", "does not answer"), ("127.0.0.1:9", "cannot be opened")):
        monkeypatch.setitem(fsspec.config.conf, "webdav", {"base_url": address})
        with pytest.raises(InputError, match=f"webdav://models.*{says}"):
            Store("webdav://models").read_bytes("x")


class Answer(Exception):
    """An error of a client of WebDAV or Azure, with the status of the answer."""

    def __init__(self, status: int):
        super().__init__(f"received {status}")
        self.status_code = status


def test_the_status_of_other_protocols_decides_too() -> None:
    assert [errors.transient(Answer(status)) for status in (423, 429, 503, 404, 401)] == [True] * 3 + [
        False
    ] * 2
    with pytest.raises(InputError, match="access denied"):
        errors.explain(Answer(401), "webdav://place")
    with pytest.raises(Unreachable, match="does not answer"):
        errors.explain(Answer(503), "webdav://place")


@pytest.mark.s3
def test_a_quota_that_is_used_up_is_told_at_once(proxied):
    store, proxy = proxied("quota")
    with pytest.raises(RunError, match="no space left; free some and run the same command again"):
        store.write_bytes("x", b"1")
    assert proxy.requests == 1
