//! The `radstream` binary as a child process.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

use super::server::{self, tail, wait_until};

/// What to start: arguments, configuration, environment.
#[derive(Clone, Debug, Default)]
pub struct RadstreamCommand {
    args: Vec<String>,
    config: Option<String>,
    env: Vec<(String, String)>,
    stdin: Vec<u8>,
}

impl RadstreamCommand {
    /// `radstream ARGS`.
    pub fn new(args: &[&str]) -> Self {
        Self { args: args.iter().map(|&arg| arg.to_owned()).collect(), ..Self::default() }
    }

    /// Adds `--config FILE` with a file of this text.
    pub fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.to_owned());
        self
    }

    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// What it reads from its standard input; nothing by default.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Starts it in the project's folder, without the caller's `RADSTREAM_*` settings.
    pub fn spawn(&self) -> Radstream {
        let folder = server::server_folder("radstream-run-");
        let file = |name: &str| folder.path().join(name);
        let create = |name: &str| File::create(file(name)).expect("a file for the output");
        fs::write(file("stdin"), &self.stdin).expect("a file for the input");
        let mut command = Command::new(env!("CARGO_BIN_EXE_radstream"));
        command
            .args(&self.args)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(File::open(file("stdin")).expect("the input"))
            .stdout(create("stdout"))
            .stderr(create("stderr"));
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("RADSTREAM_") {
                command.env_remove(key);
            }
        }
        if let Some(toml) = &self.config {
            fs::write(file("radstream.toml"), toml).expect("a configuration file");
            command.arg("--config").arg(file("radstream.toml"));
        }
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        let child = command.spawn().expect("the radstream binary starts");
        Radstream { child, ended: None, folder }
    }

    /// Starts it and waits for its end.
    ///
    /// # Panics
    /// When it has not ended after `patience`, with the end of its log.
    pub fn run(&self, patience: Duration) -> Finished {
        let mut process = self.spawn();
        let status = process.wait(patience);
        Finished { code: status.code(), stdout: process.stdout(), stderr: process.stderr() }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// `None` after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Checks the exit code, and words that the message must have: what is wrong, where, and the remedy.
    ///
    /// # Panics
    /// When the code is another, or a word is missing; with the message.
    #[track_caller]
    pub fn assert_told(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in:\n{}", self.stderr);
        }
    }
}

/// A running `radstream`. SIGKILL when dropped.
pub struct Radstream {
    child: Child,
    ended: Option<ExitStatus>,
    folder: TempDir,
}

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The most there ever was.
    pub peak: u64,
    pub now: u64,
}

impl Radstream {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            self.child.kill().expect("the process is ours to kill");
            self.ended = Some(self.child.wait().expect("a killed process ends"));
        }
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Any signal by its name: STOP, CONT, INT.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill` is everywhere, and needs no unsafe code here.
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &self.pid().to_string()])
            .status()
            .expect("a POSIX shell");
        assert!(status.success(), "SIG{name} was not delivered");
    }

    /// The exit status, once it has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the process is ours to wait for");
        }
        self.ended
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// After `patience`, with the end of its log.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let deadline = std::time::Instant::now() + patience;
        wait_until("radstream to end", patience + Duration::from_secs(5), || {
            let ended = self.try_wait();
            assert!(
                ended.is_some() || std::time::Instant::now() < deadline,
                "radstream did not end within {patience:?}. The end of its log:\n{}",
                self.log_tail(40),
            );
            ended
        })
    }

    /// Where its HTTP endpoints listen, from its log.
    pub fn address(&mut self) -> String {
        let folder = self.folder.path().join("stderr");
        self.until("address of the HTTP endpoints", Duration::from_secs(60), || {
            let log = fs::read_to_string(&folder).ok()?;
            let at = log.split("address=").nth(1)?;
            Some(at.split_whitespace().next()?.to_owned())
        })
    }

    /// GET from its HTTP endpoints: status and body.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn get(&mut self, path: &str) -> (u16, String) {
        let address = self.address();
        http_get(&address, path).unwrap_or_else(|e| panic!("{path}: {e}\n{}", self.log_tail(20)))
    }

    /// Resident memory, from the kernel.
    ///
    /// # Panics
    /// When the process has ended, with the end of its log.
    pub fn memory(&self) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let field = |name: &str| -> u64 {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok())
                .map(|kibibytes: u64| kibibytes * 1024)
                .unwrap_or_else(|| panic!("radstream is gone:\n{}", self.log_tail(40)))
        };
        Memory { peak: field("VmHWM:"), now: field("VmRSS:") }
    }

    pub fn stdout(&self) -> String {
        self.output("stdout")
    }

    /// Standard output as it came, text or not.
    pub fn stdout_bytes(&self) -> Vec<u8> {
        fs::read(self.folder.path().join("stdout")).unwrap_or_default()
    }

    /// The log.
    pub fn stderr(&self) -> String {
        self.output("stderr")
    }

    /// The last lines of the log.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.stderr(), lines)
    }

    /// The file of the configuration given.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("radstream.toml")
    }

    /// Asks until `ask` has an answer, and fails at once if the process ends meanwhile.
    ///
    /// # Panics
    /// After `patience`, or when the process has ended; both with the end of its log.
    pub fn until<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut ask: impl FnMut() -> Option<T>,
    ) -> T {
        let deadline = std::time::Instant::now() + patience;
        wait_until(what, patience + Duration::from_secs(5), || {
            let answer = ask();
            if answer.is_none() {
                let ended = self.try_wait();
                assert!(
                    ended.is_none() && std::time::Instant::now() < deadline,
                    "no {what} within {patience:?} (ended: {ended:?}). The end of the log:\n{}",
                    self.log_tail(40),
                );
            }
            answer
        })
    }

    fn output(&self, name: &str) -> String {
        let bytes = fs::read(self.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Radstream {
    fn drop(&mut self) {
        self.kill();
    }
}

/// GET over HTTP/1.0, where the end of the connection ends the body: status and body.
///
/// # Errors
/// When nothing listens there or the answer is no HTTP.
pub fn http_get(address: &str, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    let limit = Some(Duration::from_secs(60));
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(limit)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP head"))?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP status"))?;
    Ok((status, body.to_owned()))
}
