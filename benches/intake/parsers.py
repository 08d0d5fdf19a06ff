"""The Python side of `cargo bench --bench intake`: parses the same messages with `hl7` and `hl7apy`.

Standard input: a line with the number of messages; for each, a line with its length in bytes and the
bytes; then one line a pass: the parser's name and how many messages. Standard output: a line of JSON
when ready (the versions), then one a pass: seconds of processor time, seconds, and OBX segments seen.
"""

import json
import sys
import time
from importlib.metadata import version

import hl7
from hl7apy.parser import parse_message


def with_hl7(text):
    return len(hl7.parse(text).segments("OBX"))


def with_hl7apy(text):
    # Without groups: the structure of segments is what the other parsers give, and it is faster.
    return sum(
        child.name == "OBX" for child in parse_message(text, find_groups=False).children
    )


PARSERS = {"hl7": with_hl7, "hl7apy": with_hl7apy}


def say(value):
    print(json.dumps(value), flush=True)


def main():
    stdin = sys.stdin.buffer
    messages = [
        stdin.read(int(stdin.readline())).decode("utf-8")
        for _ in range(int(stdin.readline()))
    ]
    say({name: version(name) for name in PARSERS})
    for line in stdin:
        name, count = line.decode("ascii").split()
        parse = PARSERS[name]
        wall, cpu = time.perf_counter(), time.process_time()
        seen = sum(parse(text) for text in messages[: int(count)])
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        say({"cpu": cpu, "wall": wall, "obx": seen})


if __name__ == "__main__":
    main()
