//! A TCP proxy that stands between clients and one broker and fails as networks do.
//!
//! It knows Kafka's frames, so that a fault can be aimed at a request ("the commit reached the broker, the
//! client never heard of it"). It does not know TLS. Threads and blocking sockets; frames are passed on in
//! chunks and never kept whole. Every fault takes effect at once, also on connections that live.
//!
//! A broker must tell its clients the proxy's address: [`Proxy::bind`] first, then start the broker with
//! `advertised.listeners` (`BrokerOptions::advertise`), then [`Proxy::set_target`].

#![allow(dead_code, reason = "not every fault has a schedule that uses it")]
#![allow(unreachable_pub, reason = "a test binary exports nothing; `pub` marks what tests call")]

mod faults;
mod link;
#[cfg(test)]
mod real;
mod state;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use faults::{Act, Api, Counts, Fault, Kind, When};

use link::{Link, reset_on_close};
use state::Shared;

/// A target on loopback answers at once or not at all; one that is stopped may have no room.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// A running proxy. Shared by reference between threads; its own threads end when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy on a free port, without a target yet: connections are closed until it has one.
    pub fn bind() -> Self {
        Self::bind_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// A proxy at this address.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn bind_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("the proxy's address is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared::default());
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// A proxy on a free port in front of this target.
    pub fn start(target: SocketAddr) -> Self {
        let proxy = Self::bind();
        proxy.set_target(target);
        proxy
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections go from now on. Live ones stay where they are.
    pub fn set_target(&self, target: SocketAddr) {
        self.shared.change(|state| state.target = Some(target));
    }

    /// Resets every live connection, on both sides; their number.
    pub fn reset_all(&self) -> usize {
        self.shared.reset_all()
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refuse: bool) {
        self.shared.change(|state| state.refuse = refuse);
    }

    /// Whether all bytes, and the ends of connections, are held in both directions. Nothing is lost:
    /// it all goes on when the black hole ends.
    pub fn blackhole(&self, blackhole: bool) {
        self.shared.change(|state| state.blackhole = blackhole);
    }

    /// How much later each frame arrives; a round trip takes twice as long. Frames of one direction
    /// of one connection wait one after the other, as on a narrow link.
    pub fn latency(&self, latency: Duration) {
        self.shared.change(|state| state.latency = latency);
    }

    /// Bytes that are written at once at most; `None`: as they come.
    pub fn slice(&self, bytes: Option<usize>) {
        assert_ne!(bytes, Some(0), "nothing would ever pass");
        self.shared.change(|state| state.slice = bytes);
    }

    /// The next frames of a kind are hit. Several faults may be armed; of those that fit a frame, the
    /// one armed first hits it. A response is hit also if its request was sent before.
    pub fn arm(&self, fault: Fault) {
        self.shared.change(|state| state.armed.push(fault));
    }

    /// How many hits of armed faults are still to come.
    pub fn armed(&self) -> usize {
        self.shared
            .look(|state| state.armed.iter().fold(0, |n: usize, f| n.saturating_add(f.count)))
    }

    /// Forgets what is armed. Frames that are held stay held.
    pub fn disarm(&self) {
        self.shared.change(|state| state.armed.clear());
    }

    /// Lets the frames go that [`Act::Delay`] and [`Act::Hold`] hold now.
    pub fn release(&self) {
        self.shared.release();
    }

    /// How many frames [`Act::Delay`] and [`Act::Hold`] hold now.
    pub fn held(&self) -> usize {
        self.shared.look(|state| state.held)
    }

    /// All is well again: nothing armed, nothing held, no latency, no black hole.
    pub fn heal(&self) {
        self.shared.change(|state| {
            state.armed.clear();
            state.refuse = false;
            state.blackhole = false;
            state.latency = Duration::ZERO;
            state.slice = None;
        });
        self.release();
    }

    /// What went through so far, and what really happened to it.
    pub fn counts(&self) -> Counts {
        self.shared.look(|state| state.counts.clone())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.end();
        // One more connection, to wake the acceptor. Refused: it is gone already.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            // Its panic is on the error output; a panic here might be the second and end the process.
            drop(acceptor.join());
        }
    }
}

/// Takes connections until the proxy ends, then waits for their threads.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut served: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let (client, _) = listener.accept().expect("the process has file handles left");
        if shared.look(|state| state.ended) {
            break;
        }
        if shared.look(|state| state.refuse) {
            shared.change(|state| state.counts.hit(Kind::Refuse, None));
            reset_on_close(&client);
            continue;
        }
        served.retain(|thread| !thread.is_finished());
        let shared = Arc::clone(shared);
        served.push(thread::spawn(move || serve(&shared, client)));
    }
    for thread in served {
        drop(thread.join());
    }
}

/// Serves one connection until both of its sides have closed.
fn serve(shared: &Shared, client: TcpStream) {
    let target = shared.look(|state| state.target);
    let broker = target.and_then(|at| TcpStream::connect_timeout(&at, CONNECT_PATIENCE).ok());
    let Some(broker) = broker else {
        shared.change(|state| state.counts.hit(Kind::Unreachable, None));
        reset_on_close(&client);
        return;
    };
    // Fails when the client has gone already.
    let Ok(link) = Link::new(client, broker) else { return };
    let link = Arc::new(link);
    let Some(number) = shared.register(&link) else { return };
    thread::scope(|scope| {
        scope.spawn(|| link.responses(shared));
        link.requests(shared);
    });
    shared.forget(number);
}
