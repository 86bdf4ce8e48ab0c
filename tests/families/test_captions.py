"""Captions from the data set to the networks: encoding once, training, sampling, judging, prompts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.common.errors import InputError
from components.config.evaluate import Evaluate
from components.config.train import Train
from components.data.batches import Batches
from components.data.card import DatasetCard
from components.data.dataset import open_split
from components.data.text import encode_captions, encoder, package
from components.data.text.package import DIM
from components.evaluation import parts
from components.evaluation.jobs import evaluate_family, sample, write_neighbours
from components.evaluation.reference import describe
from components.evaluation.requests import EvaluateRequest, EvaluationPaths, SampleRequest
from components.extractors.load import load_extractor
from components.extractors.make import make
from components.families import artifact, catalogue
from components.metrics.retrieval import chance, ranks
from components.sampling import to_file
from components.sampling.request import SampleOptions
from components.store import Store
from components.training import request
from components.training.job import fit
from components.training.validation import validation_batches
from flows.cli import app
from models.data_spec import DataSpec
from models.registry import FAMILIES
from tests import captioned, tiny
from tests.conftest import made_once

pytestmark = pytest.mark.usefixtures("captioned_family")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with data and its captions, encoded."""
    store = Store(str(tmp_path / "store"))
    captioned.prepared(Path(store.path("data")))
    encode_captions.encode(store, "data", "captions")
    return store


def split(store: Store, name: str) -> Any:
    return open_split(Path(store.path("data")), name, Path(store.path("captions")))


