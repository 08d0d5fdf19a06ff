//! What other programs read: kcat and Python, without a schema registry and with one.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::kafka::KafkaBroker;
use support::processes::RadstreamCommand;
use support::registry::SchemaRegistry;
use support::stage::{Stage, expected};

const PATIENCE: Duration = Duration::from_secs(300);
const SEED: u64 = 21;
const MESSAGES: u64 = 300;

/// Runs a shell pipeline in the project's folder.
fn shell(script: &str) -> String {
    // The Python of the checks, where `make deps` has put it.
    let root = env!("CARGO_MANIFEST_DIR");
    let path = format!("{root}/.venv/bin:{}", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .env("PATH", path)
        .args(["-c", script])
        .current_dir(root)
        .output()
        .expect("a POSIX shell");
    assert!(
        output.status.success(),
        "{script}\n{}\nkcat and Python's fastavro come with `make deps`",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

fn work_off(stage: &Stage<'_>, more: &str) {
    stage.feed(SEED, MESSAGES);
    let config = stage.config("only", more);
    let ran = RadstreamCommand::new(&["run", "--until-end"]).config(&config).run(PATIENCE);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn kcat_and_ten_lines_of_python_read_findings_without_a_registry() {
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "plain-avro");
    work_off(&stage, "");
    let script =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/decode_findings.py"))
            .expect("the script");
    let lines = script.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
    assert!(lines <= 10, "the documentation promises ten lines, there are {lines}");
    let printed = shell(&format!(
        "kcat -C -b {} -t {} -e -q -f '%R%s' | python3 docs/decode_findings.py schemas/findings_event.avsc",
        broker.bootstrap(),
        stage.topic("findings"),
    ));
    let (events, _) = expected(SEED, MESSAGES);
    assert_eq!(printed.lines().count(), events);
    let mut labelled = 0;
    for line in printed.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if event["kind"] == "LABELLED" {
            labelled += 1;
            assert_eq!(event["ai_asserted"], true);
            assert_eq!(event["findings"].as_array().map(Vec::len), Some(13));
            assert!(event["model"]["sha256"].as_str().is_some_and(|hash| hash.len() == 64));
        }
    }
    assert!(labelled > events / 2, "{labelled} of {events}");
}

#[test]
fn with_a_registry_values_carry_its_ids_and_its_schema_decodes_them() {
    let registry = SchemaRegistry::shared();
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "registered");
    work_off(&stage, &format!("[schema_registry]\nurl = \"{}\"\n", registry.url()));
    let messages = broker.read_committed_all(&stage.topic("findings"));
    let (events, _) = expected(SEED, MESSAGES);
    assert_eq!(messages.len(), events);
    let decoded = shell(&format!(
        "kcat -C -b {} -t {} -e -q -f '%R%s' | python3 -c '
import io, json, struct, sys, urllib.request, fastavro
schemas = {{}}
while size := sys.stdin.buffer.read(4):
    value = sys.stdin.buffer.read(struct.unpack(\">i\", size)[0])
    magic, number = struct.unpack(\">bI\", value[:5])
    assert magic == 0
    if number not in schemas:
        answer = urllib.request.urlopen(f\"{}/schemas/ids/{{number}}\").read()
        schemas[number] = fastavro.parse_schema(json.loads(json.loads(answer)[\"schema\"]))
    print(fastavro.schemaless_reader(io.BytesIO(value[5:]), schemas[number])[\"report_key\"])
'",
        broker.bootstrap(),
        stage.topic("findings"),
        registry.url(),
    ));
    assert_eq!(decoded.lines().count(), events);
    assert!(decoded.lines().all(|key| key.contains('|')), "report keys");
}
