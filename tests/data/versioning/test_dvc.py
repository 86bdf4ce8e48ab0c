import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from components.common.errors import InputError, RunError
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.data.sources.prepare import add, prepare
from components.data.versioning import dvc, pins
from components.data.versioning import pins as versioning_pins
from components.data.versioning.pins import versions
from tests.data.pictures import contents, fill


@pytest.fixture
def tracked(home):
    """A project with the data set `digits`, tracked, and its version."""
    prepare("digits", home)
    return home, dvc.track(home, "digits").version


def git(home: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", "-C", str(home), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout


def two_versions(home: Path, tmp_path: Path, commit: bool = False) -> tuple[str, str]:
    """A data set of 30 images, then of 35, each tracked (and committed and tagged)."""
    images, hashes = tmp_path / "images", []
    if commit:
        git(home, "init")
        (home / ".gitignore").write_text("data/*\n!data/*.dvc\n.atelier/\n")
    for number, count in enumerate((30, 35), 1):
        add("mine", fill(images, count), home)
        hashes.append(dvc.track(home, "mine").version)
        if commit:
            git(home, "add", "-A")
            git(home, "commit", "-m", f"data {number}")
            git(home, "tag", f"v{number}")
    return hashes[0], hashes[1]


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        (".gitignore", "data/\n", r"git ignores the file that pins the version .*: write `data/\*` and"),
        (
            ".dvc/config",
            "[core\n",
            r"the settings of DVC cannot be read \(.*\): repair .*config, or config.local",
        ),
    ],
)
def test_what_keeps_dvc_from_pinning_is_one_sentence(home, tmp_path, file, text, sentence):
    add("mine", fill(tmp_path / "images", 30), home)
    git(home, "init")
    (home / ".dvc").mkdir(exist_ok=True)
    (home / file).write_text(text)
    with pytest.raises(InputError, match=sentence):
        dvc.track(home, "mine")
    assert pins.pinned(home, "mine") is None
    (home / file).write_text("data/*\n!data/*.dvc\n" if file == ".gitignore" else "")
    assert dvc.track(home, "mine").new


def test_the_version_is_the_one_dvc_computes(tracked):
    home, version = tracked
    assert version == pins.folder_md5(home / "data/digits") and version.endswith(".dir")
    from dvc.repo import Repo

    with Repo(str(home), config={"core": {"no_scm": True}}) as repo:
        assert repo.status() == {}
        (stage,) = repo.add(str(home / "data/digits"))
        assert stage.outs[0].hash_info.value == version


def test_the_quick_starts_set_is_pinned_beside_the_readme_and_others_in_data(tracked):
    home, version = tracked
    assert pins.dvc_file(home, "mnist5k") == home / "data.dvc"
    assert pins.pinned(home, "digits") == version and pins.pinned(home, "mnist5k") is None
    assert "path: digits" in (home / "data/digits.dvc").read_text()
    prepare("mnist5k", home)
    dvc.track(home, "mnist5k")
    assert "path: data/mnist5k" in (home / "data.dvc").read_text()
    assert versioning_pins.tracked(home) == ["mnist5k", "digits"]


def test_a_folder_is_not_taken_for_a_pin(tracked):
    home, _ = tracked
    (home / "data/x.dvc").mkdir()
    assert versioning_pins.tracked(home) == ["digits"]


def test_tracking_again_changes_nothing_and_does_not_import_dvc(tracked, monkeypatch):
    home, version = tracked
    monkeypatch.setattr(dvc, "in_dvc", lambda *_: pytest.fail("asked DVC"))
    assert dvc.track(home, "digits") == dvc.Version("digits", version, new=False)


def test_a_damaged_folder_is_not_tracked(tracked):
    home, version = tracked
    (home / "data/digits/test/labels.npy").unlink()
    with pytest.raises(RunError, match="test/labels.npy is missing"):
        dvc.track(home, "digits")
    assert pins.pinned(home, "digits") == version


def test_when_dvc_fails_the_pin_is_as_it_was(home, monkeypatch):
    prepare("digits", home)
    monkeypatch.setattr(dvc, "in_dvc", lambda *_: (_ for _ in ()).throw(RunError("no")))
    with pytest.raises(RunError):
        dvc.track(home, "digits")
    assert not (home / "data/digits.dvc").exists()


