"""One small run of the command, read as JSON and Markdown and looked at in a real browser."""

import functools
import http.server
import inspect
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
import yaml

from stvit_video.cli import load_command, main
from stvit_video.measure.compare import peers
from stvit_video.measure.compare.quality import agreement_with_first
from stvit_video.measure.compare.words import find_model
from tests.browser import Browser

TINY = "demo_tiny:frames=4:size=32"
MODELS = [TINY, f"{TINY}:1x2x2@2", f"{TINY}:tome:r=3", f"{TINY}:rlt", "timm:gone"]
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=5000",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    settings = folder / "settings.yaml"
    settings.write_text(
        f"models: {json.dumps(MODELS)}\n"
        f"accuracy: {{'{TINY}': 81.5}}\n"
        "title: Tiny & quick\nbatch_sizes: [1, 2]\nrounds: 1\nviews: 3\nagreement_clips: 2\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        gone = peers.Peer("no_such_library", lambda: None, 1, 224)
        patch.setitem(peers.PEERS, "timm:gone", gone)
        assert main(["report", "--config", str(settings), "--output", str(folder / "out")]) == 0
    return folder / "out"


def test_the_json_holds_every_measurement(folder):
    found = json.loads((folder / "report.json").read_text())
    present = MODELS[:-1]
    assert [cost["model"] for cost in found["costs"]] == present
    assert [(r["model"], r["batch_size"]) for r in found["speed"]] == [
        (model, size) for size in (1, 2) for model in present
    ]
    assert found["accuracy_percent"] == {TINY: 81.5}
    assert found["agreement_percent"][TINY] == 100
    assert set(found["agreement_percent"]) == set(present)
    assert set(found["stage_seconds"]) == set(present[:-1])
    assert list(found["stage_seconds"][MODELS[1]]) == [
        "embed",
        "blocks 1-2",
        "blocks 3-6: clustering",
        "blocks 3-6",
        "head",
    ]
    assert found["absent"] == {
        "timm:gone": "peer timm:gone needs no_such_library; pip install no_such_library"
    }
    assert found["conditions"]["torch"]


def test_the_markdown_has_every_table_and_picture(folder):
    text = (folder / "report.md").read_text()
    assert text.startswith("# Tiny & quick\n")
    assert re.findall("^## (.+)$", text, re.MULTILINE) == [
        "Conditions",
        "Cost",
        "Speed",
        "Accuracy",
        "Agreement",
    ]
    assert "timm:gone: peer timm:gone needs no_such_library" in text
    for name in re.findall(r"!\[.*?\]\((.+?)\)", text):
        assert (folder / name).stat().st_size > 1000
    assert (
        len(
            re.findall(
                rf"^\| {re.escape(TINY)} \| 1.00 \| 1.00-1.00 \| 81.5 \| inference",
                text,
                re.MULTILINE,
            )
        )
        == 2
    )


@pytest.mark.skipif(BROWSER is None, reason="needs chromium (apt-get install chromium)")
def test_the_page_renders_in_a_browser_with_all_rows_and_asks_nobody(folder, tmp_path):
    page = (folder / "report.html").read_text()
    links = re.findall(r"""(?:src|href)="(.*?)"|url\((.*?)\)""", page)
    assert all((own or css).startswith("data:") for own, css in links)
    probe = (
        "<script>onload = () => { document.body.dataset.seen = JSON.stringify({"
        "rows: [...document.querySelectorAll('tbody tr')].length,"
        "images: [...document.images].map(i => i.naturalWidth)}) }</script>"
    )
    probed = page.replace("</body>", probe + "</body>")
    probed = probed.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
    (tmp_path / "report.html").write_text(probed)
    asked = []
    dom, log = _look(tmp_path, asked)
    seen = json.loads(re.search(r'data-seen="(.+?)"', dom)[1].replace("&quot;", '"'))
    assert asked == ["/report.html"]
    assert "CONSOLE" not in log
    assert seen["rows"] == page.count("<tr>") - page.count("<thead>") > 20
    assert len(seen["images"]) == page.count("<img ") == 9
    assert min(seen["images"]) > 300


@pytest.mark.skipif(BROWSER is None, reason="needs chromium (apt-get install chromium)")
def test_the_page_fits_a_narrow_window_and_shows_the_column_one_came_for(folder, tmp_path):
    browser = Browser(tmp_path)
    try:
        browser.open((folder / "report.html").as_uri(), width=400)
        assert browser.run("document.documentElement.scrollWidth") == 400
        second = "[...document.querySelectorAll('section > .wide th:nth-child(2)')]"
        heads = browser.run(f"{second}.map(h => [h.innerText, h.getBoundingClientRect().right])")
        ends = {title.replace("\n", " "): right for title, right in heads}
        assert max(ends["x fewer"], ends["x faster"]) < 400
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        browser.call("Emulation.setEmulatedMedia", features=dark)
        assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(18, 18, 18)"
    finally:
        browser.close()


def _look(folder, asked):
    """Serve the folder, note what is asked for, and return the DOM and the log of a browser."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/report.html"
        done = subprocess.run(
            [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", address],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        server.shutdown()
    return done.stdout, done.stderr


def test_the_first_model_must_be_there_and_accuracies_must_belong(capsys, tmp_path):
    out = ["--output", str(tmp_path)]
    assert main(["report", TINY, *out, "--accuracy", '{"other": 3}']) == 2
    assert main(["report", TINY, *out, "--accuracy", f'{{"{TINY}": 300}}']) == 2
    assert capsys.readouterr().err == (
        "stvit-video report: accuracy names other, which is none of the models\n"
        f"stvit-video report: accuracy of {TINY} (300.0) must be in 0..100\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_settings_in_the_documents_name_models_and_options_that_exist():
    path = Path(__file__).parents[2] / "docs" / "report.yaml"
    settings = yaml.safe_load(path.read_text())
    assert len({find_model(model) for model in settings["models"]}) == len(settings["models"])
    assert settings.keys() <= inspect.signature(load_command("report")).parameters.keys()


def test_a_fused_model_agrees_with_the_one_it_is_made_of():
    name = "timesformer_base_patch16_224:frames=2:size=32"
    models = [name, f"{name}:fused"]
    found = agreement_with_first(models, pretrained=None, num_clips=8)
    assert found == {name: 100, f"{name}:fused": 100}
