"""What every store does, whatever it is made of."""

import pickle
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from components.common import atomic
from components.common.errors import InputError
from components.store import Store, cache_folder, open_store


def test_importing_it_is_cheap():
    code = (
        "import sys, components.store, components.diagnostics.checks;"
        "print([m for m in ('torch', 'ray', 'dvc', 's3fs', 'prefect', 'pyarrow') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True).stdout
        == "[]\n"
    )


def test_reads_what_was_written(store):
    store.write_bytes("a/b", b"\x00\xff")
    store.write_text("a/c", "größer")
    store.write_json("d.json", {"x": [1, 2.5, None]})
    assert store.read_bytes("a/b") == b"\x00\xff"
    assert store.read_text("a/c") == "größer"
    assert store.read_json("d.json") == {"x": [1, 2.5, None]}
    assert store.size("a/b") == 2
    store.write_bytes("a/b", b"short")
    assert store.read_bytes("a/b") == b"short"


def test_numbers_that_are_not_finite_become_null(memory):
    memory.write_json("x", {"a": float("nan"), "b": [float("inf"), (1.5,)]})
    assert memory.read_json("x") == {"a": None, "b": [None, [1.5]]}


def test_missing_is_file_not_found(store, tmp_path):
    for call in (store.read_bytes, store.read_json, store.size, store.local_copy):
        with pytest.raises(FileNotFoundError):
            call("nope/nothing")
    with pytest.raises(FileNotFoundError):
        store.download("nope", tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        store.upload(tmp_path / "nope", "x")
    assert not (tmp_path / "x").exists()
    assert store.list("nope") == store.find("nope") == []
    assert not store.exists("nope")
    store.delete("nope")


def test_lists(store):
    for rel in ("b/2", "b/10", "b/deep/x", "a.json", "b-c"):
        store.write_bytes(rel, b"x")
    assert store.list() == ["a.json", "b", "b-c"]
    assert store.list("b") == ["10", "2", "deep"]
    assert store.find("b") == ["10", "2", "deep/x"]
    assert store.find() == ["a.json", "b-c", "b/10", "b/2", "b/deep/x"]
    assert store.exists("b") and store.exists("b/2") and not store.exists("b/3")


def test_keys_that_mark_folders_are_no_files(memory, tmp_path):
    memory.write_bytes("runs/a/x", b"1")
    memory.fs.store[f"{memory.root}/runs/a/"] = memory.fs.store[memory.path("runs/a/x")]
    assert memory.find() == ["runs/a/x"]
    memory.download("runs", tmp_path / "runs")
    assert (tmp_path / "runs/a/x").read_bytes() == b"1"
    del memory.fs.store[f"{memory.root}/runs/a/"]


def test_unfinished_files_are_not_listed(local):
    local.write_bytes("a/x", b"1")
    Path(local.path("a"), ".tmp-123").write_bytes(b"half")
    assert local.list("a") == local.find("a") == ["x"]


def test_delete(store):
    for rel in ("a/1", "a/b/2", "ab", "c"):
        store.write_bytes(rel, b"x")
    store.delete("a")
    store.delete("c")
    assert store.find() == ["ab"]
    with pytest.raises(InputError):
        store.delete("")


def test_child_is_a_folder_of_it(store):
    child = store.child("runs", "r1")
    child.write_text("x", "1")
    assert store.read_text("runs/r1/x") == "1"
    assert child.path("x") == store.path("runs/r1/x")
    assert child.url == f"{store.url}/runs/r1"
    assert Store("memory://").child("x").path("y") == "/x/y"


@pytest.mark.parametrize(
    "rel", ["../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a\n", "a\x00b", "a*", "a?b", "a\\b"]
)
def test_confined(local, memory, rel):
    for store in (local, memory):
        for call in (store.path, store.child, store.read_bytes, store.delete, store.exists, store.list):
            with pytest.raises(InputError, match="not a name in a store"):
                call(rel)
        with pytest.raises(InputError):
            store.write_bytes(rel, b"")


@pytest.mark.parametrize(
    "url", ["", "s3://", "s3://key:secret@bucket/x", "a\nb", "simplecache::s3://b/x", "s3://b/x*"]
)
def test_refuses_what_is_no_store(url):
    with pytest.raises(InputError) as caught:
        Store(url)
    assert "secret" not in str(caught.value)


def test_unknown_protocol_is_told():
    with pytest.raises(InputError, match="nosuch://x"):
        Store("nosuch://x").exists("a")


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("sftp://me:hidden@host/folder", "FSSPEC_SFTP_PASSWORD"),
        ("ftp://me:hid/den@host/folder", "FSSPEC_FTP_PASSWORD"),
        ("https://hidden@host/folder", "FSSPEC_HTTPS"),
        ("s3://me:hidden@host/folder", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_url_with_credentials_is_refused_and_where_they_belong_is_told(url, where):
    with pytest.raises(InputError, match=where) as caught:
        Store(url)
    assert "hid" not in str(caught.value)


def test_the_environment_has_the_credentials(monkeypatch):
    from fsspec import config

    environment = {"FSSPEC_FTP_USERNAME": "me", "FSSPEC_FTP_PASSWORD": "hidden"}
    config.set_conf_env(conf := {}, environment)
    monkeypatch.setattr(config, "conf", conf)
    monkeypatch.setattr("fsspec.implementations.ftp.FTP", Mock())
    fs = Store("ftp://host:21/a").fs
    assert fs.cred == ("me", "hidden", "")
    pickled = pickle.dumps(fs)
    assert b"hidden" not in pickled, "Ray stores pickled filesystems"
    assert pickle.loads(pickled).cred == ("me", "hidden", "")


@pytest.mark.parametrize("url", ["abfs://container@account/x", "sftp://me@host/x", "ftp://host:21/a@b"])
def test_a_url_is_the_address_that_workers_open(url):
    store = Store(url).child("c")
    assert Store(store.url).url == store.url == f"{url}/c"


def test_folders_up_and_down(store, tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_bytes(b"1")
    (folder / "deep" / "b[1]").write_bytes(b"2") if store.is_local else (folder / "deep" / "b").write_bytes(
        b"2"
    )
    if store.is_local:
        with pytest.raises(InputError):  # a name that means something else in other stores
            store.upload(folder, "copy")
        (folder / "deep" / "b[1]").rename(folder / "deep" / "b")
    store.upload(folder, "copy")
    store.upload(folder / "a", "single")
    assert store.find() == ["copy/a", "copy/deep/b", "single"]
    store.download("copy", tmp_path / "back")
    store.download("single", tmp_path / "one")
    assert (tmp_path / "back/deep/b").read_bytes() == b"2"
    assert (tmp_path / "one").read_bytes() == b"1"


def test_download_replaces_a_folder(store, tmp_path):
    store.write_bytes("x/new", b"1")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "old").touch()
    store.download("x", tmp_path / "there")
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["new"]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".tmp-")]


