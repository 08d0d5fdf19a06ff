//! A Java server as a child that cannot outlive the test process.
//!
//! A shell stands between: it holds the read end of a pipe whose write end only the test process
//! has. When that closes, by drop, by the end of the process or by SIGKILL, the shell kills the
//! server and removes its folder. So a broker kept in a `static`, which Rust never drops, is cleaned
//! up as well, without unsafe code.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long any single step may take on a busy two-core machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks at something that cannot be waited on directly.
const PAUSE: Duration = Duration::from_millis(20);

/// `kill` keeps the folder (the server may be started again); the end of the pipe removes it.
const SUPERVISOR: &str = r#"
folder=$1; shift
exec 3<&0
"$@" >>"$folder/server.log" 2>&1 </dev/null 3<&- &
server=$!
echo $server >"$folder/pid"
{ read -r word <&3; kept=$?; kill -9 $server; exit $kept; } 2>/dev/null &
watcher=$!
wait $server
echo $? >"$folder/exit-code"
wait $watcher || rm -rf "$folder"
"#;

/// A running Java server: its log, its end, and the power to kill it.
pub struct JavaServer {
    supervisor: Child,
    folder: PathBuf,
}

impl JavaServer {
    /// Starts `java ARGS` with `folder` as its working folder; output goes to `folder/server.log`.
    pub fn spawn(folder: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        for stale in ["pid", "exit-code"] {
            match fs::remove_file(folder.join(stale)) {
                Err(error) if error.kind() != ErrorKind::NotFound => panic!("{stale}: {error}"),
                _ => {}
            }
        }
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "sh"])
            .arg(folder)
            .arg("java")
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::piped())
            // The shell reports the kill that it was told to do.
            .stderr(Stdio::null())
            // Its own group: Ctrl-C ends the tests, and the shell then cleans up.
            .process_group(0)
            .spawn()
            .expect("a POSIX shell starts the server");
        Self { supervisor, folder: folder.to_owned() }
    }

    /// The server's process id, for signals.
    pub fn pid(&self) -> u32 {
        wait_until("the server's process id", PATIENCE, || {
            fs::read_to_string(self.folder.join("pid")).ok()?.trim().parse().ok()
        })
    }

    /// The exit code, once the server has ended.
    pub fn exit_code(&self) -> Option<i32> {
        fs::read_to_string(self.folder.join("exit-code")).ok()?.trim().parse().ok()
    }

    /// Whether anything in the log contains `needle`.
    pub fn log_contains(&self, needle: &str) -> bool {
        self.log().contains(needle)
    }

    /// The last `lines` lines of the log.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log(), lines)
    }

    fn log(&self) -> String {
        fs::read(self.folder.join("server.log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// SIGKILL; returns when the server is gone. Its folder stays.
    pub fn kill(&mut self) {
        if let Some(mut pipe) = self.supervisor.stdin.take() {
            // The shell may be gone already, and the server with it: the pipe is then broken.
            drop(pipe.write_all(b"kill\n"));
        }
        self.supervisor.wait().expect("the shell over the server ends");
    }
}

impl Drop for JavaServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A loopback port that was free a moment ago. The server that gets it may still find it taken: its
/// starter then tries another.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("loopback has a free port")
        .port()
}

/// The folder that `make deps` fills, or the one named by `variable`.
///
/// # Panics
/// With the remedy when it is not there: a test that needs a server never passes without it.
pub fn dependency(variable: &str, default: &str, what: &str) -> PathBuf {
    let folder = std::env::var_os(variable)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(default), PathBuf::from);
    assert!(
        fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()),
        "{what} is not in {}: run `make deps`, or set {variable} to the folder that has it",
        folder.display(),
    );
    folder
}

/// A folder for a server, removed with the value or with the test process.
pub fn server_folder(prefix: &str) -> tempfile::TempDir {
    tempfile::Builder::new().prefix(prefix).tempdir().expect("a temporary folder")
}

/// The flags that make a small JVM start fast.
pub fn small_jvm(heap: &str) -> Vec<String> {
    vec![
        format!("-Xmx{heap}"),
        "-XX:+UseSerialGC".into(),
        "-XX:TieredStopAtLevel=1".into(),
        "-Xshare:auto".into(),
    ]
}

/// Writes a small file into a server's folder.
pub fn write(path: &Path, text: &str) {
    File::create(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .unwrap_or_else(|e| panic!("{} cannot be written: {e}", path.display()));
}

/// Asks again and again until `ask` has an answer.
///
/// # Panics
/// When there is none within `patience`, saying what was waited for.
pub fn wait_until<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} for {what}");
        thread::park_timeout(PAUSE);
    }
}

/// The last `lines` lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let skipped = text.lines().count().saturating_sub(lines);
    text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}
