"""What a package page shows, and what the wheel takes along."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
HOME = SETTINGS["project"]["urls"]["Homepage"]


def _links(text):
    """Pairs of what stands before a link's brackets (`!` for a picture) and its target."""
    return re.findall(r"(!?)\[[^\]]*\]\(([^)]+)\)", text)


def test_links_and_pictures_of_the_readme_lead_somewhere_from_a_package_page():
    readme = (ROOT / "README.md").read_text()
    hook = SETTINGS["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    page = readme
    for substitution in hook["substitutions"]:
        page = re.sub(substitution["pattern"], substitution["replacement"], page)
    raw = HOME.replace("github.com", "raw.githubusercontent.com")
    own = [link for link in _links(readme) if not link[1].startswith(("https:", "#"))]
    assert len(own) > 8
    assert [target for _, target in own if not (ROOT / target).exists()] == []
    places = {"!": f"{raw}/main/", "": f"{HOME}/blob/main/"}
    assert _links(page) == [
        (link[0], places[link[0]] + link[1]) if link in own else link for link in _links(readme)
    ]


def test_the_wheel_takes_types_and_recipes_along():
    assert (ROOT / "stvit_video" / "py.typed").is_file()
    wheel = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["only-include"] == ["stvit_video", "configs"]
    assert wheel["sources"] == {"configs": "stvit_video/recipes"}
