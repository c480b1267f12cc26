"""Numbers of things, one or several."""


def counted(number: int, thing: str) -> str:
    """Write a number and its thing: `1 video`, `2 videos`, `1,200 classes`."""
    if number == 1:
        return f"1 {thing}"
    return f"{number:,} {thing}{'es' if thing.endswith('s') else 's'}"


def clips_and_crops(num_clips: int, num_crops: int) -> str:
    """Write the views of a video: `2 clips x 3 crops`."""
    return f"{counted(num_clips, 'clip')} x {counted(num_crops, 'crop')}"