def test_verify_names_the_files_that_differ(tracked):
    home, _ = tracked
    dvc.verify(home, "digits")
    (home / "data/digits/test/labels.npy").write_bytes(b"x")
    with pytest.raises(RunError, match=r"digits.dvc pins .* \(test/labels.npy\)"):
        dvc.verify(home, "digits")
    shutil.rmtree(home / "data/digits")
    with pytest.raises(
        InputError, match="not prepared: run `atelier data prepare digits` or `atelier data pull`"
    ):
        dvc.verify(home, "digits")


def test_a_snapshot_is_the_version_read_only(tracked):
    home, version = tracked
    folder, result = dvc.snapshot(home, "digits")
    assert result == version and folder == home / ".atelier/data" / version.removesuffix(".dir")
    assert contents(folder) == contents(home / "data/digits")
    assert all(path.stat().st_mode & 0o222 == 0 for path in folder.rglob("*") if path.is_file())
    DatasetCard.read(folder).verify(folder)
    assert len(open_split(folder, "test")) == 359


def test_a_snapshot_that_is_there_is_found_without_dvc(tracked):
    home, version = tracked
    dvc.snapshot(home, "digits")
    code = (
        "import sys; from pathlib import Path; from components.data.versioning import dvc\n"
        f"print(dvc.snapshot(Path({str(home)!r}), 'digits')[1], 'dvc' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [version, "False"]


def test_preparing_new_data_never_touches_a_snapshot(home, tmp_path):
    images = fill(tmp_path / "images", 30)
    add("mine", images, home)
    dvc.track(home, "mine")
    folder, old = dvc.snapshot(home, "mine")
    before, reading = contents(folder), open_split(folder, "train")
    first = reading.images[:].copy()
    add("mine", fill(images, 5, first=50), home)
    new = dvc.track(home, "mine").version
    assert new != old and contents(folder) == before and (reading.images[:] == first).all()
    assert dvc.snapshot(home, "mine")[1] == new
    assert dvc.snapshot(home, "mine", old) == (folder, old)


def test_an_older_version_is_found_by_commit_tag_and_hash(home, tmp_path):
    old, new = two_versions(home, tmp_path, commit=True)
    for revision in ("v1", "HEAD~1", git(home, "rev-parse", "v1").strip(), old, old[:32], old[:6]):
        folder, version = dvc.snapshot(home, "mine", revision)
        assert version == old and sum(DatasetCard.read(folder).counts.values()) == 30
    assert dvc.snapshot(home, "mine")[1] == dvc.snapshot(home, "mine", "v2")[1] == new
    assert (
        pins.pinned(home, "mine") == new and sum(DatasetCard.read(home / "data/mine").counts.values()) == 35
    )
    rows = versions(home, "mine")
    assert [row["version"] for row in rows] == [new, old] and [row["current"] for row in rows] == [
        True,
        False,
    ]
    assert rows[1]["message"] == "data 1" and rows[1]["commit"] == git(home, "rev-parse", "v1").strip()


def test_versions_are_known_without_git_too(home, tmp_path):
    old, new = two_versions(home, tmp_path)
    rows = versions(home, "mine")
    assert {row["version"] for row in rows} == {old, new} and {row["commit"] for row in rows} == {None}
    assert dvc.snapshot(home, "mine", old[:8])[1] == old


@pytest.mark.parametrize("revision", ["nonsense", "abcdef", "--help", "../x", "", "abc"])
def test_an_unknown_revision_is_told(tracked, revision):
    home, version = tracked
    with pytest.raises(InputError, match=f"no revision '{revision}'.*known: {version[:10]}"):
        dvc.snapshot(home, "digits", revision)


def test_a_set_that_is_not_there_is_told(home):
    with pytest.raises(InputError, match="no data set 'mine': run `atelier data prepare mine`"):
        dvc.snapshot(home, "mine")


def test_a_prepared_set_that_was_never_tracked_gets_its_first_version(home):
    prepare("digits", home)
    _, version = dvc.snapshot(home, "digits")
    assert pins.pinned(home, "digits") == version


def test_a_fresh_clone_prepares_the_pinned_version_and_runs(tracked, tmp_path):
    home, version = tracked
    clone = tmp_path / "clone"
    (clone / "data").mkdir(parents=True)
    shutil.copy(home / "data/digits.dvc", clone / "data")
    with pytest.raises(InputError, match="is not on this machine and there is no DVC remote"):
        dvc.snapshot(clone, "digits")
    prepare("digits", clone)
    folder, result = dvc.snapshot(clone, "digits")
    assert result == version and contents(folder) == contents(home / "data/digits")
    assert (clone / "data/digits.dvc").read_text() == (home / "data/digits.dvc").read_text()


def test_a_damaged_cache_is_noticed_and_cleared(tracked):
    home, version = tracked
    entry = next(e for e in pins.read_listing(home, version) if e["relpath"] == "test/labels.npy")
    stored = pins.cached(home, entry["md5"])
    stored.chmod(0o644)
    stored.write_bytes(b"x")
    with pytest.raises(RunError, match="damaged copy of test/labels.npy, now removed"):
        dvc.snapshot(home, "digits")
    assert dvc.snapshot(home, "digits")[1] == version, "the folder still had it"


def test_a_killed_snapshot_leaves_no_half_one(tracked, monkeypatch):
    home, version = tracked
    half = home / ".atelier/data" / f".{version.removesuffix('.dir')}.new"
    half.mkdir(parents=True)
    (half / "card.json").write_text("{}")
    folder, _ = dvc.snapshot(home, "digits")
    assert not half.exists() and (folder / "test/labels.npy").exists()


def test_many_at_once_share_one_snapshot(tracked):
    home, _ = tracked
    snapshots = []
    threads = [
        threading.Thread(target=lambda: snapshots.append(dvc.snapshot(home, "digits"))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(snapshots) == 6 and len(set(snapshots)) == 1


def test_somebody_elses_lock_is_waited_for(tracked, monkeypatch):
    from dvc.lock import LockError

    home, _ = tracked
    tries = []

    def busy(repo):
        tries.append(1)
        if len(tries) < 3:
            raise LockError("busy")
        return "done"

    monkeypatch.setattr(dvc.time, "sleep", lambda _: None)
    assert dvc.in_dvc(home, busy) == "done"
    monkeypatch.setattr(dvc, "LOCK_SECONDS", -1)
    with pytest.raises(RunError, match="another DVC command has held the lock"):
        dvc.in_dvc(home, lambda repo: (_ for _ in ()).throw(LockError("busy")))


def test_push_and_pull_through_a_folder(home, tmp_path):
    old, new = two_versions(home, tmp_path)
    dvc.set_remote(home, str(tmp_path / "remote"))
    assert "verify = True" in (home / ".dvc/config.local").read_text()
    assert [row["remote"] for row in dvc.status(home)] == [False]
    (row,) = dvc.push(home)
    assert row["version"] == new and row["files"] == 5
    assert dvc.push(home, ["mine"])[0]["files"] == 0, "it is there already"
    assert [row["remote"] for row in dvc.status(home)] == [True]

    clone = tmp_path / "clone"
    (clone / "data").mkdir(parents=True)
    shutil.copy(home / "data/mine.dvc", clone / "data")
    dvc.set_remote(clone, str(tmp_path / "remote"))
    assert dvc.snapshot(clone, "mine")[1] == new, "a snapshot fetches what it needs"
    assert not (clone / "data/mine").exists()
    assert dvc.pull(clone) == [{"name": "mine", "version": new, "changed": True}]
    assert contents(clone / "data/mine") == contents(home / "data/mine")
    assert dvc.pull(clone)[0]["changed"] is False
    assert os.access(clone / "data/mine/card.json", os.W_OK)


def test_an_emptied_remote_is_filled_again(tracked, tmp_path):
    home, _ = tracked
    dvc.set_remote(home, str(tmp_path / "remote"))
    dvc.push(home)
    shutil.rmtree(tmp_path / "remote")
    assert dvc.status(home)[0]["remote"] is False
    assert dvc.push(home)[0]["files"] >= 7
    assert dvc.status(home)[0]["remote"] is True


def test_a_damaged_remote_is_not_believed(tracked, tmp_path):
    home, version = tracked
    dvc.set_remote(home, str(tmp_path / "remote"))
    dvc.push(home)
    entry = pins.read_listing(home, version)[-1]
    (stored,) = (tmp_path / "remote").rglob(entry["md5"][2:])
    stored.chmod(0o644)
    stored.write_bytes(b"x" * stored.stat().st_size)
    clone = tmp_path / "clone"
    (clone / "data").mkdir(parents=True)
    shutil.copy(home / "data/digits.dvc", clone / "data")
    dvc.set_remote(clone, str(tmp_path / "remote"))
    with pytest.raises((InputError, RunError), match="is missing or damaged in the remote"):
        dvc.pull(clone)
    assert not (clone / "data/digits").exists() and not list((clone / ".atelier/data").glob("[!.]*"))


def test_pull_does_not_overwrite_data_that_no_version_has(home, tmp_path):
    two_versions(home, tmp_path)
    add("mine", fill(tmp_path / "images", 3, first=90), home)
    with pytest.raises(InputError, match="has data that is in no version"):
        dvc.pull(home)
    assert dvc.status(home)[0]["changed"] is True


def test_without_a_remote_push_says_how_to_get_one(tracked):
    home, _ = tracked
    with pytest.raises(InputError, match="no DVC remote: `atelier data remote"):
        dvc.push(home)
    assert dvc.status(home)[0]["remote"] is None
    with pytest.raises(InputError, match="'mine' is not versioned; versioned here: digits"):
        dvc.push(home, ["mine"])


def test_a_remote_with_credentials_in_its_url_is_refused(home):
    with pytest.raises(InputError):
        dvc.set_remote(home, "s3://key:secret@bucket/data")


def test_status_tells_what_is_where(tracked, tmp_path):
    home, version = tracked
    add("mine", fill(tmp_path / "images", 24), home)
    rows = {row["name"]: row for row in dvc.status(home)}
    assert rows["digits"] == {
        "name": "digits", "prepared": True, "pinned": version, "version": version,
        "changed": False, "cached": True, "remote": None,
    }  # fmt: skip
    assert rows["mine"]["pinned"] is None and rows["mine"]["changed"] and not rows["mine"]["cached"]


def test_a_half_written_history_is_read(tracked):
    home, version = tracked
    with open(pins.history_file(home, "digits"), "a") as file:
        file.write(json.dumps({"version": "f" * 32})[:20])
    assert [row["version"] for row in versions(home, "digits")] == [version]


@pytest.mark.s3
def test_push_and_pull_through_an_object_store(tracked, tmp_path, bucket):  # noqa: F811
    home, version = tracked
    dvc.set_remote(home, f"s3://{bucket}/dvc")
    assert dvc.push(home)[0]["files"] >= 7
    assert dvc.status(home)[0]["remote"] is True
    assert "secret" not in (home / ".dvc/config").read_text()
    clone = tmp_path / "clone"
    (clone / "data").mkdir(parents=True)
    shutil.copy(home / "data/digits.dvc", clone / "data")
    shutil.copytree(home / ".dvc", clone / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    assert dvc.pull(clone) == [{"name": "digits", "version": version, "changed": True}]


@pytest.mark.s3
def test_a_missing_bucket_is_one_sentence(tracked, s3_env):  # noqa: F811
    home, _ = tracked
    dvc.set_remote(home, "s3://there-is-no-such-bucket/dvc")
    with pytest.raises(InputError, match=r"s3://there-is-no-such-bucket/dvc.*: there is no such bucket"):
        dvc.push(home)


@pytest.mark.s3
def test_wrong_credentials_are_one_sentence(tracked, bucket, monkeypatch):  # noqa: F811
    home, _ = tracked
    dvc.set_remote(home, f"s3://{bucket}/dvc")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(InputError, match=f"s3://{bucket}/dvc.*: access denied; check the credentials"):
        dvc.push(home)


def test_a_remote_with_a_password_is_not_written_where_git_tracks_it(home):
    dvc.set_remote(home, "ssh://user:S3CR3T@host/path")
    assert "S3CR3T" not in (home / ".dvc/config").read_text()
    assert "S3CR3T" in (home / ".dvc/config.local").read_text()
