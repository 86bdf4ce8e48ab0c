"""Read YAML of plain values, of limited size; write it on one line."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import yaml

# For a date such as 2024-13-45, for tags or for deep nesting, PyYAML raises errors that are not YAMLError.
NOT_YAML = (yaml.YAMLError, ValueError, AttributeError, IndexError, RecursionError)
LARGEST = 100_000  # values, with each alias counted as what it stands for


Path = tuple[str, ...]  # of keys
NULL, TEXT = "tag:yaml.org,2002:null", "tag:yaml.org,2002:str"


def read_yaml(text: str, texts: Container[Path] = (), at: Path = ()) -> Any:
    """Return the plain value in a YAML text.

    Args:
        text: YAML.
        texts: where values are text, also those that look like numbers, dates or yes and no.
        at: where the value itself is.

    Raises:
        NOT_YAML: it is not YAML, or it has too many values: a few lines of aliases stand for any number.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _keep_text(node, texts, at)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def one_line(value: Any) -> str:
    """Return a plain value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).splitlines()[0]


def _keep_text(node: yaml.Node, texts: Container[Path], at: Path) -> None:
    """Make the values at `texts` in a node text, those in lists too."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _keep_text(value, texts, (*at, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _keep_text(value, texts, at)
    elif at in texts and node.tag != NULL:
        node.tag = TEXT


class _Loader(yaml.SafeLoader):
    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _size(node, {}) > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} values, aliases included")
        return node


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return the number of values in a node; `sizes` holds those of nodes that were counted before."""
    if id(node) not in sizes:
        sizes[id(node)] = LARGEST + 1  # of a value that contains itself
        values = node.value if isinstance(node, yaml.CollectionNode) else []
        pairs = values if isinstance(node, yaml.MappingNode) else [values]
        sizes[id(node)] = 1 + sum(_size(part, sizes) for pair in pairs for part in pair)
    return sizes[id(node)]
