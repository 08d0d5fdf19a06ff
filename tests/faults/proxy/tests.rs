//! The proxy against a made-up broker, frame by frame.

#![allow(unused_imports, reason = "a bench that shares the module leaves the tests out")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{Act, Api, Counts, Fault, Kind, Proxy, When};
use crate::support::server::wait_until;

const HEARTBEAT: i16 = 12;
const END_TXN: i16 = 26;
/// Long enough for any answer, and no test passes by waiting for its end.
const LIMIT: Duration = Duration::from_secs(30);

/// Answers every request with its own body, and tells which requests arrived.
struct Echo {
    address: SocketAddr,
    arrived: Receiver<i32>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, arrived) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, tell) = (stream.unwrap(), tell.clone());
                thread::spawn(move || {
                    while let Some(frame) = read_frame(&mut stream) {
                        let (head, body) = frame.split_at(8);
                        let number = i32::from_be_bytes(head[4..].try_into().unwrap());
                        if tell.send(number).is_err() {
                            return;
                        }
                        // The client may have gone.
                        drop(write_frame(&mut stream, &[&number.to_be_bytes(), body]));
                    }
                });
            }
        });
        Self { address, arrived }
    }
}

fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

fn write_frame(stream: &mut TcpStream, parts: &[&[u8]]) -> std::io::Result<()> {
    let body = parts.concat();
    let length = u32::try_from(body.len()).unwrap();
    stream.write_all(&[&length.to_be_bytes(), body.as_slice()].concat())
}

/// A client of the made-up broker.
struct Client(TcpStream);

impl Client {
    fn connect(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self(stream)
    }

    fn ask(&mut self, api: i16, number: i32, body: &[u8]) {
        let head = [&api.to_be_bytes()[..], &[0, 0], &number.to_be_bytes()].concat();
        write_frame(&mut self.0, &[&head, body]).unwrap();
    }

    /// Number and body of the next response.
    fn answer(&mut self) -> (i32, Vec<u8>) {
        let mut frame = read_frame(&mut self.0).expect("a response");
        let body = frame.split_off(4);
        (i32::from_be_bytes(frame.try_into().unwrap()), body)
    }

    /// How the connection ends: an error, or nothing more to read.
    fn end(&mut self) -> Option<ErrorKind> {
        match self.0.read(&mut [0]) {
            Ok(0) => None,
            Ok(_) => panic!("a byte came"),
            Err(error) => Some(error.kind()),
        }
    }
}

fn fault(api: Api, when: When, act: Act, count: usize) -> Fault {
    Fault { api, when, act, count }
}

fn until(proxy: &Proxy, what: &str, mut enough: impl FnMut(&Counts) -> bool) {
    wait_until(what, LIMIT, || enough(&proxy.counts()).then_some(()));
}

#[test]
fn frames_pass_unchanged_whole_cut_up_and_late_and_are_counted() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.address);
    let mut client = Client::connect(&proxy);
    let large: Vec<u8> = (0..3_000_001_u32).map(|i| (i % 251) as u8).collect();
    for (number, body) in [(1, &b""[..]), (2, b"abc"), (3, &large)] {
        client.ask(HEARTBEAT, number, body);
        assert!(client.answer() == (number, body.to_vec()));
    }
    proxy.slice(Some(7));
    client.ask(99, 4, &large[..5_000]);
    assert!(client.answer() == (4, large[..5_000].to_vec()));
    proxy.slice(None);
    proxy.latency(Duration::from_millis(40));
    let asked = Instant::now();
    client.ask(HEARTBEAT, 5, b"late");
    client.answer();
    assert!(asked.elapsed() >= Duration::from_millis(80), "once in each direction");

    let counts = proxy.counts();
    assert_eq!(counts.connections, 1);
    assert_eq!(counts.requests_of(Api::Heartbeat), 4);
    assert_eq!(counts.responses_of(Api::Heartbeat), 4);
    assert_eq!(counts.responses_of(Api::Other(99)), 1);
    assert!(counts.fired(Kind::Slice) > 1_000, "{counts}");
    assert_eq!(counts.fired(Kind::Latency), 2);
    assert_eq!(counts.fired(Kind::Blackhole), 0);
}

