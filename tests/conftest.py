"""What holds for all tests: nothing is left in the home folder."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def films_kept_here(tmp_path_factory):
    """Decoded films are kept in a folder of this session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TBCONV_CACHE", str(tmp_path_factory.mktemp("kept")))
        yield
