from __future__ import annotations

from dataclasses import replace

import pytest

from xapi.storage.images.tree import ImageTree, Node


class Remembered(ImageTree):
    """Images that are what somebody says they are."""

    def __init__(self, *nodes: Node) -> None:
        super().__init__()
        self.there = {node.uuid: node for node in nodes}
        self.refresh()

    def refresh(self) -> None:
        for uuid in self.there.keys() | self._nodes.keys():
            self.look(uuid)

    def look(self, uuid: str) -> Node | None:
        node = self.there.get(uuid)
        if node is None:
            self._forget(uuid)
            return None
        return self._known(uuid, (node,)) or self._keep(node, (node,))


def node(uuid: str, parent: str = "", hidden: bool = False, trouble: str = "") -> Node:
    return Node(uuid, f"/{uuid}", "vhd", parent=parent, hidden=hidden, trouble=trouble)


@pytest.fixture
def family() -> Remembered:
    return Remembered(
        node("root", hidden=True), node("inner", "root", hidden=True), node("one", "inner"), node("two", "inner")
    )


def test_who_depends_on_whom(family: Remembered) -> None:
    assert family.children("inner") == {"one", "two"}
    assert family.children("one") == frozenset()
    assert sorted(family.leaves_below("root")) == ["one", "two"]
    assert family.leaves_below("one") == ["one"]
    assert [each.uuid for each in family.ancestors(family.there["one"])] == ["one", "inner", "root"]


def test_a_change_moves_an_image_to_its_new_parent(family: Remembered) -> None:
    family.there["one"] = replace(family.there["one"], parent="root")
    assert family.children("inner") == {"one", "two"}
    family.look("one")
    assert family.children("inner") == {"two"}
    assert family.children("root") == {"inner", "one"}


def test_what_nothing_depends_on_is_unused(family: Remembered) -> None:
    assert family.unused() == []
    del family.there["one"], family.there["two"]
    family.refresh()
    assert [each.uuid for each in family.unused()] == ["inner"]
    family.there["bad"] = node("bad", trouble="it is torn")
    family.refresh()
    assert family.unused() == []
    assert not family.all_parents_known()


def test_trouble_names_the_image_that_has_it(family: Remembered) -> None:
    one = family.there["one"]
    assert family.trouble(one) == ""
    assert family.is_whole(one)
    family.there["root"] = node("root", hidden=True, trouble="it is torn")
    family.refresh()
    assert family.trouble(one) == "its ancestor root is damaged: it is torn"
    assert not family.is_whole(one)
    del family.there["root"]
    family.refresh()
    assert family.trouble(one) == "its ancestor root is missing, or its parents form a loop"
    assert not family.is_whole(one)


def test_a_loop_of_parents_ends_and_is_no_whole_disk() -> None:
    family = Remembered(node("a", "b"), node("b", "a"))
    assert len(list(family.ancestors(family.there["a"]))) == 2
    assert "loop" in family.trouble(family.there["a"])
    assert not family.is_whole(family.there["a"])
    assert family.leaves_below("a") == []
