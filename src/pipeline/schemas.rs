//! Schemas of Avro input, asked for when their id is first met.
//!
//! A registry that is down must not turn good records into dead letters: the decode thread asks again
//! until it is answered or the process ends, and backpressure does the rest.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Runtime;

use crate::decode::WriterSchemas;
use crate::publish::registry::{Registered, RegistryError, RegistrySettings, schema_of};

use super::stop::{Mode, Stop};

/// Wait before asking again; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a waiting thread looks whether the process ends.
const GLANCE: Duration = Duration::from_millis(100);

/// Fills [`WriterSchemas`] from a registry. Shared by the decode threads.
pub struct SchemaLookup {
    registry: RegistrySettings,
    schemas: Arc<WriterSchemas>,
    /// One question at a time: threads that wait find the answer there.
    runtime: Mutex<Runtime>,
    pause: Duration,
}

impl SchemaLookup {
    /// Asks `registry`, tells `schemas`.
    ///
    /// # Errors
    /// The system refuses what waiting for an answer needs.
    pub fn new(registry: RegistrySettings, schemas: Arc<WriterSchemas>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { registry, schemas, runtime: Mutex::new(runtime), pause: PAUSE })
    }

    /// Makes sure that what can be known of the schema of `payload` is known. `false`: the process ends
    /// first, and the record must be left to the next one.
    pub fn prepare(&self, payload: &[u8], stop: &Stop) -> bool {
        let mut pause = self.pause;
        loop {
            let Some(id) = self.schemas.unknown(payload) else { return true };
            match self.ask(payload, id) {
                Ok(()) => return true,
                Err(problem) => tracing::warn!(
                    %problem,
                    id,
                    "the schema of an input record is not known yet; it waits"
                ),
            }
            let mut left = pause;
            while !left.is_zero() {
                if stop.mode() == Mode::Leave {
                    return false;
                }
                std::thread::park_timeout(left.min(GLANCE));
                left = left.saturating_sub(GLANCE);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks once for the schema of `payload`, if it is not known; does not wait for a registry that
    /// does not answer.
    ///
    /// # Errors
    /// The registry does not answer.
    pub fn ask_once(&self, payload: &[u8]) -> Result<(), RegistryError> {
        self.schemas.unknown(payload).map_or(Ok(()), |id| self.ask(payload, id))
    }

    fn ask(&self, payload: &[u8], id: u32) -> Result<(), RegistryError> {
        let runtime = self.runtime.lock();
        if self.schemas.unknown(payload).is_none() {
            return Ok(()); // another thread has asked meanwhile
        }
        let answer = runtime.block_on(schema_of(&self.registry, id))?;
        let told = match &answer {
            Registered::Avro(json) => self.schemas.insert(id, Some(json)),
            Registered::Unusable => self.schemas.insert(id, None),
        };
        match (told, answer) {
            (Ok(()), Registered::Avro(_)) => tracing::info!(id, "schema of the input"),
            (Ok(()), Registered::Unusable) => tracing::warn!(
                id,
                "the registry has no Avro schema of this id that stands alone; its records become \
                 dead letters unless they are something else"
            ),
            (Err(problem), _) => tracing::warn!(
                id,
                %problem,
                "the schema of this id cannot be used; its records become dead letters"
            ),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    const SCHEMA: &str =
        r#"{"type":"record","name":"E","fields":[{"name":"message","type":"string"}]}"#;

    fn lookup(url: String) -> SchemaLookup {
        let registry = RegistrySettings {
            url,
            basic_auth: None,
            bearer_token: None,
            timeout: Duration::from_secs(10),
            auto_register: false,
            ca_file: None,
        };
        let pause = Duration::from_millis(1);
        SchemaLookup { pause, ..SchemaLookup::new(registry, Arc::default()).unwrap() }
    }

    /// A registry that gives these answers, one a connection. Gives its address, and the paths asked
    /// for when it is done.
    fn registry(
        answers: Vec<(&'static str, String)>,
    ) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                asked.push(request.split(' ').nth(1).unwrap_or_default().to_owned());
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
                let answer = format!("{head}Connection: close\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        (url, server)
    }

    #[test]
    fn a_registry_in_trouble_is_asked_again_and_an_answer_is_asked_for_once() {
        let schema = serde_json::json!({ "schema": SCHEMA }).to_string();
        let none = r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned();
        let (url, server) = registry(vec![
            ("503 Service Unavailable", String::new()),
            ("429 Too Many Requests", String::new()),
            ("200 OK", schema),
            ("404 Not Found", none),
        ]);
        let lookup = lookup(url);
        let stop = Stop::default();
        for payload in [&b"\0\0\0\0\x07\x02a"[..], b"\0\0\0\0\x07\x02b", b"\0\0\0\0\x08\x02c"] {
            assert!(lookup.prepare(payload, &stop));
            assert_eq!(lookup.schemas.unknown(payload), None);
        }
        assert!(lookup.prepare(b"MSH|^~\\&|A", &stop), "not Avro: nothing to ask");
        let asked = server.join().unwrap();
        let ids: Vec<&str> = asked.iter().map(|path| path.split('?').next().unwrap()).collect();
        let seven = "/schemas/ids/7";
        assert_eq!(ids, [seven, seven, seven, "/schemas/ids/8"]);
    }

    #[test]
    fn a_process_that_ends_leaves_the_record_to_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let stop = Stop::default();
        stop.request(Mode::Leave);
        assert!(!lookup(url).prepare(b"\0\0\0\0\x07\x02a", &stop));
    }
}