#[test]
fn an_armed_fault_hits_the_frames_it_is_aimed_at_and_so_many_of_them() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.address);
    let mut client = Client::connect(&proxy);
    proxy.arm(fault(Api::EndTxn, When::Before, Act::Drop, 1));
    proxy.arm(fault(Api::EndTxn, When::After, Act::Drop, 2));
    client.ask(HEARTBEAT, 1, b"");
    for number in 2..=5 {
        client.ask(END_TXN, number, b"body");
    }
    assert_eq!(client.answer().0, 1);
    assert_eq!(client.answer(), (5, b"body".to_vec()), "2 was swallowed; 3 and 4 were answered");
    let arrived: Vec<i32> = echo.arrived.try_iter().collect();
    assert_eq!(arrived, [1, 3, 4, 5]);
    let counts = proxy.counts();
    assert_eq!(counts.fired_at(Kind::Drop, When::Before, Api::EndTxn), 1);
    assert_eq!(counts.fired_at(Kind::Drop, When::After, Api::EndTxn), 2);
    assert_eq!(counts.fired(Kind::Drop), 3);
    assert_eq!(proxy.armed(), 0);

    proxy.arm(fault(Api::EndTxn, When::Before, Act::Drop, usize::MAX));
    proxy.disarm();
    client.ask(END_TXN, 6, b"");
    assert_eq!(client.answer().0, 6);
}

#[test]
fn a_reset_before_or_after_the_broker_ends_that_connection_only() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.address);
    let mut other = Client::connect(&proxy);
    for (when, number) in [(When::Before, 1), (When::After, 2)] {
        let mut client = Client::connect(&proxy);
        proxy.arm(fault(Api::EndTxn, when, Act::Reset, 1));
        client.ask(END_TXN, number, b"");
        assert_eq!(client.end(), Some(ErrorKind::ConnectionReset));
        assert_eq!(proxy.counts().fired_at(Kind::Reset, when, Api::EndTxn), 1);
    }
    assert_eq!(echo.arrived.recv(), Ok(2), "the first never arrived");
    other.ask(HEARTBEAT, 3, b"");
    assert_eq!(other.answer().0, 3);
}

#[test]
fn a_held_request_reaches_the_broker_after_its_client_has_gone() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.address);
    let mut client = Client::connect(&proxy);
    proxy.arm(fault(Api::EndTxn, When::Before, Act::Hold, 1));
    client.ask(END_TXN, 1, b"");
    wait_until("a held frame", LIMIT, || (proxy.held() == 1).then_some(()));
    drop(client);
    let mut another = Client::connect(&proxy);
    another.ask(END_TXN, 2, b"");
    another.answer();
    assert_eq!(echo.arrived.try_iter().collect::<Vec<_>>(), [2]);
    proxy.release();
    assert_eq!(echo.arrived.recv_timeout(LIMIT), Ok(1));
    assert_eq!(proxy.counts().fired_at(Kind::Hold, When::Before, Api::EndTxn), 1);
}

#[test]
fn a_delay_ends_by_itself_or_when_it_is_released() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.address);
    let mut client = Client::connect(&proxy);
    let short = Duration::from_millis(60);
    proxy.arm(fault(Api::Heartbeat, When::After, Act::Delay(short), 1));
    let asked = Instant::now();
    client.ask(HEARTBEAT, 1, b"");
    assert_eq!(client.answer().0, 1);
    assert!(asked.elapsed() >= short);

    proxy.arm(fault(Api::Heartbeat, When::After, Act::Delay(LIMIT * 10), 1));
    client.ask(HEARTBEAT, 2, b"");
    until(&proxy, "the second delay", |counts| counts.fired(Kind::Delay) == 2);
    wait_until("a held frame", LIMIT, || (proxy.held() == 1).then_some(()));
    proxy.release();
    assert_eq!(client.answer().0, 2);
    assert_eq!(proxy.held(), 0);
}

