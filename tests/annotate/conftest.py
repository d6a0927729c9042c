"""A clip made ready once for all tests that only look at it."""

import pytest

from pvc.annotate.prepare import prepare
from tests.annotate.painting import clips_folder, small_settings


@pytest.fixture(scope="session")
def ready(tmp_path_factory):
    """The prepared clip ``disk``."""
    folder = clips_folder(tmp_path_factory.mktemp("ready"), "disk")
    return prepare(folder, folder / "annotations", small_settings(), jobs=1)[0]
