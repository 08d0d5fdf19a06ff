//! The sockets under the HTTP server: they can close where HTTP would not.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::serve::Shared;

/// Takes connections, and closes them at once while the server is down.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) shared: Arc<Shared>,
}

impl Listener for Door {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if self.shared.is_down() {
                self.shared.ledger.count(|counts| counts.closed_while_down += 1);
                continue;
            }
            // Without it an answer may wait for the client's acknowledgement; it is right all the same.
            drop(stream.set_nodelay(true));
            let line =
                Line { stream, scissors: Scissors::default(), shared: Arc::clone(&self.shared) };
            return (line, address);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection.
pub(super) struct Line {
    stream: TcpStream,
    scissors: Scissors,
    shared: Arc<Shared>,
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if buf.filled().len() > before && self.shared.is_down() {
            self.shared.ledger.count(|counts| counts.closed_while_down += 1);
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Line {
    // Not vectored: a head and the start of its body then come in one piece, which `Scissors` needs.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let allowed = if self.shared.is_down() { 0 } else { self.scissors.allowed(buf) };
        let part = buf.get(..allowed).unwrap_or(buf);
        if part.is_empty() && !buf.is_empty() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, part))?;
        self.scissors.wrote(buf.get(..written).unwrap_or(buf));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Cuts a connection's output. A handler gets those of the connection that it answers on.
#[derive(Clone, Default)]
pub(super) struct Scissors(Arc<Mutex<Plan>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Plan {
    /// Everything may go out.
    #[default]
    Whole,
    /// The head of an answer, and so many bytes of its body.
    Body(usize),
    /// So many bytes more.
    Left(usize),
}

impl Scissors {
    /// Nothing goes out any more: the connection closes without an answer.
    pub(super) fn close(&self) {
        *self.0.lock() = Plan::Left(0);
    }

    /// The next answer ends after so many bytes of its body, and the connection with it.
    pub(super) fn cut_body_after(&self, bytes: usize) {
        *self.0.lock() = Plan::Body(bytes);
    }

    /// How many of the bytes may go out.
    fn allowed(&self, buf: &[u8]) -> usize {
        match *self.0.lock() {
            Plan::Whole => buf.len(),
            Plan::Body(bytes) => {
                head_of(buf).map_or(buf.len(), |head| buf.len().min(head.saturating_add(bytes)))
            }
            Plan::Left(bytes) => buf.len().min(bytes),
        }
    }

    /// These bytes are out.
    fn wrote(&self, out: &[u8]) {
        let mut plan = self.0.lock();
        *plan = match *plan {
            Plan::Whole => Plan::Whole,
            Plan::Body(bytes) => head_of(out).map_or(Plan::Body(bytes), |head| {
                Plan::Left(bytes.saturating_sub(out.len().saturating_sub(head)))
            }),
            Plan::Left(bytes) => Plan::Left(bytes.saturating_sub(out.len())),
        };
    }
}

/// Length of the head that ends in these bytes. One that ends across two writes is not seen: heads
/// here are a few hundred bytes, and loopback takes them whole.
fn head_of(buf: &[u8]) -> Option<usize> {
    memchr::memmem::find(buf, b"\r\n\r\n").map(|at| at + 4)
}

impl Connected<IncomingStream<'_, Door>> for Scissors {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().scissors.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_lets_the_head_and_a_part_of_the_body_out() {
        let scissors = Scissors::default();
        let answer = b"HTTP/1.1 200 OK\r\n\r\n0123456789";
        assert_eq!(scissors.allowed(answer), answer.len());
        scissors.cut_body_after(4);
        assert_eq!(scissors.allowed(answer), 19 + 4);
        scissors.wrote(&answer[..21]);
        assert_eq!(scissors.allowed(&answer[21..]), 2);
        scissors.wrote(&answer[21..23]);
        assert_eq!(scissors.allowed(&answer[23..]), 0);
    }

    #[test]
    fn a_head_in_a_write_of_its_own_is_let_out_whole() {
        let scissors = Scissors::default();
        scissors.cut_body_after(4);
        scissors.wrote(b"HTTP/1.1 200 OK\r\n");
        scissors.wrote(b"content-length: 10\r\n\r\n");
        assert_eq!(scissors.allowed(b"0123456789"), 4);
        scissors.close();
        assert_eq!(scissors.allowed(b"0123456789"), 0);
    }
}
