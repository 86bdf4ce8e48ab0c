"""Whoever has a published run or model can see whether it is what was published."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from safetensors.torch import load_file, save_file

from components.common.errors import InputError
from components.publishing import verify as verifying
from components.publishing.verify import complaint, verify
from components.records.gate import Machine, Reproduction
from components.registry.models import local_model
from components.sampling import published
from components.store import Store
from flows.cli import app
from tests.publishing.exported import N, published_run

AGAIN = f"it draws its {N} published samples again, bit for bit"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    """A published run."""
    _, place = published_run(tmp_path_factory.mktemp("original"), digits, None, "cgan", "autoencoder")
    return Path(place.path())


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A copy of it in another place."""
    return Path(shutil.copytree(original, tmp_path / "moved"))


def test_a_moved_copy_is_as_published(run: Path) -> None:
    for name in (".DS_Store", "models/cgan/samples/Thumbs.db", "models/cgan/._README.md"):
        (run / name).write_bytes(b"x")  # by systems that showed the folder
    whole, *models = verify(Store(run))
    assert whole.holds == ["all files are as published"] and whole.files > 20
    assert [model.folder for model in models] == ["models/cgan", "models/autoencoder"]
    for model in models:
        assert AGAIN in model.holds and "it is not signed" in model.holds and model.problems == []
    (alone,) = verify(Store(run / "models" / "autoencoder"))
    assert AGAIN in alone.holds and alone.folder == ""
    assert complaint("x", [whole, *models, alone]) is None


def test_a_published_run_is_verified_over_a_url(run: Path) -> None:
    place = Store("memory://verified/run")
    place.upload(run, "a")
    whole, *models = verify(place.child("a"))
    assert whole.problems == [] and all(AGAIN in model.holds for model in models)


class Unlisted(SimpleHTTPRequestHandler):
    """A web server that serves files and lists none."""

    def list_directory(self, path: object) -> None:
        self.send_error(404)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Listed(Unlisted):
    """One that lists them."""

    list_directory = SimpleHTTPRequestHandler.list_directory  # type: ignore[assignment]


@pytest.mark.parametrize("handler", [Unlisted, Listed])
def test_a_run_on_a_web_server_is_verified_and_sampled(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: type[Unlisted]
) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(run)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        place = Store(f"http://127.0.0.1:{server.server_port}/models/cgan")
        (result,) = verify(place)
        assert result.problems == [] and AGAIN in result.holds
        assert (local_model(place.url) / "model.safetensors").stat().st_size
        (run / "models/cgan/samples.json").unlink()
        assert verify(place)[0].problems == ["samples.json is missing"]
    finally:
        server.shutdown()
        server.server_close()


def changed_weights(run: Path) -> None:
    file = run / "models/cgan/model.safetensors"
    save_file({name: value + 0.1 for name, value in load_file(file).items()}, file)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (changed_weights, "models/cgan/model.safetensors has other contents than were published"),
        (lambda run: (run / "models/cgan/config.json").unlink(), "models/cgan/config.json is missing"),
        (lambda run: (run / "models/cgan/extra.bin").write_bytes(b"x"), "models/cgan/extra.bin was added"),
        (
            lambda run: (run / "report/index.html").write_text("better"),
            "report/index.html has other contents",
        ),
        (lambda run: (run / "models/cgan/provenance.json").write_text("{"), "provenance.json is damaged"),
        (lambda run: (run / "manifest.json").write_text("[]"), "manifest.json is damaged"),
    ],
)
def test_what_was_changed_is_named(run: Path, change: Callable[[Path], object], sentence: str) -> None:
    change(run)
    assert sentence in (complaint("URL", verify(Store(run))) or "")


def test_samples_that_the_weights_do_not_draw_are_found(run: Path) -> None:
    """Even where the list of files was changed with them."""
    folder = run / "models/cgan"
    changed_weights(run)
    statement = json.loads((folder / "provenance.json").read_text())
    for subject in statement["subject"]:
        subject["digest"]["sha256"] = published.sha256((folder / subject["name"]).read_bytes())
    (folder / "provenance.json").write_text(json.dumps(statement))
    (result,) = verify(Store(folder))
    assert len(result.problems) == 1 and "other samples than the published ones" in result.problems[0]


def test_another_processor_may_differ_within_the_tolerance() -> None:
    here, there = Machine(processor="a", torch="2.14"), Machine(processor="b", torch="2.14")
    for difference, before, words, is_fine in (
        (0.0, None, "bit for bit", True),
        (
            0.2,
            Reproduction(difference=0.0, machine=there),
            "0.2 of 255 levels apart on average; up to 1",
            True,
        ),
        (0.2, Reproduction(difference=0.1, machine=here), "up to 1 is accepted", True),
        (
            0.2,
            Reproduction(difference=0.0, machine=here),
            "the same processor has drawn the same bits",
            False,
        ),
        (1.5, Reproduction(difference=0.0, machine=there), "other samples", False),
    ):
        result = verifying.Verified()
        now = Reproduction(images=3, difference=difference, machine=here)
        verifying._samples(now, before, result)
        (sentence,) = result.holds if is_fine else result.problems
        assert words in sentence


def test_what_is_not_published_is_bad_input(tmp_path: Path, run: Path) -> None:
    (run / "manifest.json").unlink()
    with pytest.raises(
        InputError, match=r"neither manifest.json, which a run gets when it is published whole"
    ):
        verify(Store(run))
    with pytest.raises(InputError, match="nothing is published there"):
        verify(Store(tmp_path / "nothing"))


def test_what_the_hub_adds_to_a_folder_is_no_change(run: Path) -> None:
    (run / "models/cgan/.gitattributes").write_text("*.safetensors filter=lfs")
    (result,) = verify(Store(run / "models/cgan"))
    assert result.problems == []


def test_the_command_says_what_holds_and_fails_on_what_does_not(
    run: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def called(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            app.main(["verify", *arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    code, out, _ = called(str(run))
    assert code == 0 and f"models/cgan: {AGAIN}" in out
    (run / "models/cgan/README.md").write_text("better")
    code, out, err = called(str(run), "--json")
    assert code == 1 and json.loads(out)[1]["problems"] and err.count("\n") == 1
    assert "is not as it was published: models/cgan/README.md has other contents" in err
    assert called(str(run.parent / "none"))[0] == 2
    assert torch.get_num_threads() == 1, "the number of threads is restored"
