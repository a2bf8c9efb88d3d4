import pytest

from tests.demo.web.doubles import Workers


@pytest.fixture
def workers(tmp_path):
    """A queue that is running over scripted workers."""
    workers = Workers(tmp_path)
    with workers.queue:
        yield workers
