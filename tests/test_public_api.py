import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import stvit_video
from stvit_video.evaluation.predict_video import predict_video
from stvit_video.models.registry import create_model, list_models


def test_public_names_are_those_of_their_homes():
    assert stvit_video.create_model is create_model
    assert stvit_video.list_models is list_models
    assert stvit_video.predict_video is predict_video
    assert stvit_video.__all__ == sorted(stvit_video.__all__)
    for name in stvit_video.__all__:
        assert getattr(stvit_video, name).__name__ == name


def test_type_checkers_see_every_public_name_in_its_home():
    tree = ast.parse(Path(stvit_video.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname: node.module for node in imports for alias in node.names if alias.asname}
    assert seen == stvit_video._HOMES
    assert sorted(seen) == stvit_video.__all__


@pytest.mark.parametrize("name", stvit_video.__all__)
def test_a_public_name_says_what_it_is_for(name):
    thing = getattr(stvit_video, name)
    parts = vars(thing).items() if inspect.isclass(thing) else ()
    methods = [part for word, part in parts if word[0] != "_" and callable(part)]
    for documented in [thing, *methods]:
        assert inspect.getdoc(documented), documented
    if inspect.isfunction(thing) and name != "list_models":
        assert "Raises:\n" in thing.__doc__


def test_dir_lists_public_names():
    assert set(stvit_video.__all__) <= set(dir(stvit_video))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'stvit_video' has no attribute 'creat_model'"):
        _ = stvit_video.creat_model


def test_importing_the_package_imports_no_torch():
    code = "import sys, stvit_video; print('torch' in sys.modules, 'numpy' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False False\n"
