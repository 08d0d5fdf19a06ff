"""radstream's teacher commands against llama.cpp's server: an implementation of the API that is not ours.

The model (model.py) says the same to every report: a pleural effusion, quoted as "pleural effusion".
So an answer is valid where these words stand in the report, and otherwise breaks the rule about quotes.
What was asked is counted from the server's own log and metrics.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from model import BYTES_FROM
from server import KEY, MODEL, PATIENCE, ROOT, Server, calls, most_at_once

RADSTREAM = os.environ.get("RADSTREAM", str(ROOT / "target/release/radstream"))
VALID = "IMPRESSION: Small left pleural effusion. No pneumothorax.\n"
INVALID = "IMPRESSION: No effusion.\n"
# A string without an end.
LONG = 'request = { logit_bias = [["\\\\", 100.0]] }'
# Anything that the schema lets through; the bias ends the strings.
NOISE = (
    "request = { temperature = 3.0, top_k = 0, top_p = 1.0, min_p = 0.0,"
    ' logit_bias = [["\\"", 18.0]] }'
)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@dataclass
class Desk:
    """A folder with a configuration, and what the server did since the test began."""

    server: Server
    folder: Path
    seen: int

    def command(
        self, *args: str | Path, provider: str = "", **settings: Any
    ) -> list[str]:
        keys = {
            "name": "second",
            "base_url": self.server.base_url,
            "model": MODEL,
            "api_key": KEY,
            "local": True,
            "timeout_s": 300,
            "concurrency": 4,
            "prompt_price": 1000.0,
            "completion_price": 2000.0,
            **settings,
        }
        lines = ["[teacher]", "attempts = 2", "window = 8", "[[teacher.providers]]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        config = self.folder / "radstream.toml"
        config.write_text("\n".join([*lines, provider, ""]))
        return [RADSTREAM, *map(str, args), "--config", str(config)]

    def run(
        self, *args: str | Path, **settings: Any
    ) -> subprocess.CompletedProcess[str]:
        command = self.command(*args, **settings)
        return subprocess.run(
            command, capture_output=True, text=True, timeout=5 * PATIENCE, check=False
        )

    def attempt(self, text: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        report = self.folder / "report.txt"
        report.write_text(text)
        return self.run("teacher", "try", "--brief", report, **settings)

    def log(self) -> str:
        """The server's log since the test began."""
        return self.server.log()[self.seen :]


@pytest.fixture
def desk(server: Server, tmp_path: Path) -> Desk:
    return Desk(server, tmp_path, len(server.log()))


def corpus(valid: int, invalid: int) -> list[dict[str, str]]:
    """Reports of the training corpus, of which so many have the words that the model quotes."""
    lines = (ROOT / "distill/corpus/reports.jsonl").read_text().splitlines()
    reports = {}
    for line in map(json.loads, lines):
        report = {key: line[key] for key in ["id", "findings", "impression"]}
        reports[report["findings"], report["impression"]] = report
    quotable = [report for report in reports.values() if is_quotable(report)]
    others = [report for report in reports.values() if not is_quotable(report)]
    assert len(quotable) >= valid and len(others) >= invalid
    return quotable[:valid] + others[:invalid]


def is_quotable(report: dict[str, str]) -> bool:
    return any(
        stands_in("pleural effusion", report[key]) for key in ["findings", "impression"]
    )


def stands_in(quote: str, text: str) -> bool:
    return " ".join(quote.lower().split()) in " ".join(text.lower().split())


def written(path: Path) -> list[Any]:
    return (
        [json.loads(line) for line in path.read_text().splitlines()]
        if path.exists()
        else []
    )


