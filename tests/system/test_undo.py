import pytest

from xapi.system.undo import on_failure


def test_only_a_failure_is_undone() -> None:
    undone: list[str] = []
    with on_failure(undone.append, "first"):
        pass
    for kind in (ValueError, KeyboardInterrupt, SystemExit):
        with pytest.raises(kind), on_failure(undone.append, kind.__name__):
            raise kind
    assert undone == ["ValueError", "KeyboardInterrupt", "SystemExit"]
