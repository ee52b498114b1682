//! What name servers were told and what they answered, read from the frames.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::Deserialize;

use crate::{
    evidence::frame::{WireFrame, code},
    history::Frame,
    plan::SimMs,
};

/// A member of a replica group, as it names itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its group.
    pub group: String,
    /// Its id; 0 is the master.
    pub id: i64,
    /// Where it listens.
    pub address: String,
}

/// A call of a name server.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'h> {
    /// Position of the request in the history.
    pub event: usize,
    /// When it left.
    pub at_ms: SimMs,
    /// When the name server began to read it, if it ever did.
    pub arrived_ms: Option<SimMs>,
    /// Who asks.
    pub from: &'h str,
    /// The name server.
    pub to: &'h str,
    /// The answer that left the name server, if one did.
    pub answer: Option<Answered>,
}

/// An answer of a name server.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// Position in the history.
    pub event: usize,
    /// When it left.
    pub at_ms: SimMs,
    /// When it arrived, if it ever did.
    pub arrived_ms: Option<SimMs>,
    /// Its code.
    pub code: i32,
}

impl Asked<'_> {
    /// When the success that answered it left.
    #[must_use]
    pub fn done_ms(&self) -> Option<SimMs> {
        self.answer.filter(|answer| answer.code == 0).map(|answer| answer.at_ms)
    }
}

/// How many queues a topic has at a broker, and what may be done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queues {
    /// Permission bits: 4 read, 2 write.
    #[serde(default)]
    pub perm: i64,
    /// Queues to read.
    #[serde(default)]
    pub read_queue_nums: i64,
    /// Queues to write.
    #[serde(default)]
    pub write_queue_nums: i64,
}

/// A member tells that it is there, or that it goes.
#[derive(Debug)]
pub struct Told<'h> {
    /// Who and when.
    pub asked: Asked<'h>,
    /// Which member.
    pub member: Member,
    /// Whether a slave of its group may act.
    pub acts: bool,
    /// Its topics; `None` when it goes.
    pub topics: Option<BTreeMap<String, Queues>>,
}

/// A question where brokers are, with its answer.
#[derive(Debug)]
pub struct LookUp<'h> {
    /// Who and when.
    pub asked: Asked<'h>,
    /// The topic that it is about; `None` is all groups.
    pub topic: Option<String>,
    /// The members that the answer names.
    pub members: Vec<Member>,
    /// By group, the queues that it names.
    pub queues: BTreeMap<String, Queues>,
}

/// All that was said to name servers and by them.
#[derive(Debug, Default)]
pub struct Naming<'h> {
    /// Registrations and goodbyes, in order.
    pub told: Vec<Told<'h>>,
    /// Questions, in order.
    pub look_ups: Vec<LookUp<'h>>,
    pending: FxHashMap<(u64, i32), Pending>,
}

#[derive(Debug, Clone, Copy)]
enum Pending {
    Told(usize),
    LookUp(usize),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    topic_config_serialize_wrapper: TopicTable,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TopicTable {
    #[serde(default)]
    topic_config_table: BTreeMap<String, Queues>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Route {
    broker_datas: Vec<Group>,
    queue_datas: Vec<QueueData>,
    /// Of all groups at once.
    broker_addr_table: BTreeMap<String, Group>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Group {
    broker_name: String,
    broker_addrs: BTreeMap<i64, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueueData {
    broker_name: String,
    #[serde(flatten)]
    queues: Queues,
}

impl<'h> Naming<'h> {
    /// Takes in a request that left its sender.
    pub(super) fn request(&mut self, event: usize, at_ms: SimMs, frame: &'h Frame) {
        let (from, to, arrived_ms) = (&*frame.from, &*frame.to, frame.arrived_ms);
        let asked = Asked { event, at_ms, arrived_ms, from, to, answer: None };
        let pending = match frame.request_code {
            code::REGISTER_BROKER | code::UNREGISTER_BROKER => told(asked, frame).map(|told| {
                self.told.push(told);
                Pending::Told(self.told.len() - 1)
            }),
            code::GET_ROUTEINFO_BY_TOPIC | code::GET_BROKER_CLUSTER_INFO => {
                let topic = WireFrame::read(&frame.bytes).ok().and_then(|read| read.get("topic").map(str::to_owned));
                self.look_ups.push(LookUp { asked, topic, members: Vec::new(), queues: BTreeMap::new() });
                Some(Pending::LookUp(self.look_ups.len() - 1))
            }
            _ => None,
        };
        if let Some(pending) = pending {
            self.pending.insert((frame.connection, frame.opaque), pending);
        }
    }

    /// Takes in a response that left its server.
    pub(super) fn response(&mut self, event: usize, at_ms: SimMs, frame: &'h Frame) {
        let Some(pending) = self.pending.remove(&(frame.connection, frame.opaque)) else { return };
        let answer = Some(Answered { event, at_ms, arrived_ms: frame.arrived_ms, code: frame.code });
        match pending {
            Pending::Told(at) => self.told[at].asked.answer = answer,
            Pending::LookUp(at) => {
                self.look_ups[at].asked.answer = answer;
                self.look_ups[at].read(frame);
            }
        }
    }
}

impl LookUp<'_> {
    fn read(&mut self, frame: &Frame) {
        let Ok(read) = WireFrame::read(&frame.bytes) else { return };
        let route: Route = serde_json::from_slice(read.body).unwrap_or_default();
        for group in route.broker_datas.into_iter().chain(route.broker_addr_table.into_values()) {
            let member = |(id, address)| Member { group: group.broker_name.clone(), id, address };
            self.members.extend(group.broker_addrs.into_iter().map(member));
        }
        self.queues = route.queue_datas.into_iter().map(|data| (data.broker_name, data.queues)).collect();
    }
}

/// `None` from a frame that names no broker.
fn told<'h>(asked: Asked<'h>, frame: &Frame) -> Option<Told<'h>> {
    let read = WireFrame::read(&frame.bytes).ok()?;
    let member = Member {
        group: read.get("brokerName")?.to_owned(),
        id: read.number("brokerId")?,
        address: read.get("brokerAddr")?.to_owned(),
    };
    let acts = read.get("enableActingMaster") == Some("true");
    let is_here = read.code == code::REGISTER_BROKER;
    let table = |read: &WireFrame<'_>| serde_json::from_slice::<Registration>(read.body).ok();
    let topics = is_here.then(|| table(&read).map(|told| told.topic_config_serialize_wrapper.topic_config_table));
    Some(Told { asked, member, acts, topics: topics.map(Option::unwrap_or_default) })
}
