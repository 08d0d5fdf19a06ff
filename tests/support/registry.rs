//! A real schema registry: Apicurio Registry with in-memory storage, through the same HTTP API as
//! Confluent's.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::processes::http_get;
use super::server::{self, JavaServer, PATIENCE};

const HOST: &str = "127.0.0.1";
const API: &str = "/apis/ccompat/v7";

/// A running registry without any schema at first. It ends with the value, or with the test process.
pub struct SchemaRegistry {
    server: JavaServer,
    /// Removed after the server has ended: fields drop in order.
    _folder: TempDir,
    port: u16,
}

impl SchemaRegistry {
    /// Starts a registry and waits until it answers.
    ///
    /// # Panics
    /// With the remedy when its jars or Java are missing, with the log when the start fails.
    pub fn start() -> Self {
        let jars =
            server::dependency("RADSTREAM_REGISTRY", ".deps/registry", "the schema registry");
        let jar = std::fs::read_dir(&jars)
            .expect("the registry's folder is readable")
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.to_string_lossy().ends_with("-runner.jar"))
            .unwrap_or_else(|| panic!("{} has no runner jar: run `make deps`", jars.display()));
        for _ in 0..3 {
            let folder = server::server_folder("radstream-registry-");
            let port = server::free_port();
            let mut args = server::small_jvm("400m");
            args.extend([
                format!("-Dquarkus.http.host={HOST}"),
                format!("-Dquarkus.http.port={port}"),
                "-Dquarkus.log.level=WARN".into(),
                "-jar".into(),
                jar.display().to_string(),
            ]);
            let server = JavaServer::spawn(folder.path(), args);
            let registry = Self { server, _folder: folder, port };
            if registry.await_start() {
                return registry;
            }
        }
        panic!("no free port stayed free for the schema registry in three attempts")
    }

    /// The one registry of this test binary.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<SchemaRegistry> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// What `schema_registry.url` is set to.
    pub fn url(&self) -> String {
        format!("http://{HOST}:{}{API}", self.port)
    }

    /// The answer to a GET below the URL, for example `/subjects`: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        http_get(&format!("{HOST}:{}", self.port), &format!("{API}{path}"))
            .unwrap_or_else(|e| panic!("the registry does not answer: {e}"))
    }

    /// SIGKILL: what a test needs to see a registry go away.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// False when the port was taken.
    fn await_start(&self) -> bool {
        let address = format!("{HOST}:{}", self.port);
        let deadline = Instant::now() + PATIENCE;
        server::wait_until("the schema registry", PATIENCE + Duration::from_secs(5), || {
            let ready = http_get(&address, &format!("{API}/subjects"));
            if ready.is_ok_and(|(status, _)| status == 200) {
                return Some(true);
            }
            let ended = self.server.exit_code().is_some();
            if ended && self.server.log_contains("already in use") {
                return Some(false);
            }
            assert!(
                !ended && Instant::now() < deadline,
                "the schema registry did not start. The end of its log:\n{}",
                self.server.log_tail(40),
            );
            None
        })
    }
}
