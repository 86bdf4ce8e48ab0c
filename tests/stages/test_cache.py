"""Keys say what a result depends on; a result is whole or not there; work is shared."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from components.common.errors import RunError
from components.config.experiment import Experiment
from components.config.train import Train
from components.data.card import DataCard
from components.pipeline.plan import Plan
from components.stages import cache, code_digest, spec
from components.stages.spec import Spec, difference
from components.store import Store
from flows.run import why
from tests.stage_specs import specs


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's code that a test may change."""
    import shutil

    for package in code_digest.PACKAGES:
        shutil.copytree(code_digest.CODE / package, tmp_path / "code" / package)
    monkeypatch.setattr(code_digest, "CODE", tmp_path / "code")
    forget()
    yield tmp_path / "code"
    forget()


def forget() -> None:
    """Read the code anew."""
    code_digest._tree.cache_clear()
    code_digest._digest_and_imports.cache_clear()


def keys(**changes: Any) -> dict[str, str]:
    """The keys of a run of two families."""
    forget()
    families: dict[str, Any] = {"vae": {"lr": 1e-3, "train": {}}, "dcgan": {"lr": 2e-4, "train": {}}}
    families |= changes.pop("families", {})
    experiment = Experiment(device="cpu", families=families, **changes)
    card = DataCard(
        name="x", title="X", source="", licence="", credit="", resolution=8, channels=1,
        labels=["a", "b"], counts={"train": 8, "validation": 8, "test": 8},
    )  # fmt: skip
    return {spec.title: spec.key for spec in specs(Plan(experiment, "0123.dir", card))}


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {title for title in before if before[title] != after[title]}


VAE = {"train vae", "evaluate vae", "export vae", "latent_analysis vae", "compare", "report", "publish"}


def test_a_learning_rate_changes_its_family_and_what_depends_on_it() -> None:
    assert changed(keys(), keys(families={"vae": {"lr": 2e-3, "train": {}}})) == VAE


def test_the_number_of_workers_and_the_cadence_of_logs_change_nothing() -> None:
    train = {"vae": {"lr": 1e-3, "train": {"workers": 2, "shards": 1, "log_every": 7, "checkpoint_every": 9}}}
    with pytest.raises(ValueError, match="must divide shards"):
        Train(**train["vae"]["train"])
    train["vae"]["train"]["workers"] = 0
    assert changed(keys(), keys(families=train)) == set()


def test_shards_and_seed_change_the_training() -> None:
    for field, value in {"shards": 2, "seed": 1, "steps": 5, "precision": "float32"}.items():
        assert "train vae" in changed(keys(), keys(families={"vae": {"lr": 1e-3, "train": {field: value}}}))


def test_where_it_is_published_redoes_publishing_alone() -> None:
    assert changed(keys(), keys(publish={"url": "memory://x"})) == {"publish"}


def test_comments_and_docstrings_change_no_key(sources: Path) -> None:
    before = keys()
    edit(sources / "models" / "vae.py", "from __future__", "# A remark.\nfrom __future__")
    edit(
        sources / "components" / "training" / "ema.py",
        '"""Exponential moving average',
        '"""Another word: moving average',
    )
    edit(sources / "components" / "training" / "trainer.py", "# One step.", "# A step, and no more.")
    assert changed(before, keys()) == set()


def test_a_family_s_code_changes_that_family_alone(sources: Path) -> None:
    before = keys()
    edit(sources / "models" / "vae.py", "import math", "import math as mathematics\nimport math")
    assert changed(before, keys()) == VAE


def test_the_average_s_code_changes_every_training(sources: Path) -> None:
    before = keys()
    edit(sources / "components" / "training" / "ema.py", "0.5 **", "0.25 **")
    trainings = {title for title in before if title.split()[0] in ("train", "evaluate", "export")}
    assert changed(before, keys()) >= trainings
    assert "reference" not in changed(before, keys()) and "prepare" not in changed(before, keys())


def test_the_registry_and_the_launcher_change_nothing(sources: Path) -> None:
    before = keys()
    (sources / "models" / "registry.py").write_text(
        (sources / "models" / "registry.py").read_text() + "\nX = 1\n"
    )
    edit(sources / "components" / "cluster" / "ray_cluster.py", "MEGABYTE = 2**20", "MEGABYTE = 10**6")
    assert changed(before, keys()) == set()