def trained(
    store: Store, family: str = "captioned", own: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    settings = Train(**{**tiny.settings().model_dump(), "snapshot_samples": 0, **changes})
    config = {**tiny.CONFIGS.get(family, {}), **(own or {})}
    fit(
        request.TrainRequest(
            family, config, settings.model_dump(), "data", "attempt", store, captions="captions"
        )
    )
    return store.read_json("attempt/trained.json")


def test_batches_carry_captions(store: Store) -> None:
    training = split(store, "train")
    batches = Batches(training, 8, seed=1)
    for step, shard, shards in ((0, 0, 1), (9, 1, 2)):
        batch = batches.at(step, shard, shards)
        own = captioned.encode(batches.captions(step, shard, shards) or [])
        np.testing.assert_array_equal(batch.text, own.tokens.astype(np.float32))
        np.testing.assert_array_equal(batch.text_mask, own.mask)
    assert Batches(open_split(Path(store.path("data")), "train"), 8, seed=1).at(0).text is None
    held = validation_batches(split(store, "validation"), 10)
    own = captioned.encode(captioned.captions(16)[10:])
    np.testing.assert_array_equal(held[1].text, own.tokens.astype(np.float32))
    assert held[1].text_mask is not None and len(held[1].text_mask) == 6


def test_a_card_tells_of_captions_only_families_that_are_told_them(tmp_path: Path) -> None:
    with_captions = DatasetCard.read(captioned.prepared(tmp_path / "a"))
    without = DatasetCard.read(captioned.prepared(tmp_path / "b", captioned=False))
    assert catalogue.card_for("captioned", {}, with_captions).text == DIM
    assert catalogue.card_for("captioned", {}, without).text == 0
    assert catalogue.card_for("dcgan", {}, with_captions).text == 0
    assert catalogue.conditions("cgan", {}, DataSpec(1, 8, 10)) == {"label"}


def test_training_is_told_captions_and_leaves_what_is_needed_for_prompts(store: Store) -> None:
    result = trained(store, steps=60, checkpoint_every=60, validate_every=60, sample_images=10)
    described = store.read_json("attempt/model/config.json")
    assert described["encoder"]["sha256"] == package.SHA256 and described["card"]["text"] == DIM
    assert result["samples"]["titles"] == captioned.captions(10)


def test_a_family_that_is_not_told_captions_needs_none(store: Store) -> None:
    store.delete("captions")
    result = trained(store, "dcgan", steps=2)
    described = store.read_json("attempt/model/config.json")
    assert described["card"]["text"] == 0 and described["encoder"] is None and not result["samples"]["titles"]


def test_diffusion_is_told_captions_where_it_is_asked_to_be(store: Store, tmp_path: Path) -> None:
    trained(store, "diffusion", {"condition": "text", "sampler_steps": 2}, steps=2)
    folder = Path(store.path("attempt/model"))
    assert store.read_json("attempt/model/config.json")["card"]["text"] == DIM
    for name, prompts in (("a", ["black disc"]), ("b", ["white dot"]), ("none", [])):
        options = SampleOptions(prompts=prompts, guidance_scale=2.0, steps=3, sampler="euler")
        to_file.sample_to_file(folder, tmp_path / f"{name}.png", n=2, options=options)
        assert pixels(tmp_path / f"{name}.png", 2).std() > 1
    data = DatasetCard.read(Path(store.path("data")))
    assert catalogue.card_for("diffusion", {"condition": "none"}, data).text == 0
    assert catalogue.conditions("diffusion", {"condition": "none"}, DataSpec(1, 8, 10)) == frozenset()
    with pytest.raises(InputError, match="needs encoded captions, and the data has none"):
        catalogue.build("diffusion", {"condition": "text"}, DataSpec(1, 8, 10))


# Prompts


def pixels(path: Path, n: int) -> np.ndarray:
    return np.asarray(Image.open(path)).reshape(8, n, 8).transpose(1, 0, 2)


@pytest.fixture
def model(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in the store, trained once."""

    def make(folder: Path) -> None:
        trained(store, steps=40, checkpoint_every=40, validate_every=40)
        shutil.copytree(store.path("attempt"), folder)

    attempt = made_once(tmp_path_factory, "captioned-attempt", make)
    shutil.copytree(attempt, store.path("attempt"), dirs_exist_ok=True)
    return Path(store.path("attempt/model"))


def test_prompts_take_turns_and_say_what_is_drawn(model: Path, store: Store, tmp_path: Path) -> None:
    out = tmp_path / "x.png"
    to_file.sample_to_file(model, out, n=4, options=SampleOptions(prompts=["black disc", "white dot"]))
    drawn = pixels(out, 4).astype(float)
    assert (drawn[0] == drawn[2]).all() and (drawn[1] == drawn[3]).all()
    test = split(store, "test")
    for image, prompt in zip(drawn[:2], ("black disc", "white dot"), strict=True):
        distances = np.square(test.images[:][:, 0] - image).mean((1, 2))
        assert test.captions[int(distances.argmin())] == prompt
    to_file.sample_to_file(model, tmp_path / "none.png", n=1)
    assert np.ptp(pixels(tmp_path / "none.png", 1)) < 64 < np.ptp(drawn[0]), "no caption: an image of nothing"


def test_settings_of_sampling_are_overridden(model: Path, tmp_path: Path) -> None:
    for name, guidance in (("a", None), ("b", 0.0)):
        options = SampleOptions(prompts=["black disc"], guidance_scale=guidance, steps=3)
        to_file.sample_to_file(model, tmp_path / f"{name}.png", n=1, options=options)
    assert np.ptp(pixels(tmp_path / "a.png", 1)) > 64 and np.ptp(pixels(tmp_path / "b.png", 1)) == 0
    generator, _, model_config = artifact.load_model(model, {"sampler_steps": ("--steps", 3)})
    assert model_config.config["sampler_steps"] == 3 and generator.config.sampler_steps == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SampleOptions(steps=0), "--steps 0 is not accepted: .*greater than or equal to 1"),
        (SampleOptions(sampler="heun"), "--sampler heun: captioned has no such setting"),
        (SampleOptions(label="3"), "--label 3: .*without labels"),
        (SampleOptions(source=Path("x.png")), "takes no --source"),
        (SampleOptions(prompts=["word " * 40]), "--prompt: at most 32 tokens"),
    ],
)
def test_bad_options(options: SampleOptions, message: str, model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        to_file.sample_to_file(model, tmp_path / "x.png", n=1, options=options)
    assert not (tmp_path / "x.png").exists()


def test_a_prompt_needs_the_encoder_that_the_model_knows(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SampleOptions(prompts=["black disc"])
    for of, key in (("SHA256", "sha256"), ("TOKENIZER_SHA256", "tokenizer")):
        with monkeypatch.context() as other, pytest.raises(InputError, match=f"another: {key} .* is 0000"):
            other.setattr(package, of, "0" * 64)
            to_file.sample_to_file(model, tmp_path / "x.png", n=1, options=options)
    monkeypatch.undo()
    monkeypatch.setitem(FAMILIES, "captioned", captioned.Captioned)
    monkeypatch.setattr(package, "PACKAGES", ("not_installed",))
    encoder.load.cache_clear()
    with pytest.raises(InputError, match="pip install --no-deps"):
        to_file.sample_to_file(model, tmp_path / "x.png", n=1, options=options)


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("dcgan", SampleOptions(prompts=["a"]), "--prompt 'a': this model was trained without captions"),
        ("dcgan", SampleOptions(steps=4), "--steps 4: dcgan has no such setting"),
        ("dcgan", SampleOptions(guidance_scale=2.0), "--guidance-scale 2.0: dcgan has no such setting"),
        ("cgan", SampleOptions(label="10"), "--label 10: unknown class"),
        ("diffusion", SampleOptions(prompts=["a"]), "without captions"),
        ("diffusion", SampleOptions(sampler="none"), "--sampler none is not accepted"),
        ("diffusion", SampleOptions(guidance_scale=-1.0), "--guidance-scale -1.0 is not accepted"),
    ],
)
def test_wishes_that_other_families_cannot_fulfil(
    family: str, options: SampleOptions, message: str, tmp_path: Path
) -> None:
    store, card = Store(str(tmp_path)), DataSpec(1, 8, 10)
    built = catalogue.build(family, tiny.CONFIGS[family], card)
    job = request.TrainRequest(
        family, catalogue.config_of(family, tiny.CONFIGS[family]), {}, "data", "", store
    )
    artifact.save_model(store, "model", job.family, job.config, built.generator, card, None)
    with pytest.raises(InputError, match=message):
        to_file.sample_to_file(tmp_path / "model", tmp_path / "x.png", n=1, options=options)


def test_nothing_to_be_guided_by(tmp_path: Path) -> None:
    store, card = Store(str(tmp_path)), DataSpec(1, 8)
    built = catalogue.build("diffusion", tiny.CONFIGS["diffusion"], card)
    job = request.TrainRequest(
        "diffusion", catalogue.config_of("diffusion", tiny.CONFIGS["diffusion"]), {}, "", "", store
    )
    artifact.save_model(store, "model", job.family, job.config, built.generator, card, None)
    with pytest.raises(
        InputError, match="--guidance-scale 2: this model is conditioned on neither classes nor captions"
    ):
        to_file.sample_to_file(
            tmp_path / "model", tmp_path / "x.png", n=1, options=SampleOptions(guidance_scale=2.0)
        )


# Judging


def judged_by(store: Store) -> Path:
    """A reference in the store, and its extractor."""
    reference = Path(store.path("reference"))
    data, settings = Path(store.path("data")), Evaluate(extractor="rotation", extractor_steps=16)
    splits = {name: open_split(data, name) for name in captioned.SPLITS}
    make("rotation", settings, splits["train"], splits["validation"], reference / "extractor")
    see = load_extractor(reference / "extractor")
    (reference / "features").mkdir()
    for name, each in splits.items():
        np.save(reference / "features" / f"{name}.npy", see(each.images[:]))
    describe(data, reference, reference / "extractor", 24, classifier_steps=8)
    return reference


def test_samples_of_captions_are_judged_by_retrieval(model: Path, store: Store, tmp_path: Path) -> None:
    see = load_extractor(judged_by(store) / "extractor")
    places = EvaluationPaths(store, "data", "reference/extractor", "parts", "reference", captions="captions")
    sample(SampleRequest(places, "attempt/model", 24, seed=0))
    metric = evaluate_family(EvaluateRequest(places, "attempt", "captioned", "out", published=False)).metrics
    result, names = metric["retrieval_top5"], split(store, "test").text.rows
    fake = parts.merge_parts(store, "parts", "features", tmp_path)
    assert fake is not None
    right = ranks(fake, names, see(split(store, "test").images[:]), names) < 5
    assert (
        result.value == right.mean() > result.real_baseline == pytest.approx(chance(names, names)) == 5 / 24
    )
    assert result.better == "higher" and result.n == 24 and str(result.interval).startswith("Wilson")
    assert result.low <= result.value <= result.high and result.recipe["baseline"] == "chance"


def test_the_command_line_prints_nothing_but_the_path(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.png"
    words = [
        "sample",
        str(model),
        "-n",
        "2",
        "--prompt",
        "black disc",
        "--prompt",
        "white dot",
        "-o",
        str(out),
    ]
    with pytest.raises(SystemExit) as ended:
        app.main(words)
    assert ended.value.code == 0
    printed, error = capsys.readouterr()
    assert printed == f"{out}\n" and error.startswith("next: ") and pixels(out, 2).std() > 1
    with pytest.raises(SystemExit) as ended:
        app.main([*words, "--nearest"])
    assert ended.value.code == 2 and "--nearest: name a run" in capsys.readouterr().err


def test_a_prompt_without_the_encoder_ends_with_2_and_says_what_to_install(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(texts: list[str]) -> None:
        monkeypatch.setattr(package, "PACKAGES", ("not_installed",))
        package.need_encoder()

    monkeypatch.setattr(encoder, "encode", missing)
    with pytest.raises(SystemExit) as ended:
        app.main(["sample", str(model), "-n", "1", "--prompt", "black disc", "-o", str(tmp_path / "x.png")])
    assert ended.value.code == 2 and "make setup-text" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("n", [3, 24])
def test_under_each_sample_is_the_nearest_training_image(store: Store, tmp_path: Path, n: int) -> None:
    reference, images = judged_by(store), split(store, "train").images[:]
    (tmp_path / "run").mkdir()
    for stage in ("prepare", "extractor"):
        store.write_text(f"{stage}/_", "")
    Path(store.path("data")).rename(store.path("prepare/data"))
    Path(reference / "extractor").rename(store.path("extractor/extractor"))
    stages = {name: name for name in ("prepare", "extractor", "reference")}
    write_neighbours(images[5 : 5 + n], tmp_path / "n.png", store, stages)
    width = min(n, 10)
    tiles = np.asarray(Image.open(tmp_path / "n.png")).reshape(-1, 8, width, 8).transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(tiles[::2], tiles[1::2])  # copies of training images are their own nearest
    np.testing.assert_array_equal(tiles[0], images[5 : 5 + width, 0])
