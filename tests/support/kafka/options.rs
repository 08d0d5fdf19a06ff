//! What a test broker can be different in: listeners, properties, users.

use std::collections::BTreeMap;
use std::path::Path;

/// A further listener, for example with SASL or TLS.
#[derive(Clone, Debug)]
pub struct Listener {
    pub(super) name: String,
    pub(super) protocol: String,
    pub(super) properties: Vec<(String, String)>,
}

impl Listener {
    /// A listener called `name` (upper case) that speaks `protocol`: PLAINTEXT, SSL, SASL_PLAINTEXT
    /// or SASL_SSL.
    pub fn new(name: &str, protocol: &str) -> Self {
        Self { name: name.to_owned(), protocol: protocol.to_owned(), properties: Vec::new() }
    }

    /// A property of this listener, without its prefix `listener.name.<name>.`.
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }

    /// SASL/PLAIN without encryption, for these users and passwords.
    pub fn sasl_plain(name: &str, users: &[(&str, &str)]) -> Self {
        let users: String =
            users.iter().map(|(user, password)| format!(" user_{user}=\"{password}\"")).collect();
        let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
        Self::new(name, "SASL_PLAINTEXT")
            .property("sasl.enabled.mechanisms", "PLAIN")
            .property("plain.sasl.jaas.config", &format!("{module} required{users};"))
    }

    /// SASL/SCRAM-SHA-256 without encryption; the users are [`BrokerOptions::scram_user`]s.
    pub fn sasl_scram(name: &str) -> Self {
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
        Self::new(name, "SASL_PLAINTEXT")
            .property("sasl.enabled.mechanisms", "SCRAM-SHA-256")
            .property("scram-sha-256.sasl.jaas.config", &format!("{module} required;"))
    }

    /// SASL/SCRAM-SHA-512 for [`BrokerOptions::scram_user`]s; add [`Listener::tls`].
    pub fn sasl_ssl_scram(name: &str) -> Self {
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
        Self::new(name, "SASL_SSL")
            .property("sasl.enabled.mechanisms", "SCRAM-SHA-512")
            .property("scram-sha-512.sasl.jaas.config", &format!("{module} required;"))
    }

    /// Encryption with this key and certificate (one file). `clients`: what is to become of a client's
    /// certificate (`none`, `requested`, `required`), and the authority that must vouch for it.
    pub fn tls(self, both: &Path, clients: &str, authority: &Path) -> Self {
        self.property("ssl.keystore.type", "PEM")
            .property("ssl.keystore.location", &both.display().to_string())
            .property("ssl.truststore.type", "PEM")
            .property("ssl.truststore.location", &authority.display().to_string())
            .property("ssl.client.auth", clients)
    }
}

/// What a test wants different from the plain broker.
#[derive(Clone, Debug, Default)]
pub struct BrokerOptions {
    pub(super) listeners: Vec<Listener>,
    pub(super) properties: Vec<(String, String)>,
    pub(super) scram_users: Vec<(String, String)>,
    pub(super) advertised: BTreeMap<String, String>,
}

impl BrokerOptions {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// A broker property; it wins over the fixture's own.
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Clients of a listener are told to come to this address, where something stands in between.
    pub fn advertise(mut self, listener: &str, address: &str) -> Self {
        self.advertised.insert(listener.to_owned(), address.to_owned());
        self
    }

    /// A SCRAM user, known from the first start.
    pub fn scram_user(mut self, name: &str, password: &str) -> Self {
        self.scram_users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Only the users given, and the plaintext listener's anonymous one, may do anything.
    pub fn authorize_only(self, super_users: &[&str]) -> Self {
        let users: String = super_users.iter().map(|user| format!(";User:{user}")).collect();
        self.property(
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        )
        .property("super.users", &format!("User:ANONYMOUS{users}"))
    }
}
