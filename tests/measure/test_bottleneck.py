import pytest

from stvit_video.measure.bottleneck import Rates, name_bottleneck

PREPARE = (
    "the files are not prepared: `stvit-video data prepare k400.csv OUT --for dense --stride 4`"
)
SLOW = {1: 10.0, 2: 20.0, 4: 40.0}
ADVICE = [
    (
        (12.0, SLOW, 400.0),
        {"files": PREPARE},
        f"the bottleneck is decoding (10 % of the model's rate with 4 workers); {PREPARE}",
    ),
    (
        (12.0, SLOW, 400.0),
        {"num_workers": 2},
        "the bottleneck is decoding (10 % of the model's rate with 4 workers);"
        " --data.num_workers 4, 2 are set",
    ),
    (
        (12.0, SLOW, 80.0),
        {},
        "the bottleneck is decoding (50 % of the model's rate with 4 workers);"
        " --train.clips_per_video 2",
    ),
    (
        (12.0, SLOW, 400.0),
        {},
        "the bottleneck is decoding (10 % of the model's rate with 4 workers);"
        " --train.clips_per_video 4",
    ),
    (
        (12.0, SLOW, 400.0),
        {"clips_per_video": 4},
        "the bottleneck is decoding (10 % of the model's rate with 4 workers);"
        " --train.clips_per_video 5",
    ),
    (
        (21.0, SLOW, 80.0),
        {},
        "the bottleneck is loading (50 % of the model's rate with 4 workers); more or faster cores",
    ),
    (
        (12.0, SLOW, 35.0),
        {"num_workers": 2},
        "the bottleneck is the number of workers: 4 feed the model, 2 are set;"
        " --data.num_workers 4",
    ),
    (
        (12.0, SLOW, 21.0),
        {"num_workers": 2, "files": PREPARE},
        "the bottleneck is the model: nothing to do for the data",
    ),
    (
        (12.0, SLOW, None),
        {"files": PREPARE},
        f"{PREPARE}; --model WORD says whether training waits for it",
    ),
    (
        (12.0, SLOW, None),
        {"num_workers": 2},
        "4 workers load 2.0 times as fast as 2: --data.num_workers 4;"
        " --model WORD says whether training waits for it",
    ),
    (
        (12.0, {1: 10.0, 2: 20.0, 4: 21.0}, None),
        {"num_workers": 3},
        "nothing to do for the files and workers; --model WORD says whether training waits",
    ),
]


@pytest.mark.parametrize(("rates", "settings", "text"), ADVICE)
def test_the_advice_follows_from_the_rates(rates, settings, text):
    decoder, loader, model = rates
    settings = {"num_workers": 4, "clips_per_video": 1, "files": None} | settings
    found = name_bottleneck(Rates(decoder=decoder, loader=loader, model=model), **settings)
    assert found == text
