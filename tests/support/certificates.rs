//! Certificates made on the spot, as PEM files: an authority, and what it vouches for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What openssl is told of the two kinds of certificate; `NAMES` is the names of the second.
const SETTINGS: &str = "\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:TRUE
subjectKeyIdentifier = hash
[holder]
basicConstraints = critical,CA:FALSE
subjectAltName = NAMES
";

/// An authority with its key, in a folder.
pub struct Authority {
    folder: PathBuf,
    name: String,
}

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    /// When openssl is not there or refuses.
    pub fn new(folder: &Path, name: &str) -> Self {
        let authority = Self { folder: folder.to_owned(), name: name.to_owned() };
        authority.make(name, "authority", "DNS:nobody", &[]);
        authority
    }

    /// Its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.file(&self.name, "pem")
    }

    /// A certificate that it vouches for, valid for such names (`IP:127.0.0.1`): the files of the
    /// certificate and of the key, and one file with both, as a broker wants it.
    pub fn issue(&self, name: &str, names: &str) -> (PathBuf, PathBuf, PathBuf) {
        let (issuer, key) = (self.certificate(), self.file(&self.name, "key"));
        let issuer = [issuer.display().to_string(), key.display().to_string()];
        self.make(name, "holder", names, &["-CA", &issuer[0], "-CAkey", &issuer[1]]);
        let (certificate, key) = (self.file(name, "pem"), self.file(name, "key"));
        let read = |path: &Path| fs::read_to_string(path).expect("openssl wrote it");
        let both = self.file(name, "both.pem");
        fs::write(&both, read(&key) + &read(&certificate)).expect("a file");
        (certificate, key, both)
    }

    /// The key of `name` once more, encrypted.
    pub fn encrypted_key(&self, name: &str, password: &str) -> PathBuf {
        let (key, encrypted) = (self.file(name, "key"), self.file(name, "encrypted.key"));
        let files = [key.display().to_string(), encrypted.display().to_string()];
        let password = format!("pass:{password}");
        openssl(&[
            "pkcs8",
            "-topk8",
            "-v2",
            "aes-256-cbc",
            "-in",
            &files[0],
            "-out",
            &files[1],
            "-passout",
            &password,
        ]);
        encrypted
    }

    fn make(&self, name: &str, kind: &str, names: &str, more: &[&str]) {
        let settings = self.file(name, "cnf");
        fs::write(&settings, SETTINGS.replace("NAMES", names)).expect("a file");
        let files = [settings, self.file(name, "key"), self.file(name, "pem")];
        let [settings, key, out] = files.map(|path| path.display().to_string());
        let subject = format!("/CN={name}");
        let mut arguments = vec![
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &subject,
            "-config",
            &settings,
            "-extensions",
            kind,
            "-keyout",
            &key,
            "-out",
            &out,
        ];
        arguments.extend(more);
        openssl(&arguments);
    }

    fn file(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}.{ending}"))
    }
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .output()
        .expect("openssl, version 3 or newer; `make deps` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
