from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xapi.storage.coalesce.plan import (
    Image,
    MergeInner,
    MergeLeaf,
    Remove,
    Step,
    Wishes,
    after,
    next_step,
    plan,
)

EVERYTHING = Wishes()


def chain(*names: str, visible: str = "") -> list[Image]:
    """Images from the root to the leaf; those named in `visible` can be seen."""
    parents = ("", *names[:-1])
    return [Image(name, parent, name not in visible) for name, parent in zip(names, parents, strict=True)]


def test_a_visible_disk_alone_is_left_alone() -> None:
    assert plan([Image("a")], EVERYTHING) == []


def test_hidden_images_without_children_are_removed_from_the_leaf_down() -> None:
    assert plan(chain("a", "b", "c"), EVERYTHING) == [Remove("c"), Remove("b"), Remove("a")]


def test_a_chain_is_merged_from_its_root_and_the_disk_last() -> None:
    assert plan(chain("a", "b", "c", "d", visible="d"), EVERYTHING) == [
        MergeInner("b", "a"),
        MergeInner("c", "a"),
        MergeLeaf("d", "a"),
    ]


def test_a_parent_with_two_children_stays() -> None:
    images = [*chain("a", "b", visible="b"), Image("c", "a")]
    assert plan(images, EVERYTHING) == []


def test_a_hidden_image_with_two_children_is_merged_below() -> None:
    images = [*chain("a", "b", "c", visible="c"), Image("d", "b")]
    assert plan(images, EVERYTHING) == [MergeInner("b", "a")]


def test_a_visible_parent_is_never_written() -> None:
    assert plan(chain("a", "b", "c", visible="ac"), Wishes(leaf_coalesce=False)) == []


def test_wishes_are_obeyed() -> None:
    images = [*chain("a", "b", "c", visible="c"), Image("z", hidden=True)]
    assert plan(images, Wishes(collect=False)) == []
    assert plan(images, Wishes(coalesce=False)) == [Remove("z")]
    assert plan(images, Wishes(leaf_coalesce=False)) == [Remove("z"), MergeInner("b", "a")]
    assert plan(images, Wishes(pinned=frozenset("c"))) == [Remove("z"), MergeInner("b", "a")]


def test_what_another_host_uses_is_left_alone_with_all_below() -> None:
    images = [*chain("a", "b", "c", visible="c"), *chain("x", "y", visible="y")]
    assert plan(images, Wishes(elsewhere=frozenset("c"))) == [MergeLeaf("y", "x")]


def test_a_tracked_disk_keeps_what_it_holds_itself() -> None:
    images = [Image("a", hidden=True), Image("b", "a", hidden=True), Image("c", "b", tracked=True)]
    assert plan(images, EVERYTHING) == [MergeInner("b", "a")]


def test_what_cannot_be_used_is_neither_removed_nor_written_nor_read() -> None:
    assert plan([Image("a", hidden=True, usable=False)], EVERYTHING) == []
    assert plan([Image("a", hidden=True, usable=False), Image("b", "a")], EVERYTHING) == []
    assert plan([Image("a", hidden=True), Image("b", "a", usable=False)], EVERYTHING) == []


def test_a_skipped_step_is_passed_over() -> None:
    images = [*chain("a", "b", "c", visible="c")]
    assert next_step(images, EVERYTHING, frozenset({MergeInner("b", "a")})) == MergeLeaf("c", "b")


def test_parents_in_a_loop_end_the_search() -> None:
    images = [Image("a", "b", True, usable=False), Image("b", "a", True, usable=False)]
    assert plan(images, EVERYTHING) == []


@st.composite
def trees(draw: st.DrawFn) -> list[Image]:
    count = draw(st.integers(1, 14))
    images: list[Image] = []
    for index in range(count):
        above = draw(st.integers(-1, index - 1))
        images.append(Image(f"{index:02}", f"{above:02}" if above >= 0 else "", draw(st.booleans())))
    return images


Content = dict[int, str]


class Model:
    """What each image holds itself: the sectors that it has written."""

    def __init__(self, images: list[Image]) -> None:
        self.own = {image.uuid: {number % 5: image.uuid, 7: image.uuid} for number, image in enumerate(images)}
        self.images = {image.uuid: image for image in images}

    def seen(self, uuid: str) -> Content:
        image = self.images[uuid]
        return (self.seen(image.parent) if image.parent else {}) | self.own[uuid]

    def do(self, step: Step) -> None:
        children = {image.uuid for image in self.images.values() if image.parent == step.image}
        match step:
            case Remove():
                assert not children and self.images[step.image].hidden
                del self.own[step.image]
            case MergeInner():
                siblings = {image.uuid for image in self.images.values() if image.parent == step.parent}
                assert siblings == {step.image} and self.images[step.parent].hidden
                self.own[step.parent] |= self.own.pop(step.image)
            case MergeLeaf():
                assert not children
                self.own[step.image] = self.own.pop(step.parent) | self.own[step.image]
        self.images = {image.uuid: image for image in after(self.images.values(), step)}


@given(trees())
def test_no_disk_reads_otherwise_afterwards_and_nothing_is_left_to_do(images: list[Image]) -> None:
    model = Model(images)
    before = {image.uuid: model.seen(image.uuid) for image in images if not image.hidden}
    for step in plan(images, EVERYTHING):
        model.do(step)
        assert {uuid: model.seen(uuid) for uuid in before} == before
    for image in model.images.values():
        children = [one for one in model.images.values() if one.parent == image.uuid]
        assert not (image.hidden and len(children) == 0)
        if image.hidden and len(children) == 1:
            below = [one for one in model.images.values() if one.parent == children[0].uuid]
            assert not children[0].hidden and below
