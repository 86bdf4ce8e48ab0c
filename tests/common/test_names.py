"""Names that others chose, made safe."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from components.common.names import clean, displayed, first_of, is_control


@given(st.text() | st.text(alphabet=st.characters(categories=["Cc", "Cs", "Zl", "Zp", "Cf"])))
def test_a_clean_name_can_be_printed_on_one_line(name: str) -> None:
    made = clean(name)
    made.encode()
    assert len(made) == len(name) and len(made.splitlines()) <= 1
    assert not any(map(is_control, made)) and clean(made) == made
    assert [a for a, b in zip(name, made, strict=True) if a != b] == [c for c in name if is_control(c)]


@given(st.text(max_size=600))
def test_a_path_for_people_is_not_endless(path: str) -> None:
    made = displayed(path)
    assert len(made) <= 200 and (len(path) > 200 or made == clean(path))


def test_the_first_names_are_listed_and_the_others_counted() -> None:
    assert first_of(["a", "b"], 2) == "a, b" and first_of([], 2) == ""
    assert first_of([str(i) for i in range(1003)], 2) == "0, 1 and 1,001 more"
