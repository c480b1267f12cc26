"""`stvit-video predict`: classify videos with a trained model, as a whole or over their time."""

from stvit_video.files import OutputFolder, ResultFile
from stvit_video.settings.bounds import Count, Share, Whole
from stvit_video.settings.data import Backend
from stvit_video.settings.durations import Duration
from stvit_video.settings.output import EngineName
from stvit_video.settings.paths import CheckpointSource, InputPath, check_video_words
from stvit_video.settings.timing import DtypeName
from stvit_video.settings.views import Combine, NumCrops


def predict(  # noqa: PLR0913 this is a command line
    videos: list[str],
    *,
    checkpoint: CheckpointSource,
    window: Duration | None = None,
    stride: Duration | None = None,
    num_clips: Count | None = None,
    num_crops: NumCrops | None = None,
    join_clips: bool | None = None,
    combine: Combine | None = None,
    top_k: Count = 5,
    batch_size: Count = 16,
    num_workers: Whole = 2,
    backend: Backend | None = None,
    max_pixels: Count | None = None,
    device: str = "auto",
    dtype: DtypeName = "float32",
    compile: bool = False,
    json: ResultFile | None = None,
    jsonl: ResultFile | None = None,
    csv: ResultFile | None = None,
    parquet: ResultFile | None = None,
    timeline_dir: OutputFolder | None = None,
    boxes: InputPath | None = None,
    draw_dir: OutputFolder | None = None,
    min_score: Share = 0.5,
    output_dir: OutputFolder | None = None,
    shard_size: Count = 1000,
    engine: EngineName = "local",
    replicas: Count | None = None,
) -> int:
    """Classify videos: a table of the best classes of one, or of the best of each. With a detector,
    find objects in images.

    What cannot be read is a record with an `error`; the exit status is 1 then, and the rest goes
    on.

    Args:
        videos: Video files (docs/decoding.md lists the kinds), folders (videos at any depth),
            patterns such as 'clips/*.mp4', lists (.txt, .csv, .tsv, .json), or `-` for paths on
            standard input; image files, folders and patterns for a detector.
        checkpoint: Run folder of `train`, a folder that `convert` wrote, or a hub id.
        window: Classify stretches of this length, such as 2s; by default, where a stride is given,
            as long as a clip of the model.
        stride: From the start of a window to that of the next; by default the window.
        num_clips: Clips of the video, or of each window; by default as in the settings of the
            training.
        num_crops: Crops of each clip, 1 or 3; by default as in the settings of the training.
        join_clips: Let an attentive pooler read all clips of a crop at once, as V-JEPA 2's probes
            do; by default as in the settings of the training.
        combine: mean_probability or mean_logit; by default as in the settings of the training.
        top_k: How many classes to name; of several videos in the files alone.
        batch_size: Views per forward pass.
        num_workers: Processes that decode, for more than one video, or for windows.
        backend: What decodes: auto, decord, pyav or torchcodec; by default as in the training.
        max_pixels: Width times height of a picture above which a video is refused; by default as
            in the training.
        device: auto, cpu, cuda or cuda:1.
        dtype: Of weights and clips.
        compile: Run torch.compile, which takes a minute and pays for many videos.
        json: Write one JSON document here; `-` is standard output. For many videos see --jsonl.
        jsonl: Write a line of JSON for each video, as it comes; `-` is standard output.
        csv: Write a line for each class that is named; `-` is standard output.
        parquet: Write a row for each video.
        timeline_dir: Write NAME.json, .vtt, .srt (subtitles) and .png of each video here.
        boxes: Persons, `video_id,second,x1,y1,x2,y2,,score`, whose actions a detector of those is
            asked for; by default it takes the whole frame at every second.
        draw_dir: Write each image, or a movie of each film, with what a detector finds here.
        min_score: Score below which a detector's finding is left out.
        output_dir: Write Parquet shards here instead; the same command goes on where it stopped.
        shard_size: Videos of a shard.
        engine: What classifies into output_dir: this process (local), or a Ray cluster (ray).
        replicas: Models at once, with Ray; by default one for each GPU, or as the processors allow.
    """
    check_video_words(videos)
    from stvit_video.detection.predict_command import Asked, Searched, run_any
    from stvit_video.evaluation.predict_command import Outputs, Sharding

    views = {"num_clips": num_clips, "num_crops": num_crops, "combine": combine}
    asked = Asked(
        views=views | {"join_clips": join_clips},
        reading={"backend": backend, "max_pixels": max_pixels},
        amounts={"top_k": top_k, "batch_size": batch_size, "num_workers": num_workers},
        windows={"window": window, "stride": stride},
        computing={"dtype": dtype, "compile": compile},
        device=device,
        outputs=Outputs(json=json, jsonl=jsonl, csv=csv, parquet=parquet, timelines=timeline_dir),
        sharding=Sharding(folder=output_dir, size=shard_size, engine=engine, replicas=replicas),
        searched=Searched(boxes, draw_dir, min_score),
    )
    return run_any(videos, checkpoint, asked)
