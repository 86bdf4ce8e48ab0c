"""The card that goes with an exported model."""

from __future__ import annotations

from typing import Any

NAMES = {
    "frechet_distance": "Frechet distance",
    "fid": "FID",
    "kid": "KID",
    "r_frechet_distance": "Frechet distance of reconstructions",
    "rfid": "FID of reconstructions",
    "r_kid": "KID of reconstructions",
    "mse": "Mean squared error",
    "psnr": "PSNR (dB)",
    "label_accuracy": "Judged to be of the class asked for",
}


def model_card(data: dict[str, Any], result: dict[str, Any]) -> str:
    """A model card in Markdown.

    Args:
        data: the data set's card.json.
        result: what is known of the family (work.result).
    """
    family = result["family"]
    lines = [
        f"# {family} on {plain(data['title'])}",
        "",
        f"{plain(result['paper'])}.",
        "",
        f"Trained by Atelier on {result['images_seen']:,} images ({result['train']['steps']:,} steps, "
        f"{result['train_seconds']:.0f} seconds); {result['parameters']:,} parameters; EMA weights.",
        "",
        "![samples](samples.webp)",
        "",
        "## Data",
        "",
        f"{plain(data['title'])}: {data['counts']['train']:,} training images of "
        f"{data['resolution']} x {data['resolution']} pixels, {data['channels']} channel(s).",
        "",
        f"- Source: {plain(data['source'])}",
        f"- Licence: {plain(data['licence'])}",
        f"- Credit: {plain(data['credit'])}",
        "",
        "## Measured",
        "",
        "| metric | value | floor | images | extractor |",
        "| --- | --- | --- | --- | --- |",
        *(_row(name, metric) for name, metric in result["metrics"].items()),
        "",
        "The floor is what real training images score against the same test images. Numbers of different",
        "extractors, counts or data are not comparable; none is the literature's FID unless it says FID.",
        "",
        "## Use",
        "",
        "    atelier sample FOLDER -n 16 --seed 0 -o samples.png",
        "",
        "where FOLDER holds this file, `model.safetensors` and `config.json`; nothing else is needed.",
        "",
    ]
    return "\n".join(lines)


def plain(text: str) -> str:
    """Text of unknown origin without anything Markdown or HTML would act on."""
    return (
        "".join(c for c in text if c.isprintable()).replace("<", "&lt;").replace("|", "/").replace("`", "'")
    )


def _row(name: str, metric: dict[str, Any]) -> str:
    floor = "" if metric["floor"] is None else f"{metric['floor']:.4g}"
    extractor = metric["extractor"] or ""
    if metric["extractor_hash"]:
        extractor += f" {metric['extractor_hash'][:8]}"
    return f"| {NAMES.get(name, name)} | {metric['value']:.4g} | {floor} | {metric['n']} | {extractor} |"
