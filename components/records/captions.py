"""The encoder of captions: text.json beside the encoded captions."""

from __future__ import annotations

from components.records.base import Record


class EncoderIdentity(Record):
    """The properties that tell two encoders of captions apart."""

    name: str
    sha256: str
    tokenizer: str
    longest: int  # tokens of a caption


class CaptionEncoder(EncoderIdentity):
    """The encoder of a data set's captions, and how many it has encoded."""

    captions: int = 0  # distinct
    tokens: int = 0  # of the longest caption
    cut: int = 0  # captions that were too long
