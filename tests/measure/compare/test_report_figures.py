"""What tables and plots of a comparison show of each model."""

from stvit_video.measure.compare.cost import model_cost
from stvit_video.measure.compare.cost_tables import summary_table
from stvit_video.measure.compare.sections import kind_of, short_name, work_of


def test_the_saving_stands_second_and_a_known_accuracy_third():
    costs = [model_cost("demo_tiny"), model_cost("demo_tiny:4x2x2@2")]
    plain = summary_table(costs)
    beside = summary_table(costs, {"demo_tiny": 81.5})
    assert [column.title for column in plain.columns[:3]] == ["model", "x fewer", "clip"]
    assert [column.title for column in beside.columns[:3]] == ["model", "x fewer", "top-1 %"]
    assert [row[2] for row in beside.rows] == [81.5, None]
    assert f"{beside.rows[1][1]:.2f}" == "2.33"


def test_plots_name_a_setting_of_the_first_model_without_its_name():
    assert short_name("demo_tiny:4x2x2@2", "demo_tiny") == "4x2x2@2"
    assert short_name("demo_tiny", "demo_tiny") == "demo_tiny"
    assert short_name("hf:videomae_base", "demo_tiny") == "hf:videomae_base"


def test_the_parts_of_a_model_are_summed_by_kind_of_work():
    parts = {"embed": 1.0, "blocks 1-4": 2.0, "blocks 5-8: clustering": 3.0, "blocks 5-8": 4.0}
    assert work_of(parts, 10.0) == {"embed": 10.0, "blocks": 60.0, "clustering": 30.0}
    assert work_of({"model": 5.0}, 1.0) == {"not split": 5.0}


def test_the_legend_says_what_a_model_is():
    words = ("demo_tiny", "demo_tiny:4x2x2@2", "demo_tiny:tome:r=8", "torchvision:swin3d_t")
    assert [kind_of(word) for word in words] == ["dense", "semantic tokens", "reducer", "peer"]
