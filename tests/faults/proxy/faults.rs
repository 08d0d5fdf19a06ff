//! What can go wrong in the proxy, and the count of what did.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A request of Kafka's protocol, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::enum_variant_names, reason = "the protocol's own names")]
pub enum Api {
    Produce,
    Fetch,
    ListOffsets,
    Metadata,
    OffsetCommit,
    OffsetFetch,
    FindCoordinator,
    JoinGroup,
    Heartbeat,
    LeaveGroup,
    SyncGroup,
    SaslHandshake,
    ApiVersions,
    InitProducerId,
    AddPartitionsToTxn,
    AddOffsetsToTxn,
    EndTxn,
    TxnOffsetCommit,
    /// Any other, by its key.
    Other(i16),
}

impl Api {
    pub fn of_key(key: i16) -> Self {
        match key {
            0 => Self::Produce,
            1 => Self::Fetch,
            2 => Self::ListOffsets,
            3 => Self::Metadata,
            8 => Self::OffsetCommit,
            9 => Self::OffsetFetch,
            10 => Self::FindCoordinator,
            11 => Self::JoinGroup,
            12 => Self::Heartbeat,
            13 => Self::LeaveGroup,
            14 => Self::SyncGroup,
            17 => Self::SaslHandshake,
            18 => Self::ApiVersions,
            22 => Self::InitProducerId,
            24 => Self::AddPartitionsToTxn,
            25 => Self::AddOffsetsToTxn,
            26 => Self::EndTxn,
            28 => Self::TxnOffsetCommit,
            other => Self::Other(other),
        }
    }
}

/// Which of the two frames of an exchange is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// The request, before the broker has it: nothing was done.
    Before,
    /// The response: the broker has done what was asked, and the client does not hear of it.
    After,
}

/// What is done to the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The connection is reset, on both sides, and the frame is lost.
    Reset,
    /// The frame is swallowed; the connection lives on, and the client waits.
    Drop,
    /// The frame waits so long, or until [`super::Proxy::release`]. What follows it in its direction
    /// waits behind it. A held request reaches the broker even if its client has hung up meanwhile, as
    /// one in a router's queue would.
    Delay(Duration),
    /// The frame waits until [`super::Proxy::release`].
    Hold,
}

/// The next `count` frames of this kind are hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub api: Api,
    pub when: When,
    pub act: Act,
    pub count: usize,
}

/// Kinds of fault, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Armed, of one frame: [`Act::Reset`].
    Reset,
    /// Armed, of one frame: [`Act::Drop`].
    Drop,
    /// Armed, of one frame: [`Act::Delay`].
    Delay,
    /// Armed, of one frame: [`Act::Hold`].
    Hold,
    /// A live connection that [`super::Proxy::reset_all`] reset.
    ResetAll,
    /// A new connection that was closed at once.
    Refuse,
    /// A piece of a stream that a black hole held.
    Blackhole,
    /// A frame that arrived later for [`super::Proxy::latency`].
    Latency,
    /// A piece that [`super::Proxy::slice`] cut off.
    Slice,
    /// Not a fault of ours: a connection closed because the target did not take it.
    Unreachable,
}

impl From<Act> for Kind {
    fn from(act: Act) -> Self {
        match act {
            Act::Reset => Self::Reset,
            Act::Drop => Self::Drop,
            Act::Delay(_) => Self::Delay,
            Act::Hold => Self::Hold,
        }
    }
}

/// What went through the proxy, and which faults really happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were passed on to the target.
    pub connections: u64,
    /// Requests that arrived from clients.
    pub requests: BTreeMap<Api, u64>,
    /// Responses that arrived from the broker.
    pub responses: BTreeMap<Api, u64>,
    /// Faults by kind; armed ones also by the frame that they hit.
    pub hits: BTreeMap<(Kind, Option<(When, Api)>), u64>,
}

impl Counts {
    /// How often a kind of fault happened.
    pub fn fired(&self, kind: Kind) -> u64 {
        self.hits.iter().filter(|((of, _), _)| *of == kind).map(|(_, count)| count).sum()
    }

    /// How often a kind of armed fault hit such a frame.
    pub fn fired_at(&self, kind: Kind, when: When, api: Api) -> u64 {
        self.hits.get(&(kind, Some((when, api)))).copied().unwrap_or_default()
    }

    /// Requests of that kind that arrived.
    pub fn requests_of(&self, api: Api) -> u64 {
        self.requests.get(&api).copied().unwrap_or_default()
    }

    /// Responses of that kind that arrived.
    pub fn responses_of(&self, api: Api) -> u64 {
        self.responses.get(&api).copied().unwrap_or_default()
    }

    pub(super) fn hit(&mut self, kind: Kind, at: Option<(When, Api)>) {
        *self.hits.entry((kind, at)).or_default() += 1;
    }

    pub(super) fn arrived(&mut self, when: When, api: Api) {
        let frames = match when {
            When::Before => &mut self.requests,
            When::After => &mut self.responses,
        };
        *frames.entry(api).or_default() += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections", self.connections)?;
        for ((kind, at), count) in &self.hits {
            match at {
                Some((when, api)) => write!(f, ", {kind:?} {when:?} {api:?}: {count}")?,
                None => write!(f, ", {kind:?}: {count}")?,
            }
        }
        Ok(())
    }
}
