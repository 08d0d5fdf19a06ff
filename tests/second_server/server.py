"""llama.cpp's own HTTP server (as the package xllamacpp ships it), in a process of its own.

    python server.py COMMAND ...    runs COMMAND with the server's base URL in RADSTREAM_TEACHER

The name of the model and the key are those of the stand-in server in the tests of teacher_client.rs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MODEL, KEY = "stub-teacher", "key"
# What the server can hold at once, and tokens of each: our prompt, an answer, its repair.
SLOTS, CONTEXT = 12, 8192
PATIENCE = 120.0


def serve() -> None:
    """The process of the server: ends with its standard input."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = sys.stdin.readline().strip()
    params.model_alias = {MODEL}
    params.api_keys = [KEY]
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_parallel, params.n_ctx = SLOTS, SLOTS * CONTEXT
    # The tests run beside others.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.endpoint_metrics = True
    params.fit_params = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


class Server:
    """A running server, and what its log says of it."""

    def __init__(self, folder: Path) -> None:
        import model

        path, self._log = folder / "parrot.gguf", folder / "server.log"
        model.make_for(ROOT, path)
        self._sentinels = 0
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__, "--serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        self.root = self._process.stdout.readline().strip()
        if not self.root.startswith("http://"):
            raise RuntimeError(f"the server did not start:\n{self._log.read_text()}")
        self.base_url = f"{self.root}/v1"

    def stop(self) -> None:
        self._process.communicate()

    def get(self, path: str, body: Any = None) -> tuple[int, str]:
        """Status and body of a request of our own."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        request = urllib.request.Request(self.root + path, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def tokens(self) -> dict[str, int]:
        """Tokens since its start, as its metrics say: of prompts, of these from the cache, of answers."""
        text = self.get("/metrics")[1]

        def value(name: str) -> int:
            found = re.search(rf"^llamacpp:{name} (\S+)$", text, re.MULTILINE)
            assert found, f"{name} in\n{text}"
            return int(float(found[1]))

        cached = value("prompt_tokens_cached_total")
        return {
            "prompt": value("prompt_tokens_total") + cached,
            "cached": cached,
            "completion": value("tokens_predicted_total"),
        }

    def log(self) -> str:
        """The log until now. It is written behind: a request that is refused marks the place."""
        self._sentinels += 1
        mark = f"sentinel-{self._sentinels};"
        body = {"messages": [], "response_format": {"type": mark}}
        assert self.get("/v1/chat/completions", body)[0] == 400
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            text = self._log.read_text(errors="replace")
            if mark in text:
                return text
            time.sleep(0.01)
        raise AssertionError("the server's log does not go on")


def calls(log: str) -> int:
    """Calls that the server began to answer."""
    return len(re.findall(r"launch_slot_: .*\| processing task", log))


def most_at_once(log: str) -> int:
    """Most calls under way at the same time."""
    now = most = 0
    for event in re.findall(
        r"(launch_slot_: .*\| processing task|release: .*\| stop)", log
    ):
        now += 1 if event.startswith("launch") else -1
        most = max(most, now)
    return most


def main() -> int:
    if sys.argv[1:] == ["--serve"]:
        serve()
        return 0
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            environment = {**os.environ, "RADSTREAM_TEACHER": server.base_url}
            return subprocess.run(sys.argv[1:], env=environment, check=False).returncode
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
