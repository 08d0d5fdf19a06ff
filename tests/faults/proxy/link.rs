//! One connection through the proxy: two threads, one for each direction.
//!
//! Kafka's frames are a length in four bytes and so many bytes more. A request begins with the key of its
//! API, its version and a number (2, 2 and 4 bytes); a response with the number of its request.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::SockRef;

use super::faults::{Act, Api, When};
use super::state::Shared;

/// A writer looks so often whether its connection was reset.
const WRITE_LOOK: Duration = Duration::from_millis(50);
/// Bytes read and passed on at once; longer frames are not kept whole.
const CHUNK: usize = 64 * 1024;
/// Far above what brokers take (`socket.request.max.bytes`, 100 MiB): longer is not Kafka.
const MAX_FRAME: usize = 1 << 30;

/// Both sides of a connection.
pub(super) struct Link {
    client: TcpStream,
    broker: TcpStream,
    reset: AtomicBool,
    /// Requests whose response has not come, by their number.
    open: Mutex<HashMap<i32, Api>>,
}

/// The start of a frame, as read, and how much of it is still to come.
struct Head {
    bytes: Vec<u8>,
    rest: usize,
}

impl Link {
    pub(super) fn new(client: TcpStream, broker: TcpStream) -> io::Result<Self> {
        for stream in [&client, &broker] {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(WRITE_LOOK))?;
        }
        Ok(Self { client, broker, reset: AtomicBool::new(false), open: Mutex::default() })
    }

    /// Ends both directions; the last thread to let go closes the sockets, and with no time to
    /// linger that is a reset.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::SeqCst);
        for stream in [&self.client, &self.broker] {
            reset_on_close(stream);
            // Wakes a reader and puts nothing on the wire. The peer may be gone already.
            drop(stream.shutdown(Shutdown::Read));
        }
    }

    pub(super) fn is_reset(&self) -> bool {
        self.reset.load(Ordering::SeqCst)
    }

    pub(super) fn alive(&self) -> io::Result<()> {
        if self.is_reset() { Err(ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    /// Client to broker, until the client closes.
    pub(super) fn requests(&self, shared: &Shared) {
        self.ends(shared, self.pump_requests(shared), &self.broker);
    }

    /// Broker to client, until the broker closes.
    pub(super) fn responses(&self, shared: &Shared) {
        self.ends(shared, self.pump_responses(shared), &self.client);
    }

    fn pump_requests(&self, shared: &Shared) -> io::Result<()> {
        while let Some(head) = self.head(&self.client, 8)? {
            let api = match head.bytes[..] {
                [_, _, _, _, a, b, ..] => Api::of_key(i16::from_be_bytes([a, b])),
                // Too short for a header, which old SASL tokens do not have.
                _ => Api::Other(-1),
            };
            let act = shared.arrived(self, When::Before, api)?;
            if let [_, _, _, _, _, _, _, _, a, b, c, d] = head.bytes[..] {
                let number = i32::from_be_bytes([a, b, c, d]);
                self.open.lock().expect("no panic holds it").insert(number, api);
            }
            self.pass(shared, head, act, (&self.client, &self.broker))?;
        }
        Ok(())
    }

    fn pump_responses(&self, shared: &Shared) -> io::Result<()> {
        while let Some(head) = self.head(&self.broker, 4)? {
            let api = match head.bytes[..] {
                [_, _, _, _, a, b, c, d] => {
                    let number = i32::from_be_bytes([a, b, c, d]);
                    self.open.lock().expect("no panic holds it").remove(&number)
                }
                _ => None,
            };
            let act = shared.arrived(self, When::After, api.unwrap_or(Api::Other(-1)))?;
            self.pass(shared, head, act, (&self.broker, &self.client))?;
        }
        Ok(())
    }

    /// Reads the length of the next frame and at most so many bytes more; `None` at the end of the
    /// stream. A frame that is cut off is an end too: nobody could use it.
    fn head(&self, mut from: &TcpStream, header: usize) -> io::Result<Option<Head>> {
        let mut length = [0; 4];
        match from.read_exact(&mut length) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                // A reset looks like an end to the reader that it woke.
                return self.alive().map(|()| None);
            }
            done => done?,
        }
        let mut bytes = length.to_vec();
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_FRAME {
            return Err(ErrorKind::InvalidData.into());
        }
        let header = header.min(length);
        let read = from.take(header as u64).read_to_end(&mut bytes)?;
        self.alive()?;
        if read < header {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(Head { bytes, rest: length - header }))
    }

    /// Passes a frame on, or does to it what an armed fault says.
    fn pass(
        &self,
        shared: &Shared,
        head: Head,
        act: Option<Act>,
        (from, to): (&TcpStream, &TcpStream),
    ) -> io::Result<()> {
        match act {
            Some(Act::Reset) => return Err(ErrorKind::ConnectionReset.into()),
            Some(Act::Delay(longest)) => shared.hold(self, longest)?,
            Some(Act::Hold) => shared.hold(self, Duration::MAX)?,
            Some(Act::Drop) | None => {}
        }
        let swallow = act == Some(Act::Drop);
        if !swallow {
            self.write(shared, to, &head.bytes)?;
        }
        let mut rest = head.rest;
        let mut chunk = vec![0; CHUNK.min(rest)];
        while rest > 0 {
            let read = from.take(rest as u64).read(&mut chunk)?;
            self.alive()?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if !swallow {
                self.write(shared, to, chunk.get(..read).unwrap_or_default())?;
            }
            rest -= read;
        }
        Ok(())
    }

    fn write(&self, shared: &Shared, mut to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let piece = shared.may_pass(self, bytes.len())?;
            match to.write(bytes.get(..piece).unwrap_or(bytes)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                // The reader is slow, or stopped: look whether there was a reset, and go on.
                Err(error) if is_pause(error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A side that closed is passed on as a close, any failure as a reset.
    fn ends(&self, shared: &Shared, result: io::Result<()>, other: &TcpStream) {
        // A black hole holds the end of a stream too.
        let closed = result.and_then(|()| shared.may_pass(self, 0)).is_ok();
        // The other side may have gone first: then there is nobody left to tell.
        if !closed || other.shutdown(Shutdown::Write).is_err() {
            shared.reset(self);
        }
    }
}

/// What is closed from now on is closed with RST.
pub(super) fn reset_on_close(stream: &TcpStream) {
    // Fails only for a socket that is gone.
    drop(SockRef::from(stream).set_linger(Some(Duration::ZERO)));
}

fn is_pause(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
