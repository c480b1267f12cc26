"""The scripts of `data/prepare` run here as in `tests/data`."""

from tests.data.conftest import data, run_script

__all__ = ["data", "run_script"]
