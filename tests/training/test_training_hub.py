"""The chat template of a base that comes from the hub, as a server on this machine plays it."""

from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
from huggingface_hub import constants
from tiny_bases import write_tokenizer

from outcrop.training.tokenizer import BaseUnusable, open_tokenizer

_ID: Final = "makers/base"
_COMMIT: Final = "a" * 40
_OWN: Final = "{{ messages[0]['content'] }}"


class Hub(ThreadingHTTPServer):
    """``files`` by name. One that is down answers without the headers of a hub."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.is_down = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.wfile.write(self._answer())

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> bytes:
        hub = self.server
        assert isinstance(hub, Hub)
        content = hub.files.get(self.path.rpartition("/")[2])
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        if not hub.is_down:
            self.send_header("X-Repo-Commit", _COMMIT)
            self.send_header("ETag", f'"{hash(content):x}"')
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        return content or b""


@contextmanager
def running() -> Generator[Hub]:
    with Hub() as hub:
        thread = Thread(target=hub.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Hub]:
    """It has a tokenizer, whose configuration holds a template."""
    folder = tmp_path / "made"
    folder.mkdir()
    write_tokenizer(folder)
    with running() as hub:
        hub.files = {file.name: file.read_bytes() for file in folder.iterdir()}
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield hub


def template_of(source: str) -> str:
    template = open_tokenizer(source).chat.template
    assert template is not None
    return template


def test_where_the_hub_has_no_file_of_it_the_configuration_s_template_is_taken(hub: Hub) -> None:
    assert "<|im_start|>" in template_of(_ID)


def test_a_file_of_its_own_on_the_hub_is_the_one(hub: Hub) -> None:
    hub.files["chat_template.jinja"] = _OWN.encode()
    assert template_of(_ID) == _OWN


def test_a_hub_that_is_down_does_not_make_a_template_of_another(hub: Hub) -> None:
    """It may have such a file, and what the configuration says be older."""
    hub.files["chat_template.jinja"] = _OWN.encode()
    template_of(_ID)
    for file in Path(constants.HF_HUB_CACHE).rglob("chat_template.jinja"):
        file.unlink()
    hub.is_down = True
    with pytest.raises(BaseUnusable, match=_ID):
        open_tokenizer(_ID)


def test_what_the_hub_has_said_before_holds_while_it_is_down(hub: Hub) -> None:
    before = template_of(_ID)
    hub.is_down = True
    assert template_of(_ID) == before


def test_offline_what_was_fetched_is_all_there_is(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = template_of(_ID)
    for file in Path(constants.HF_HUB_CACHE).rglob(".no_exist/*/*"):
        file.unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert template_of(_ID) == before
