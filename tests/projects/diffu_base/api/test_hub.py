"""Models on the Hub, against a server on the loopback address that answers as the Hub does."""

import hashlib
import http.server
import shutil
import sys
import threading
from pathlib import Path

import pytest

from projects.diffu_base import from_pretrained
from projects.diffu_base.api.hub import check_config, is_hub_id
from projects.diffu_base.api.zoo import WEIGHTS, Weights
from tests.support.model_folders import write_small_folder

COMMIT = "0" * 39 + "1"


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves the files of `root` as /owner/name/resolve/REVISION/FILE, with the headers that huggingface_hub reads."""

    root: Path
    requests: list[str]

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        self.requests.append(self.path)
        owner, name, _, revision, *file = self.path.lstrip("/").split("/")
        path = self.root / "/".join(file)
        if (owner, name) != ("someone", "cells") or revision not in ("main", "v1", COMMIT) or not path.is_file():
            self.send_response(404)
            self.send_header(
                "X-Error-Code", "EntryNotFound" if (owner, name) == ("someone", "cells") else "RepoNotFound"
            )
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_small_folder(tmp_path_factory.mktemp("models") / "m")


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    """The running server; its requests are in `hub.requests`."""
    handler = type("OfTest", (Hub,), {"root": shutil.copytree(folder, tmp_path / "served"), "requests": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        constants = pytest.importorskip("huggingface_hub.constants")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield handler
        server.shutdown()


@pytest.mark.slow
def test_a_model_is_fetched_once_and_kept(hub):
    detector = from_pretrained("someone/cells", device="cpu")
    assert detector.class_names[0] == "person"
    fetched = len([path for path in hub.requests if path.endswith("model.safetensors")])
    from_pretrained("someone/cells@v1", device="cpu")
    again = [path for path in hub.requests if path.endswith("model.safetensors")][fetched:]
    assert all("/v1/" in path for path in again) and len(again) <= 1  # asks for its version alone


@pytest.mark.parametrize("name", ["someone/nothing", "someone/cells@v9"])
def test_a_model_that_is_not_there_is_named(hub, name):
    with pytest.raises(ValueError, match=f"model '{name}': config.yaml cannot be fetched from the Hub"):
        from_pretrained(name, device="cpu")


def test_without_a_network_a_line_says_what_was_wanted(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"model 'someone/cells': config.yaml cannot be fetched") as caught:
        from_pretrained("someone/cells", device="cpu")
    assert "\n" not in str(caught.value)


def test_without_huggingface_hub_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match="pip install huggingface_hub"):
        from_pretrained("someone/cells", device="cpu")


def test_a_config_that_would_run_something_else_is_refused_before_it_is_read(hub, tmp_path):
    marker = tmp_path / "it-ran"
    config = hub.root / "config.yaml"
    sound = config.read_text()
    for harm in (
        f"harm: !!python/object/apply:os.system ['touch {marker}']\n",
        "harm: {_target_: os.system, command: 'true'}\n",
        "harm: {_target_: torch.nn.modules.module.functools.partial}\n",
        "harm: {_target_: detectron2.data.build.logging.shutdown}\n",
        "harm: {_target_: projects.diffu_base.commands.install_detectron2.pip}\n",
    ):
        config.write_text(sound + harm)
        with pytest.raises(ValueError, match="which a fetched config must not call"):
            check_config(config)
    with pytest.raises(ValueError, match="must not call"):
        from_pretrained("someone/cells", device="cpu")
    assert not marker.exists()


def test_configs_of_this_project_are_allowed(folder):
    check_config(folder / "config.yaml")


@pytest.mark.parametrize(
    ("text", "is_one"), [("a/b", True), ("a-b/c.d@v1", True), ("a", False), ("a/b/c", False), ("/a/b", False)]
)
def test_what_looks_like_a_model_on_the_hub(text, is_one):
    assert is_hub_id(text) == is_one


@pytest.mark.slow
def test_a_name_of_the_zoo_fetches_weights_that_are_published_as_a_file(folder, tmp_path, monkeypatch):
    name = "diffu_dino/dino-resnet/baseline-dino-r50-4scales-12ep"
    address = (folder / "model.safetensors").as_uri().replace("file://", "")
    monkeypatch.setitem(WEIGHTS, name, Weights(address, "model.safetensors"))
    with pytest.raises(ValueError, match="does not fit the model"):  # found and read; they are a small model's
        from_pretrained("dino-resnet/baseline-dino-r50-4scales-12ep", device="cpu")
    monkeypatch.setitem(WEIGHTS, name, Weights("http://127.0.0.1:9/a.pth", "a.pth"))
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"http://127.0.0.1:9/a.pth cannot be fetched .*checkpoint=FILE"):
        from_pretrained(name, device="cpu")


def test_a_name_of_the_zoo_whose_weights_are_on_a_page_says_where():
    with pytest.raises(
        ValueError, match="are at https://huggingface.co/MBadran/DiffuDETR/tree/main/checkpoints; download"
    ):
        from_pretrained("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
    with pytest.raises(ValueError, match="has no published weights"):
        from_pretrained("diffu_dino/demo/digits")
