"""`stvit-video completion`: print what makes a shell complete commands, settings and files."""

from stvit_video.settings.output import Shell


def completion(shell: Shell) -> None:
    """Print a script for a shell; `stvit-video completion bash > FILE`, then `source FILE`.

    Args:
        shell: bash, zsh or tcsh.
    """
    from stvit_video.completion import completion_script

    print(completion_script(shell))
