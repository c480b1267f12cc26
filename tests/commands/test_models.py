import json

from stvit_video.cli import main


def test_models_that_a_setting_does_not_fit_say_so_and_the_others_are_listed(tmp_path, capsys):
    path = tmp_path / "models.json"
    assert main(["models", "*small*", "--semantic", "8x4x4@2", "--json", str(path)]) == 0
    rows = {row["name"]: row for row in json.loads(path.read_text())}
    for name in ("deit_small_patch16_224", "stvit_r_swin_small_patch4_window7_224"):
        assert rows[name]["semantic_tokens"] is None
    assert rows["deit_small_patch16_224"]["refusal"] == (
        "semantic grid 8x4x4 is larger than the token grid 1x14x14 along time: 8 > 1; choose at"
        " most 1"
    )
    assert rows["video_swin_small_patch2x4x4_224"]["semantic_tokens"] == 128
    assert rows["video_swin_small_patch2x4x4_224"]["refusal"] is None
    assert "does not fit" in capsys.readouterr().out


def test_a_setting_that_fits_no_model_is_an_error(capsys):
    assert main(["models", "deit_tiny*", "--semantic", "8x4x4@4"]) == 2
    assert capsys.readouterr().err == (
        "stvit-video models: semantic grid 8x4x4 is larger than the token grid 1x14x14 along time:"
        " 8 > 1; choose at most 1\n"
    )
