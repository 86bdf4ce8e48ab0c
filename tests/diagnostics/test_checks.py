"""The doctor finds what is wrong, says what to do, and shows no credential."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.common.loopback import free_port
from components.common.public import without_secrets
from components.diagnostics import checks as diagnostics_checks
from components.diagnostics.checks import (
    Check,
    _creates,
    _disk,
    _dvc,
    _guarded,
    _memory,
    _process,
    _reads_and_writes,
    examine,
    leftover_ray,
    shutil,
)
from components.store import Store

TRIAL = "flows.prefect_server"


@pytest.fixture
def quick(monkeypatch):
    """Without the parts that start servers or import large libraries."""
    monkeypatch.setattr(diagnostics_checks, "_prefect", lambda _: Check("Prefect server", True, "not tried"))
    monkeypatch.setattr(diagnostics_checks, "_torch", lambda: [])
    monkeypatch.setattr(diagnostics_checks, "_ray", lambda: [])


def found(checks: list[Check]) -> dict[str, Check]:
    assert len({check.name for check in checks}) == len(checks)
    for check in checks:
        assert check.detail and "\n" not in check.detail + check.advice
        assert bool(check.advice) == (check.ok is not True) or check.name in (
            "device",
            "memory",
            "processors",
        )
    return {check.name: check for check in checks}


def test_a_healthy_project(tmp_path, quick):
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".dvc" / "config").write_text(
        "[core]\n    analytics = false\n    no_scm = True\n    remote = here\n"
        "['remote \"here\"']\n    url = ../remote\n    verify = true\n"
    )
    (tmp_path / "remote").mkdir()
    checks = found(examine(tmp_path, "output", TRIAL))
    assert all(
        checks[name].ok for name in ("Python", "DVC", "DVC remote", "store", "exclusive creation", "leases")
    )
    assert str(tmp_path / "remote") in checks["DVC remote"].detail
    assert not (tmp_path / "output").exists()  # nothing is left behind


def test_a_project_without_data_versions(tmp_path, quick):
    checks = found(examine(tmp_path, "output", TRIAL))
    assert checks["DVC repository"].ok is False and "dvc init" in checks["DVC repository"].advice


@pytest.mark.parametrize(
    "config, ok, detail",
    [
        ("", None, "none is set"),
        ("[core]\nremote = r\n['remote \"r\"']\nurl = ../nowhere\n", None, "does not exist yet"),
        ("[core]\nremote = r\n['remote \"r\"']\nurl = ../there\n", None, "not verified"),
        (
            "[core]\nremote = r\n['remote \"r\"']\nurl = s3://b/x\nendpointurl = http://127.0.0.1:9\n",
            False,
            "not answer",
        ),
    ],
)
def test_dvc_remotes(tmp_path, monkeypatch, config, ok, detail):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / ".dvc" / "config").write_text(config)
    check = found(_dvc(tmp_path))["DVC remote"]
    assert check.ok is ok and detail in check.detail


def test_dvc_analytics(tmp_path, monkeypatch):
    monkeypatch.delenv("DVC_NO_ANALYTICS", raising=False)
    (tmp_path / ".dvc").mkdir()
    assert found(_dvc(tmp_path))["DVC analytics"].ok is None
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    assert "DVC analytics" not in found(_dvc(tmp_path))


def test_a_store_without_exclusive_creation_is_told(tmp_path, quick):
    checks = found(examine(tmp_path, "memory://doctor", TRIAL))
    assert checks["store"].ok
    assert checks["exclusive creation"].ok is None
    assert "schedule" in checks["exclusive creation"].advice
    assert Store("memory://doctor").find() == []


def test_a_store_where_everybody_wins(local, monkeypatch):
    monkeypatch.setattr(Store, "create", lambda store, rel, data: store.write_bytes(rel, data) is None)
    assert _creates(local).ok is False


def test_a_store_that_forgets(local, monkeypatch):
    monkeypatch.setattr(Store, "delete", lambda *_: None)
    monkeypatch.setattr(Store, "find", lambda *_: ["folder/file"])
    check = _reads_and_writes(local, local)
    assert check.ok is False and "delete failed" in check.detail


def test_a_store_that_cannot_be_used(tmp_path, quick):
    (tmp_path / "file").touch()
    check = found(examine(tmp_path, "file", TRIAL))["store"]
    assert check.ok is False and "cannot be made there" in check.detail and check.advice


@pytest.mark.s3
def test_s3(tmp_path, quick, bucket, s3_env, monkeypatch):
    checks = found(examine(tmp_path, f"s3://{bucket}/atelier", TRIAL))
    assert all(checks[name].ok for name in ("store", "exclusive creation", "leases"))
    assert s3_env.keys(bucket) == []
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-and-private")
    checks = examine(tmp_path, f"s3://{bucket}/atelier", TRIAL)
    assert found(checks)["store"].ok is False
    assert "wrong-and-private" not in str(checks) and s3_env.key not in str(checks)


def test_no_credential_is_shown(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-private")
    monkeypatch.setenv("MY_TOKEN", "also-private")
    text = without_secrets("a very-private b also-private c postgresql://me:hidden@host/x")
    assert "private" not in text and "hidden" not in text and text.startswith("a *** b")


def test_a_check_that_breaks_is_a_finding():
    def broken():
        raise ImportError("no module named x\nmore")

    assert _guarded("X", broken) == [
        Check("X", False, "ImportError: no module named x", "Repair X and run this again.")
    ]


def test_leftover_ray(monkeypatch):
    commands = {
        12: ["/x/ray/core/raylet", "--flag"],
        7: ["python", "raylet"],
        9: [],
        5: None,
    }  # None: no access
    processes = [SimpleNamespace(pid=pid, info={"cmdline": command}) for pid, command in commands.items()]
    monkeypatch.setattr(diagnostics_checks.psutil, "process_iter", lambda _: processes)
    assert leftover_ray() == [12]


def test_little_space_and_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1 << 30}))
    monkeypatch.setattr(diagnostics_checks, "free_memory", lambda: 1 << 30)
    assert _disk("store", tmp_path / "not" / "there").ok is False
    assert _memory().ok is None


def test_a_trial_that_fails_says_what_is_wrong_and_what_to_do(monkeypatch):
    wrong, advice = "PREFECT_API_URL=x: no server can be used there (why)", "unset the variable"
    says = f"import sys; sys.exit('noise\\n{wrong}; {advice}')"
    check = diagnostics_checks._trial("Prefect server", ["-c", says], "starts", "Other advice.")
    assert check == Check("Prefect server", False, wrong, advice)
    check = diagnostics_checks._trial(
        "Ray starts", ["-c", "raise OSError('no room')"], "a job ran", "See the logs."
    )
    assert check == Check("Ray starts", False, "OSError: no room", "See the logs.")
    monkeypatch.setattr(diagnostics_checks, "TRIAL_SECONDS", 0.2)
    check = diagnostics_checks._trial(
        "Ray starts", ["-c", "import time; time.sleep(60)"], "a job ran", "See the logs."
    )
    assert check.ok is False and check.detail == "no answer within 0.2 s"


def test_a_dead_cluster_fails_the_doctor_as_it_fails_a_run(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    check = found(diagnostics_checks._ray())["Ray cluster"]
    assert check.ok is False and "127.0.0.1:" in check.detail and "RAY_ADDRESS" in check.advice


def test_a_started_program_ends_with_its_children(tmp_path):
    command = ["/bin/sh", "-c", "sleep 60 & echo $!; wait"]
    with _process(command, {}) as (process, log):
        while not log.read_text().strip():
            pass
        child = int(log.read_text())
        assert Path(f"/proc/{child}").exists()
    assert process.poll() is not None
    status, until = Path(f"/proc/{child}/status"), time.monotonic() + 10
    while status.exists() and "zombie" not in status.read_text():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_prefect_and_ray_really_start_whatever_the_proxies_and_temporary_folders(tmp_path, monkeypatch):
    """In the environment of a batch system behind a proxy; what is left behind is Prefect's records alone."""
    (long := tmp_path / ("x" * 90)).mkdir()
    changes = {"PREFECT_HOME": str(tmp_path / "home"), "TMPDIR": str(long), "PREFECT_API_URL": None}
    changes |= {"http_proxy": "http://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9", "RAY_ADDRESS": None}
    changes |= {"no_proxy": None, "NO_PROXY": None}
    for name, value in changes.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    for check in (diagnostics_checks._prefect(TRIAL), *diagnostics_checks._ray()):
        assert check.ok is not False, check
    assert not list(Path("/tmp").glob("atelier-ray-*")) and not list(long.iterdir())
    assert (tmp_path / "home" / "prefect.db").exists()


def test_what_killed_processes_left_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ATELIER_CACHE_GB", "3")
    store = tmp_path / "store"
    assert [check.ok for check in diagnostics_checks._space(tmp_path, str(store))] == [True, True]
    left = store / "store" / ".tmp-checkpoint"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    assert diagnostics_checks._space(tmp_path, str(store))[1].ok, "a running process may be writing it"
    os.utime(left, (0, 0))
    cache, unfinished = diagnostics_checks._space(tmp_path, str(store))
    assert "0.0 of at most 3 GB" in cache.detail
    assert unfinished.ok is None and unfinished.detail.startswith("1 older") and ".tmp-" in unfinished.advice
