"""Scripts for shells, tried in a real bash."""

import subprocess

import pytest

from stvit_video.cli import COMMANDS, main

COMPLETE = """
source "$1"
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_shtab_stvit_video
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("shell") / "stvit-video.bash"
    with pytest.MonkeyPatch.context(), path.open("w") as file:
        from contextlib import redirect_stdout

        with redirect_stdout(file):
            assert main(["completion", "bash"]) == 0
    return path


def completed(script, words):
    """Return what a bash offers for the last of the words."""
    code = COMPLETE.format(words=words)
    done = subprocess.run(
        ["bash", "--norc", "-c", code, "bash", str(script)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_bash_completes_commands_settings_values_and_models(script):
    offered = completed(script, "stvit-video ''")
    assert {name.split()[0] for name in COMMANDS} <= set(offered)
    assert completed(script, "stvit-video pred") == ["predict"]
    assert completed(script, "stvit-video data sc") == ["scan"]
    assert "--top_k" in completed(script, "stvit-video predict --to")
    assert completed(script, "stvit-video predict --dtype b") == ["bfloat16"]
    assert "videomae_base_patch16_224" in completed(
        script, "stvit-video train --model.name videomae_b"
    )


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_have_a_script_too(shell, capsys):
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert "stvit-video" in out
    assert "--top_k" in out


def test_another_shell_is_named(capsys):
    assert main(["completion", "fish"]) == 2
    assert capsys.readouterr().err == (
        "stvit-video completion: shell (fish) must be one of bash, zsh, tcsh\n"
    )
