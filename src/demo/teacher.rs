//! A server that stands in for the LLM teacher: OpenAI's chat completions, over real HTTP, without a
//! model.
//!
//! It answers from the rules or from recorded labels, and it can fail in every way that a teacher
//! does: refuse, hang, close the connection in the middle, or answer well-formed nonsense. Tests and
//! `radstream demo` use it. What it says is no better than the rules: never train on it.
//!
//! Of the request's options it heeds `messages`, `response_format`, `logprobs` and `n` (1 only). It
//! takes the others (`temperature`, `max_completion_tokens`, `seed`) and does nothing with them.
//! Tokens are counted as bytes / 4, rounded up: an order of magnitude, no tokenizer's count.

mod answers;
mod counts;
mod failures;
mod reply;
mod request;
mod serve;
mod wire;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

pub use answers::{Answers, RecordedError, RecordedLabels};
pub use counts::{Counts, SeenRequest};
pub use failures::{Failures, Fault};

use serve::Shared;

/// What the server is to be like.
#[derive(Clone)]
pub struct TeacherOptions {
    /// Where the labels come from.
    pub answers: Answers,
    /// How often it fails, and how.
    pub failures: Failures,
    /// The model's name, as answers and the list of models give it.
    pub model: String,
    /// Which response formats it understands.
    pub response_format: ResponseSupport,
    /// Whether it gives log probabilities when a request asks for them.
    pub logprobs: bool,
    /// When set, a request with another key gets 401. As `Authorization: Bearer KEY` or `api-key: KEY`.
    pub api_key: Option<String>,
    /// Wait before each answer, refusals of a bad key or a bad request excepted.
    pub latency: Duration,
}

impl Default for TeacherOptions {
    /// The rules, no failures, everything understood, no key, no wait.
    fn default() -> Self {
        Self {
            answers: Answers::Rules,
            failures: Failures::default(),
            model: "stub-teacher".to_owned(),
            response_format: ResponseSupport::Schema,
            logprobs: true,
            api_key: None,
            latency: Duration::ZERO,
        }
    }
}

/// Which `response_format` the server understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseSupport {
    /// `json_schema` and `json_object`.
    Schema,
    /// `json_object` only: `json_schema` gets 400, as from older servers.
    JsonModeOnly,
}

/// A running server. It ends when dropped, and what it has not answered by then stays unanswered.
pub struct TeacherServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TeacherServer {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// As [`TeacherServer::start_on`].
    pub fn start(options: TeacherOptions) -> io::Result<Self> {
        Self::start_on(options, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts on the given address; port 0 is any free one. Connections are taken once it returns.
    ///
    /// # Errors
    /// The address cannot be bound, or the system gives no thread.
    pub fn start_on(options: TeacherOptions, addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(options));
        let (stop, stopped) = oneshot::channel();
        let (started, start) = mpsc::sync_channel(1);
        let of_thread = Arc::clone(&shared);
        // The runtime is made and dropped in the thread: a caller may itself stand in a runtime, and
        // one must not be dropped within another.
        let thread =
            std::thread::Builder::new().name("stub-teacher".to_owned()).spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
                match runtime {
                    Ok(runtime) => {
                        runtime.block_on(serve::serve(listener, of_thread, started, stopped));
                    }
                    // Nobody listens only when the caller is gone.
                    Err(error) => drop(started.send(Err(error))),
                }
            })?;
        let server = Self { address, shared, stop: Some(stop), thread: Some(thread) };
        start.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended at its start")))?;
        Ok(server)
    }

    /// What a client is given as base URL: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The base URL as Azure gives it, with the deployment's name in its path.
    pub fn azure_url(&self, deployment: &str) -> String {
        format!("http://{}/openai/deployments/{deployment}", self.address)
    }

    /// What has happened until now.
    pub fn counts(&self) -> Counts {
        self.shared.ledger.counts()
    }

    /// What was asked: the most recent 10,000 requests that could be read, oldest first, refused ones
    /// included. The caller answers for where the texts go.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared.ledger.requests()
    }

    /// Fails as given from the next call on. The numbering of calls goes on.
    pub fn set_failures(&self, failures: Failures) {
        self.shared.set_failures(failures);
    }

    /// Down: every connection is closed as soon as something arrives on it, new ones at once, and
    /// what waits for an answer loses its connection. Up again with `false`.
    pub fn set_down(&self, down: bool) {
        self.shared.set_down(down);
    }
}

impl Drop for TeacherServer {
    fn drop(&mut self) {
        // The receiver ends on the drop of the sender.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // An error is a panic in the thread, which has been reported where it happened.
            drop(thread.join());
        }
    }
}
