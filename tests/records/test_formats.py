"""formats.json, also a torn one."""

from components.records.formats import GraphFormat, GraphFormats


def test_a_format_without_files_is_not_published() -> None:
    formats = [
        GraphFormat(format="onnx", files={"model": "model.onnx"}),
        GraphFormat(format="x", error="why"),
    ]
    assert GraphFormats(formats=formats).published == formats[:1]
    assert GraphFormats.of(GraphFormats(formats=formats).to_json()).formats == formats
    assert GraphFormats.of({"formats": [{}, formats[0].to_json()]}).formats == formats[:1]
    assert GraphFormats.of(None).published == []
