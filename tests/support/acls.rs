//! ACLs over Kafka's own protocol: Java's tool takes seconds for each, and a test wants dozens.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::server::{PATIENCE, wait_until};

/// A right to grant: principal (`User:x`), operation (`Read`), kind of resource (`topic`), its name.
#[derive(Clone, Debug)]
pub struct Grant {
    pub user: String,
    pub operation: String,
    pub kind: String,
    pub name: String,
}

/// Keys of the two requests, in the last versions without tagged fields.
const DESCRIBE_ACLS: i16 = 29;
const CREATE_ACLS: i16 = 30;
const VERSION: i16 = 1;
const ANY: u8 = 1;
const LITERAL: u8 = 3;
const ALLOW: u8 = 3;

/// Grants all of these, and waits until the broker goes by them.
///
/// # Panics
/// When the broker refuses.
pub fn grant(bootstrap: &str, grants: &[Grant]) {
    let mut body = Vec::new();
    body.extend(u32::try_from(grants.len()).expect("a few").to_be_bytes());
    for grant in grants {
        body.push(resource(&grant.kind));
        text(&mut body, &grant.name);
        body.push(LITERAL);
        text(&mut body, &format!("User:{}", grant.user));
        text(&mut body, "*");
        body.extend([operation(&grant.operation), ALLOW]);
    }
    let answer = ask(bootstrap, CREATE_ACLS, &body).expect("an answer to the request for ACLs");
    // Throttle time and number of results; then a code and, where that is 0, an empty message.
    let results = answer.get(8..).expect("results");
    let done = results.chunks(4).take_while(|result| *result == [0; 4]).count();
    assert_eq!(
        done,
        grants.len(),
        "an ACL was refused: {:?}",
        String::from_utf8_lossy(results).trim_matches('\0')
    );
    let Some(last) = grants.last() else { return };
    let mut filter = vec![resource(&last.kind)];
    text(&mut filter, &last.name);
    filter.push(LITERAL);
    text(&mut filter, &format!("User:{}", last.user));
    filter.extend([0xff, 0xff, operation(&last.operation), ANY]);
    // What is written later is applied later.
    wait_until("the broker to know its ACLs", PATIENCE, || {
        let answer = ask(bootstrap, DESCRIBE_ACLS, &filter).ok()?;
        // Throttle time, code, no message; then the number of resources.
        let length = i16::from_be_bytes(answer.get(6..8)?.try_into().ok()?).max(0);
        let at = 8 + usize::try_from(length).ok()?;
        (answer.get(at..at + 4)? != [0; 4]).then_some(())
    });
}

fn resource(kind: &str) -> u8 {
    match kind {
        "topic" => 2,
        "group" => 3,
        "transactional id" => 5,
        other => panic!("no such kind of resource: {other}"),
    }
}

fn operation(name: &str) -> u8 {
    match name {
        "Read" => 3,
        "Write" => 4,
        "Describe" => 8,
        other => panic!("no such operation: {other}"),
    }
}

fn text(into: &mut Vec<u8>, value: &str) {
    into.extend(u16::try_from(value.len()).expect("short").to_be_bytes());
    into.extend(value.as_bytes());
}

/// Sends a request and gives its answer without the correlation id.
fn ask(bootstrap: &str, key: i16, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    request.extend(key.to_be_bytes());
    request.extend(VERSION.to_be_bytes());
    request.extend(7_u32.to_be_bytes());
    text(&mut request, "test");
    request.extend(body);
    let mut stream = TcpStream::connect(bootstrap)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(&u32::try_from(request.len()).expect("short").to_be_bytes())?;
    stream.write_all(&request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer)?;
    Ok(answer.split_off(4))
}
