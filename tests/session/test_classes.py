from __future__ import annotations

import pytest

from napari_regcon.errors import InputError
from napari_regcon.session.classes import PALETTE, ClassTable, LabelClass


def test_a_new_session_has_background_and_one_class():
    table = ClassTable()
    assert [(c.value, c.name) for c in table] == [(1, "background"), (2, "object")]
    assert table.background == 1
    assert table.engine_names() == ("background", "object")


def test_values_keep_their_meaning_when_a_class_goes():
    table = ClassTable()
    table.add("vesicle")
    table.add("membrane")
    table.remove(3)
    assert [c.value for c in table] == [1, 2, 4]
    assert table.engine_names() == ("background", "object", "(removed 3)", "membrane")
    assert table.add("nucleus").value == 3


def test_a_painted_value_without_a_class_can_get_one():
    table = ClassTable()
    added = table.add(value=7)
    assert added.name == "class 7"
    assert added.color == PALETTE[6]
    assert len(table.engine_names()) == 7


@pytest.mark.parametrize("name", ["", "  ", "object", "Object", "(removed 3)"])
def test_unusable_names_are_refused(name):
    table = ClassTable()
    with pytest.raises(InputError, match="cannot be called"):
        table.rename(1, name)
    assert table[1].name == "background"


def test_a_class_may_keep_its_own_name():
    table = ClassTable()
    table.rename(2, "Object")
    assert table[2].name == "Object"


def test_unusable_colours_values_and_counts_are_refused():
    table = ClassTable()
    with pytest.raises(InputError, match="not a colour"):
        table.recolor(1, "red")
    with pytest.raises(InputError, match="label value 255"):
        table.add(value=255)
    with pytest.raises(InputError, match="belongs to another"):
        table.add("new", value=2)
    with pytest.raises(InputError, match="last two"):
        table.remove(1)
    with pytest.raises(InputError, match="only 1 class"):
        ClassTable([LabelClass(1, "a", "#ffffff")])


def test_names_are_found_even_where_the_obvious_one_is_taken():
    table = ClassTable()
    table.rename(2, "class 3")
    assert table.add().name == "class 4"
    table.recolor(2, "#010203")
    assert table.colors()[2] == "#010203"
    assert 2 in table
    assert len(table) == 3
