import pytest


@pytest.fixture
def pool(client):
    (ref,) = client.pool.get_all()
    return ref
