"""Ids are the same ids as texts of Python and as an Arrow column."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from contracts.ids import Ids, Texts, as_texts, chosen_ids, column_of, joined_ids
from contracts.state import pack, unpack

NAMES = ["ann", "", "zoë", "ann"]


def in_python(names: list[str]) -> Texts:
    texts = np.empty(len(names), object)
    texts[:] = names
    return texts


def in_arrow(names: list[str]) -> Ids:
    column: Ids = pa.array(names, pa.string())
    return column


FORMS = pytest.mark.parametrize("form", [in_python, in_arrow])


@FORMS
@pytest.mark.parametrize("names", [NAMES, []])
def test_both_forms_hold_the_same_ids(form: Callable[[list[str]], Ids], names: list[str]) -> None:
    ids = form(names)
    assert as_texts(ids).dtype == object
    assert as_texts(ids).tolist() == column_of(ids).to_pylist() == ids.tolist() == names
    assert column_of(ids).type == pa.string()


@FORMS
def test_some_ids_have_the_form_of_all(form: Callable[[list[str]], Ids]) -> None:
    ids = form(NAMES)
    some = chosen_ids(ids, np.array([True, False, True, False]))
    assert (some.tolist(), type(some)) == (["ann", "zoë"], type(ids))


@FORMS
def test_ids_of_several_blocks_are_joined(form: Callable[[list[str]], Ids]) -> None:
    assert joined_ids([form(NAMES), in_arrow(["b"]), form([])]).tolist() == [*NAMES, "b"]
    assert isinstance(joined_ids([in_python(NAMES), in_python(["b"])]), np.ndarray)


@FORMS
def test_ids_come_back_from_stored_state_as_texts(form: Callable[[list[str]], Ids]) -> None:
    assert unpack(pack(form(NAMES)), Texts).tolist() == NAMES