def test_how_pictures_are_read_changes_no_training_and_no_numbers(sources: Path) -> None:
    before = keys()
    edit(
        sources / "components" / "data" / "sources" / "images.py",
        "SIXTEEN_BIT = 65535",
        "SIXTEEN_BIT = 65536",
    )
    assert not {title.split()[0] for title in changed(before, keys())} & {"train", "evaluate", "export"}


def test_difference_names_what_changed() -> None:
    old = {"settings": {"lr": 1e-3, "train": {"steps": 5}}, "code": {"components.ema": "aa"}}
    new = {"settings": {"lr": 2e-3, "train": {"steps": 5}}, "code": {"components.ema": "bb"}}
    assert difference(old, new) == ['code.components.ema: "aa" -> "bb"', "settings.lr: 0.001 -> 0.002"]


# Running


SPEC = Spec("toy", {"x": 1}, {}, data="d")


def body(attempt: Store, number: int) -> dict[str, Any]:
    attempt.write_text("out.txt", f"attempt {number}")
    return {"answer": 42}


def test_done_once_then_cached(store: Store) -> None:
    first = cache.run(store, SPEC, body, run_id="a")
    again = cache.run(store, SPEC, lambda *_: pytest.fail("ran again"), run_id="b")
    assert (first.state, again.state, again.run_id) == ("ran", "cached", "a")
    assert cache.read(store, again)["answer"] == 42


@pytest.mark.parametrize("harm", ["change", "remove", "result"])
def test_a_damaged_result_is_made_again(store: Store, harm: str) -> None:
    done = cache.run(store, SPEC, body, run_id="a")
    if harm == "change":
        store.write_text(f"{done.uri}/out.txt", "attempt X")
    elif harm == "remove":
        store.delete(f"{done.uri}/out.txt")
    else:
        store.write_text(f"{done.uri}/result.json", "{}")
    assert cache.finished(store, SPEC) is None
    assert cache.run(store, SPEC, body, run_id="b").state == "ran"


def test_failure_leaves_no_success_and_the_next_run_goes_on_with_the_attempt(store: Store) -> None:
    def fails(attempt: Store, number: int) -> dict[str, Any]:
        attempt.write_text("half.txt", "half")
        raise RunError("no")

    with pytest.raises(RunError):
        cache.run(store, SPEC, fails, run_id="a")
    assert cache.finished(store, SPEC) is None

    def goes_on(attempt: Store, number: int) -> dict[str, Any]:
        assert number == 1 and attempt.read_text("half.txt") == "half"
        return {}

    assert cache.run(store, SPEC, goes_on, run_id="b").attempt == 1


def test_force_opens_a_new_attempt_and_keeps_the_old(store: Store) -> None:
    cache.run(store, SPEC, body, run_id="a")
    forced = cache.run(store, SPEC, body, run_id="b", force=True)
    assert (forced.state, forced.attempt) == ("ran", 2)
    assert store.read_text(f"{SPEC.uri}/attempts/1/out.txt") == "attempt 1"
    assert cache.run(store, SPEC, body, run_id="c").attempt == 2


def test_two_at_once_share_the_work(store: Store) -> None:
    ran: list[int] = []

    def slow(attempt: Store, number: int) -> dict[str, Any]:
        ran.append(number)
        time.sleep(1)
        return {}

    results: list[str] = []
    threads = [
        threading.Thread(target=lambda i=i: results.append(cache.run(store, SPEC, slow, run_id=str(i)).state))
        for i in range(3)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert ran == [1] and sorted(results) == ["cached", "cached", "ran"]


def test_what_lies_elsewhere_must_still_be_there(store: Store) -> None:
    store.write_text("pages/index.html", "x")
    cache.run(store, SPEC, lambda *_: {"elsewhere": ["pages/index.html"]}, run_id="a")
    assert cache.finished(store, SPEC)
    store.delete("pages/index.html")
    assert cache.finished(store, SPEC) is None


def test_a_change_of_all_keys_is_one_sentence(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(spec, "SCHEMA", spec.SCHEMA - 1)
        cache.run(store, Spec("train", {}, {}), lambda *_: {}, run_id="r")
    reason = why(store, Spec("train", {}, {}))
    assert (
        reason == f"runs: this version of Atelier has other keys (schema {spec.SCHEMA - 1} -> {spec.SCHEMA})"
    )