def written_whole(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def put(path: Path, lines: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_valid_answer_is_shown_with_the_servers_tokens_and_probabilities(
    desk: Desk,
) -> None:
    before = desk.server.tokens()
    tried = desk.attempt(VALID)
    assert tried.returncode == 0, tried.stderr
    row = re.search(
        r"pleural_effusion +positive +(\S+) +pleural effusion", tried.stdout
    )
    assert row and float(row[1]) > 0.9, tried.stdout
    told = re.search(
        rf"{MODEL} by second: (\d+) \+ (\d+) tokens, cost (\S+)", tried.stdout
    )
    assert told, tried.stdout
    after = desk.server.tokens()
    prompt, completion = (
        after[kind] - before[kind] for kind in ["prompt", "completion"]
    )
    assert (int(told[1]), int(told[2])) == (prompt, completion) and prompt > 500
    assert float(told[3]) == pytest.approx(
        (1000 * prompt + 2000 * completion) / 1e6, abs=1e-6
    )
    assert calls(desk.log()) == 1


@pytest.mark.parametrize("format", ["auto", "schema", "json", "none"])
def test_every_form_of_asking_is_understood(desk: Desk, format: str) -> None:
    tried = desk.attempt(VALID, format=format)
    assert tried.returncode == 0, tried.stderr
    # Nothing was refused on the way, so nothing was fallen back from.
    assert "refuses how the form" not in tried.stderr
    assert calls(desk.log()) == 1


def test_a_wrong_quote_is_repaired_once_and_is_then_no_answer(desk: Desk) -> None:
    tried = desk.attempt(INVALID)
    assert tried.returncode == 70, tried.stderr
    assert "the quote of pleural_effusion does not stand in the report" in tried.stderr
    assert "positive" not in tried.stdout, "no labels"
    assert calls(desk.log()) == 2


def test_an_answer_cut_off_is_repaired_once_and_is_then_no_answer(desk: Desk) -> None:
    tried = desk.attempt(VALID, max_tokens=256, provider=LONG)
    assert tried.returncode == 70, tried.stderr
    assert "the teacher's answer is not valid: it was cut off" in tried.stderr
    assert calls(desk.log()) == 2


def test_an_answer_that_the_server_cannot_read_is_no_trouble_of_the_server(
    desk: Desk,
) -> None:
    # The byte FF, wherever a string allows it: no UTF-8, and llama.cpp answers 500.
    broken = f"request = {{ logit_bias = [[{BYTES_FROM + 0xFF}, 100.0]] }}"
    tried = desk.attempt(VALID, max_tokens=256, provider=broken)
    assert "produced output that does not match" in desk.log(), "the case that is meant"
    assert tried.returncode == 70, tried.stderr
    assert "the teacher's answer is not valid" in tried.stderr
    assert calls(desk.log()) == 2, (
        "asked, and once more with what is wrong; not tried again"
    )


def test_a_key_that_is_not_accepted(desk: Desk) -> None:
    tried = desk.attempt(VALID, api_key="sesame")
    assert tried.returncode == 69, tried.stderr
    assert (
        "the key is not accepted (HTTP 401, authentication_error); check api_key"
        in tried.stderr
    )
    assert "sesame" not in tried.stderr
    log = desk.log()
    assert (calls(log), log.count("Invalid API Key")) == (0, 1), "told at once"
    few = put(desk.folder / "few.jsonl", corpus(2, 1))
    args = ["pseudo-label", few, "--out", desk.folder / "out.jsonl", "--yes"]
    labelled = desk.run(*args, api_key="sesame")
    assert labelled.returncode == 69, labelled.stderr
    assert "the key is not accepted" in labelled.stderr and calls(desk.log()) == 0


def test_a_path_that_is_not_there(desk: Desk) -> None:
    tried = desk.attempt(VALID, base_url=f"{desk.server.root}/v2")
    assert tried.returncode == 69, tried.stderr
    assert "no such model or path (HTTP 404, not_found_error)" in tried.stderr
    # This server has one model and does not mind by which name it is called; it tells its own.
    other = desk.attempt(VALID, model="nobody")
    assert other.returncode == 0 and f"{MODEL} by second" in other.stdout, other.stderr


def test_a_report_longer_than_the_context_is_refused(desk: Desk) -> None:
    tried = desk.attempt("FINDINGS: " + "Xq. " * 6000)
    assert tried.returncode == 70, tried.stderr
    assert "the teacher does not take this report" in tried.stderr
    assert "HTTP 400, exceed_context_size_error" in tried.stderr
    assert calls(desk.log()) == 1, "not tried again"


def test_a_call_that_takes_too_long_is_cut_tried_again_and_told(desk: Desk) -> None:
    # Runs to the end of the context: some 7,000 tokens.
    endless = 'request = { ignore_eos = true, response_format = "remove" }'
    tried = desk.attempt(VALID, timeout_s=1, max_tokens=1_000_000, provider=endless)
    assert tried.returncode == 69, tried.stderr
    assert "no answer within the time" in tried.stderr
    assert calls(desk.log()) == 2, "teacher.attempts"
    # The server looks after its connections now and then, and hears that nobody waits any more.
    give_up = time.monotonic() + PATIENCE
    while desk.log().count("cancel task") < 2:
        assert time.monotonic() < give_up, desk.log()
    assert calls(desk.log()) == 2
    assert desk.attempt(VALID).returncode == 0


def test_reports_in_bulk_are_labelled_or_told_and_every_call_is_counted(
    desk: Desk,
) -> None:
    reports = corpus(30, 12)
    path, out = put(desk.folder / "in.jsonl", reports), desk.folder / "out.jsonl"
    before = desk.server.tokens()
    ran = desk.run("pseudo-label", path, "--out", out, "--yes", concurrency=3)
    assert ran.returncode == 0, ran.stderr
    labelled = {line["id"]: line for line in written(out)}
    failed = {
        line["id"]: line["problem"] for line in written(Path(f"{out}.failed.jsonl"))
    }
    assert set(labelled) == {report["id"] for report in reports if is_quotable(report)}
    assert set(failed) == {report["id"] for report in reports} - set(labelled)
    assert set(failed.values()) == {"quote_not_in_text"}
    for line in labelled.values():
        assert line["labels"] == {"pleural_effusion": "positive"}
        # The model is sure of every word of it, in the order of the prompt.
        assert len(line["weights"]) == 13 and min(line["weights"].values()) > 0.9, line[
            "weights"
        ]

    after = desk.server.tokens()
    spent = {kind: after[kind] - before[kind] for kind in before}
    told = re.search(
        r"(\d+) labelled, .* (\d+) without an answer; (\d+) tokens, cost (\S+)",
        ran.stderr,
    )
    assert told, ran.stderr
    assert [int(told[n]) for n in (1, 2, 3)] == [
        30,
        12,
        spent["prompt"] + spent["completion"],
    ]
    cost = (1000 * spent["prompt"] + 2000 * spent["completion"]) / 1e6
    assert float(told[4]) == pytest.approx(cost, abs=1e-4)
    log = desk.log()
    assert calls(log) == 30 + 2 * 12, "once, and a repair of what was not valid"
    assert most_at_once(log) == 3, "concurrency"
    assert spent["cached"] > 0.5 * spent["prompt"], (
        "the rules come first, and are read once"
    )

    again = desk.run("pseudo-label", path, "--out", out, "--yes")
    assert again.returncode == 0 and "12 without an answer" in again.stderr, (
        again.stderr
    )
    assert calls(desk.log()) == 30 + 2 * 12 + 2 * 12, (
        "only what got no answer is asked again"
    )


def test_a_run_that_is_killed_goes_on_and_asks_nothing_twice(desk: Desk) -> None:
    reports = corpus(40, 0)
    path, out = put(desk.folder / "in.jsonl", reports), desk.folder / "out.jsonl"
    command = desk.command("pseudo-label", path, "--out", out, "--yes", concurrency=4)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and len(written_whole(out)) < 10:
            time.sleep(0.01)
        assert process.poll() is None, "it was killed before its end"
        process.kill()
    ran = desk.run("pseudo-label", path, "--out", out, "--yes")
    assert ran.returncode == 0, ran.stderr
    ids = [line["id"] for line in written(out)]
    assert sorted(ids) == sorted(report["id"] for report in reports), "each once"
    assert 40 <= calls(desk.log()) <= 40 + 4, "but for the calls under way at the kill"


def test_nonsense_never_becomes_a_label_without_a_quote(desk: Desk) -> None:
    reports = corpus(3, 1)
    path, out = put(desk.folder / "in.jsonl", reports), desk.folder / "out.jsonl"
    ran = desk.run(
        "pseudo-label", path, "--out", out, "--yes", provider=NOISE, max_tokens=256
    )
    assert ran.returncode == 0, ran.stderr
    labelled = {line["id"]: line for line in written(out)}
    failed = {line["id"] for line in written(Path(f"{out}.failed.jsonl"))}
    assert set(labelled) | failed == {report["id"] for report in reports}
    assert not set(labelled) & failed and failed, "there was some noise"
    for line in labelled.values():
        for name, status in line["labels"].items():
            if name != "no_finding" and status != "not_mentioned":
                quote = line["quotes"][name]
                assert any(
                    stands_in(quote, line[key]) for key in ["findings", "impression"]
                )


def test_votes_are_calls_of_their_own(desk: Desk) -> None:
    path, out = put(desk.folder / "in.jsonl", corpus(2, 0)), desk.folder / "out.jsonl"
    ran = desk.run("pseudo-label", path, "--out", out, "--yes", "--samples", "3")
    assert ran.returncode == 0, ran.stderr
    assert [line["teacher"]["votes"] for line in written(out)] == [3, 3]
    assert [line["targets"]["pleural_effusion"] for line in written(out)] == [
        [0.0, 1.0, 0.0, 0.0]
    ] * 2
    assert calls(desk.log()) == 6
