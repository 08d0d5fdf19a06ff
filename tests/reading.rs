//! What other programs read: kcat and Python, without a schema registry and with one.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use support::kafka::KafkaBroker;
use support::processes::RadstreamCommand;
use support::records::{NewRecord, await_decided};
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
    await_decided(&broker.client(), &stage.topic("findings"));
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

/// Registers a schema as any producer's serialiser does; gives its id.
fn register(url: &str, subject: &str, schema: &str) -> u32 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let body = serde_json::json!({ "schema": schema }).to_string();
    let answer: serde_json::Value = runtime.block_on(async {
        let request = reqwest::Client::new()
            .post(format!("{url}/subjects/{subject}/versions"))
            .header("content-type", "application/vnd.schemaregistry.v1+json")
            .body(body);
        let text = request.send().await.expect("an answer").text().await.expect("a body");
        serde_json::from_str(&text).expect("JSON")
    });
    let id = answer.get("id").and_then(serde_json::Value::as_u64);
    id.and_then(|id| id.try_into().ok()).unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn reports_inside_registered_avro_are_read_by_the_schema_of_their_id() {
    let registry = SchemaRegistry::shared();
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "avro-input");
    // Two versions of a sender's envelope: the report stands in another place of the bytes.
    let envelopes = [
        r#"{"type":"record","name":"Envelope","fields":[{"name":"hl7","type":"string"}]}"#,
        r#"{"type":"record","name":"Envelope","fields":[{"name":"received","type":"long","default":0},
            {"name":"hl7","type":["null","string"],"default":null}]}"#,
    ];
    let framed = |number: usize, hl7: &str| {
        let schema = Schema::parse_str(envelopes[number]).expect("a schema");
        let text = Value::String(hl7.to_owned());
        let value = match number {
            0 => Value::Record(vec![("hl7".into(), text)]),
            _ => Value::Record(vec![
                ("received".into(), Value::Long(1_700_000_000_000)),
                ("hl7".into(), Value::Union(1, Box::new(text))),
            ]),
        };
        let id = register(&registry.url(), "avro-input-value", envelopes[number]);
        let mut payload = [&[0][..], &id.to_be_bytes()].concat();
        let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
        writer.write_value(&mut payload, value).expect("it fits the schema");
        payload
    };
    let message = |accession: &str| {
        format!(
            "MSH|^~\\&|RIS|HOSP|||20260102||ORU^R01|1|P|2.5\rPID|1||1\r\
             OBR|1||{accession}^RIS|71046^XR CHEST^C4|||||||||||||||||||||F\r\
             OBX|1|TX|&IMP||No pneumothorax.||||||F\r"
        )
    };
    let mut records: Vec<NewRecord> = ["A1", "A2"]
        .into_iter()
        .enumerate()
        .map(|(number, accession)| NewRecord::new(accession, framed(number, &message(accession))))
        .collect();
    // No schema has this id.
    records.push(NewRecord::new("A3", [&[0, 0x7f, 0xff, 0xff, 0xff][..], b"\x02x"].concat()));
    let unknown = records[2].value.clone();
    broker.produce(&stage.topic("in"), records);
    let more = format!(
        "[schema_registry]\nurl = \"{}\"\n[intake]\navro_field = \"hl7\"\n[student]\nlabeler = \"rules\"\n",
        registry.url()
    );
    let config = stage.config("only", &more);
    let ran = RadstreamCommand::new(&["run", "--until-end"]).config(&config).run(PATIENCE);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let findings = broker.read_committed_all(&stage.topic("findings"));
    let mut keys: Vec<_> = findings.iter().filter_map(|message| message.key_text()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["RIS|A1", "RIS|A2"]);
    let dead = broker.read_committed_all(&stage.topic("dead"));
    let values: Vec<_> = dead.into_iter().map(|message| message.value).collect();
    assert_eq!(values, [unknown], "as it came");
}
