//! Security on a real Kafka broker: encryption, authentication, each right of the documented list, and
//! secrets that must be seen nowhere.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

mod bombs;
mod http;
mod rights;
mod secrets;
#[path = "../support/mod.rs"]
mod support;
mod tls;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use support::certificates::Authority;
use support::kafka::{BrokerOptions, KafkaBroker, Listener};
use support::processes::{Finished, RadstreamCommand};
use support::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(180);
/// Password of every SCRAM user. Recognisable: `secrets` looks for it.
const PASSWORD: &str = "PLANTED-sasl-password";

/// A broker with encryption and authentication, where nobody but the tests may do everything.
struct Secured {
    broker: KafkaBroker,
    /// Vouches for the broker and for our certificate.
    authority: Authority,
    /// Vouches for nobody.
    stranger: PathBuf,
    /// Our certificate, and its key.
    certificate: (PathBuf, PathBuf),
    _folder: tempfile::TempDir,
}

impl Secured {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Secured> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "authority");
        let stranger = Authority::new(folder.path(), "stranger").certificate();
        let (_, _, broker) = authority.issue("broker", "IP:127.0.0.1");
        let (certificate, key, _) = authority.issue("client", "DNS:client");
        let ca = authority.certificate();
        let mut options = BrokerOptions::new()
            .authorize_only(&["CN=client", "everything"])
            .scram_user("everything", PASSWORD)
            .listener(Listener::new("TLS", "SSL").tls(&broker, "none", &ca))
            .listener(Listener::new("MUTUAL", "SSL").tls(&broker, "required", &ca))
            .listener(Listener::sasl_ssl_scram("SASL").tls(&broker, "requested", &ca));
        for user in rights::users() {
            options = options.scram_user(&user, PASSWORD);
        }
        let broker = KafkaBroker::start_with(&options);
        Self { broker, authority, stranger, certificate: (certificate, key), _folder: folder }
    }

    /// The configuration of a stage, over this listener.
    fn config(&self, stage: &Stage<'_>, listener: &str, more: &str) -> String {
        let config = stage.config("x", &format!("[student]\nlabeler = \"rules\"\n{more}"));
        config.replace(self.broker.bootstrap(), self.broker.bootstrap_of(listener))
    }

    /// `[kafka.tls]` that trusts the broker.
    fn tls(&self) -> String {
        format!("[kafka.tls]\nenabled = true\nca_file = {:?}\n", self.authority.certificate())
    }
}

/// `[kafka.sasl]` for a SCRAM user.
fn scram(user: &str, password: &str) -> String {
    format!(
        "[kafka.sasl]\nmechanism = \"SCRAM-SHA-512\"\nusername = \"{user}\"\npassword = \"{password}\"\n"
    )
}

fn run(config: &str) -> Finished {
    RadstreamCommand::new(&["run", "--until-end"]).config(config).run(PATIENCE)
}