#[test]
fn a_black_hole_holds_both_directions_and_loses_nothing() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.address);
    let mut client = Client::connect(&proxy);
    proxy.arm(fault(Api::Heartbeat, When::After, Act::Hold, 1));
    client.ask(HEARTBEAT, 1, b"on its way back");
    wait_until("a held response", LIMIT, || (proxy.held() == 1).then_some(()));
    proxy.blackhole(true);
    proxy.release();
    client.ask(HEARTBEAT, 2, b"on its way there");
    until(&proxy, "a held frame each way", |counts| counts.fired(Kind::Blackhole) == 2);
    let mut late = Client::connect(&proxy);
    late.ask(HEARTBEAT, 3, b"of a new connection");
    until(&proxy, "a third", |counts| counts.fired(Kind::Blackhole) == 3);
    assert_eq!(echo.arrived.try_iter().collect::<Vec<_>>(), [1]);
    client.0.set_nonblocking(true).unwrap();
    assert_eq!(client.end(), Some(ErrorKind::WouldBlock), "nothing came back");
    client.0.set_nonblocking(false).unwrap();
    proxy.blackhole(false);
    assert_eq!(client.answer(), (1, b"on its way back".to_vec()));
    assert_eq!(client.answer(), (2, b"on its way there".to_vec()));
    assert_eq!(late.answer(), (3, b"of a new connection".to_vec()));
}

#[test]
fn all_connections_can_be_reset_and_new_ones_refused() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.address);
    let mut clients = [Client::connect(&proxy), Client::connect(&proxy), Client::connect(&proxy)];
    // One idle, one with a frame in a black hole, one whose response is held.
    proxy.arm(fault(Api::EndTxn, When::After, Act::Hold, 1));
    clients[2].ask(END_TXN, 1, b"");
    wait_until("a held response", LIMIT, || (proxy.held() == 1).then_some(()));
    proxy.blackhole(true);
    clients[1].ask(HEARTBEAT, 2, b"");
    until(&proxy, "a held request", |counts| counts.fired(Kind::Blackhole) == 1);
    until(&proxy, "all connections", |counts| counts.connections == 3);
    assert_eq!(proxy.reset_all(), 3);
    for client in &mut clients {
        assert_eq!(client.end(), Some(ErrorKind::ConnectionReset));
    }
    assert_eq!(proxy.counts().fired(Kind::ResetAll), 3);

    proxy.refuse(true);
    // The kernel took the connection before the proxy closed it.
    assert_eq!(Client::connect(&proxy).end(), Some(ErrorKind::ConnectionReset));
    assert_eq!(proxy.counts().fired(Kind::Refuse), 1);
    proxy.heal();
    let mut client = Client::connect(&proxy);
    client.ask(HEARTBEAT, 3, b"");
    assert_eq!(client.answer().0, 3);
}

#[test]
fn a_target_may_come_late_go_and_change() {
    let proxy = Proxy::bind();
    assert_eq!(Client::connect(&proxy).end(), Some(ErrorKind::ConnectionReset));
    assert_eq!(proxy.counts().fired(Kind::Unreachable), 1);
    let (first, second) = (Echo::start(), Echo::start());
    proxy.set_target(first.address);
    let mut client = Client::connect(&proxy);
    client.ask(HEARTBEAT, 1, b"");
    client.answer();
    proxy.set_target(second.address);
    let mut later = Client::connect(&proxy);
    later.ask(HEARTBEAT, 2, b"");
    later.answer();
    client.ask(HEARTBEAT, 3, b"");
    client.answer();
    assert_eq!(first.arrived.try_iter().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(second.arrived.try_iter().collect::<Vec<_>>(), [2]);
}

#[test]
fn dropping_the_proxy_ends_its_threads_whatever_they_wait_for() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.address);
    let mut clients = [Client::connect(&proxy), Client::connect(&proxy), Client::connect(&proxy)];
    proxy.arm(fault(Api::EndTxn, When::Before, Act::Hold, 1));
    clients[0].ask(END_TXN, 1, b"");
    wait_until("a held request", LIMIT, || (proxy.held() == 1).then_some(()));
    proxy.blackhole(true);
    clients[1].ask(HEARTBEAT, 2, b"");
    until(&proxy, "a black hole", |counts| counts.fired(Kind::Blackhole) == 1);
    until(&proxy, "all connections", |counts| counts.connections == 3);
    let address = proxy.address();
    // Joins all of them: a thread that stayed would hang the test.
    drop(proxy);
    for client in &mut clients {
        assert_eq!(client.end(), Some(ErrorKind::ConnectionReset));
    }
    let gone = TcpStream::connect(address).map(drop).map_err(|error| error.kind());
    assert_eq!(gone, Err(ErrorKind::ConnectionRefused));
}
