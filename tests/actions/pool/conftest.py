import pytest

from tests.actions.standing_house import clock, house, standing

__all__ = ["clock", "house", "pool", "standing"]


@pytest.fixture
def pool(client):
    (ref,) = client.pool.get_all()
    return ref
