"""What people call the columns of a list of videos."""

COLUMN_NAMES = {
    "path": (
        *("path", "video", "video_path", "file", "filename", "file_name", "filepath", "name"),
        *("vid_name", "video_name"),
    ),
    "label": (
        *("label", "class", "class_name", "class_id", "label_id", "category", "action", "y"),
        *("target", "label_name", "labels"),
    ),
    "num_frames": ("num_frames", "frames", "n_frames", "total_frames", "frame_count"),
    "start_frame": ("start_frame", "first_frame", "frame_start", "begin_frame"),
    "end_frame": ("end_frame", "stop_frame", "frame_end"),
    "start_seconds": (
        *("start_seconds", "start_sec", "start_time", "time_start", "start_timestamp", "t_start"),
        "clip_start",
    ),
    "end_seconds": (
        *("end_seconds", "end_sec", "end_time", "time_end", "stop_timestamp", "t_end", "stop_time"),
        "clip_end",
    ),
}
"""Our name of a column, and others of it. A stretch ends ahead of its end."""

UNCLEAR = {"start": "start", "begin": "start", "end": "end", "stop": "end"}
"""Names that do not say whether they count frames or seconds."""


def column_of(word: str) -> str:
    """Return our name of a column, or the word as it is where we have none."""
    word = word.strip().strip('"').lower()
    return next((column for column, names in COLUMN_NAMES.items() if word in names), word)