def test_download_is_complete_or_absent(memory, tmp_path, monkeypatch):
    memory.write_bytes("x/1", b"1")
    memory.write_bytes("x/2", b"2")

    def broken(paths, targets):
        Path(targets[0]).write_bytes(b"1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(memory.fs, "get", broken)
    with pytest.raises(RuntimeError, match="no space left"):
        memory.download("x", tmp_path / "target")
    with pytest.raises(RuntimeError):
        memory.local_copy("x")
    assert not (tmp_path / "target").exists()
    assert not [p for p in cache_folder().rglob("*") if p.is_file()]


def test_a_key_that_leaves_the_store_is_not_downloaded(memory, tmp_path):
    memory.write_bytes("runs/a/x", b"1")
    key = f"{memory.root}/runs/../../../evil.txt"
    memory.fs.store[key] = memory.fs.store[memory.path("runs/a/x")]
    assert "../../../evil.txt" in memory.find("runs") and memory.list("runs") == ["a"]
    for call in (
        lambda: memory.download("runs", tmp_path / "a" / "b" / "out"),
        lambda: memory.local_copy("runs"),
    ):
        with pytest.raises(InputError, match="evil.txt' is not a name in a store"):
            call()
    with pytest.raises(InputError):
        memory.delete("runs")
    assert not list(tmp_path.rglob("evil.txt")) and key in memory.fs.store
    del memory.fs.store[key]


def test_local_copy(store):
    store.write_bytes("a/b/c", b"1")
    store.write_bytes("a/d", b"2")
    deep = store.local_copy("a/b")
    assert (deep / "c").read_bytes() == b"1"
    whole = store.local_copy("a")  # not taken for complete because a part of it was fetched before
    assert (whole / "b/c").read_bytes() == b"1" and (whole / "d").read_bytes() == b"2"
    assert store.local_copy("a/d").read_bytes() == b"2"
    assert (whole == Path(store.path("a"))) == store.is_local
    if not store.is_local:
        store.delete("a")
        assert (store.local_copy("a") / "d").read_bytes() == b"2"


def test_a_mirror_that_a_power_cut_emptied_is_made_again(memory):
    for rel in ("a/b/c", "a/d"):
        memory.write_bytes(rel, b"content")
    for damage in (
        lambda mirror: (mirror / "b/c").write_bytes(b""),
        lambda mirror: (mirror / "d").unlink(),
        lambda mirror: (mirror.with_name(f".{mirror.name}.sizes")).write_bytes(b""),
    ):
        damage(memory.local_copy("a"))
        mirror = memory.local_copy("a")
        assert (mirror / "b/c").read_bytes() == (mirror / "d").read_bytes() == b"content"
    memory.local_copy("a/d").write_bytes(b"")
    assert memory.local_copy("a/d").read_bytes() == b"content"


def test_what_is_downloaded_is_on_disk_before_it_has_its_name(memory, tmp_path, monkeypatch):
    memory.write_bytes("a/b/c", b"content")
    synced = []
    monkeypatch.setattr(atomic, "sync", lambda path: synced.append((path / "b/c").read_bytes()))
    memory.download("a", tmp_path / "a")
    memory.local_copy("a")
    assert synced == [b"content", b"content"]


def test_pickles(store):
    store.write_text("x", "1")
    again = pickle.loads(pickle.dumps(store))
    assert again.read_text("x") == "1" and again.url == store.url


def test_arrow_sees_the_same_files(store):
    import pyarrow.fs

    store.write_text("folder/x", "content")
    fs, path = pickle.loads(pickle.dumps(store.arrow()))  # as it reaches a worker
    with fs.open_input_stream(f"{path}/folder/x") as file:
        assert file.read() == b"content"
    assert isinstance(fs, pyarrow.fs.LocalFileSystem) == store.is_local


def test_relative_urls_belong_to_the_project(tmp_path):
    assert open_store("output", tmp_path).url == str(tmp_path / "output")
    assert open_store(str(tmp_path), Path("/elsewhere")).url == str(tmp_path)
    assert open_store("memory://x", tmp_path).url == "memory://x"


def test_check_passes_on_an_empty_store(store):
    store.check()
