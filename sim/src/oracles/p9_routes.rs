//! Part of P9: what a name server answers to whoever looks for brokers.
//!
//! Rule: it names a member only if that one registered so, has given a sign of life within [`LIVES_MS`], and has neither
//! said goodbye nor been replaced since. It leaves out none whose registration it took within that time, and of which
//! nothing of the kind is known. The queues of a topic are what its group registered last, and so is what may be done with
//! them, but for writing while no master is there and a slave may act; so it stays where the master that came back names the
//! topic no more. Of two things that it may have done in either order both are believed, and of a name server that began
//! anew only what it took since.

use std::collections::BTreeMap;

use super::Findings;
use crate::{
    history::EventKind,
    ledger::{
        Ledger,
        naming::{Asked, LookUp, Member, Queues, Told},
    },
    plan::SimMs,
};

/// How long a registration lives without another, ms.
const LIVES_MS: SimMs = 120_000;

/// How long after it began to arrive a request is surely done, ms, at a name server that runs.
const DONE_MS: SimMs = 1_000;

/// Times in the history are whole milliseconds.
const ROUNDING_MS: SimMs = 5;

/// The permission to write.
const WRITE: i64 = 2;

/// The answer to who asks for a topic that no broker has.
const NO_ROUTE: i32 = 17;

pub(super) fn check(ledger: &Ledger<'_>, found: &mut Findings<'_>) {
    let known = Known::of(ledger);
    for look_up in &ledger.naming.look_ups {
        let asked = &look_up.asked;
        let answer = asked.answer.filter(|answer| answer.code == 0 || answer.code == NO_ROUTE);
        let Some((answer, arrived_ms)) = answer.zip(asked.arrived_ms) else { continue };
        let (began_ms, resumed_ms) = known.marks(asked.to, answer.event);
        let view = View { known: &known, look_up, arrived_ms, left_ms: answer.at_ms, began_ms, resumed_ms };
        let mut wrong: Vec<String> = look_up.members.iter().filter_map(|member| view.is_there(member)).collect();
        wrong.extend(view.places(None).filter_map(|(_, place)| view.leaves_out(place)));
        wrong.extend(look_up.queues.iter().filter_map(|(group, queues)| view.are_so(group, queues)));
        for wrong in wrong {
            found.broken(answer.at_ms, asked.to, format!("it told {} {wrong}", asked.from));
        }
    }
}

/// What was told to name servers.
struct Known<'l> {
    ledger: &'l Ledger<'l>,
    /// By name server, group and id, in order.
    places: BTreeMap<(&'l str, &'l str, i64), Vec<&'l Told<'l>>>,
    /// When something happened to a name server, and whether it only went on: position, name, time.
    marks: Vec<(usize, &'l str, SimMs, bool)>,
}

impl<'l> Known<'l> {
    fn of(ledger: &'l Ledger<'l>) -> Self {
        let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for told in &ledger.naming.told {
            places.entry((told.asked.to, told.member.group.as_str(), told.member.id)).or_default().push(told);
        }
        let is_name_server = |node: &str| ledger.naming.told.iter().any(|told| told.asked.to == node);
        let marks = ledger.history.events.iter().enumerate().filter_map(|(number, event)| match &event.kind {
            EventKind::Node { node, event: what } if what != "paused" && is_name_server(node) => {
                Some((number, node.as_str(), event.at_ms, what == "resumed"))
            }
            _ => None,
        });
        Self { ledger, marks: marks.collect(), places }
    }

    /// When a name server last began, and when it last went on after a pause, before an event.
    fn marks(&self, server: &str, before: usize) -> (SimMs, SimMs) {
        let last = |goes_on: bool| {
            let is_it = |mark: &&(usize, &str, SimMs, bool)| mark.0 < before && mark.1 == server && mark.3 == goes_on;
            self.marks.iter().rev().find(is_it).map_or(0, |mark| mark.2)
        };
        (last(false), last(true))
    }
}

/// What a name server knows when it answers a question.
struct View<'l> {
    known: &'l Known<'l>,
    look_up: &'l LookUp<'l>,
    /// When the question arrived, and when its answer left.
    arrived_ms: SimMs,
    left_ms: SimMs,
    /// When the name server last began, and when it last went on after a pause.
    began_ms: SimMs,
    resumed_ms: SimMs,
}

impl<'l> View<'l> {
    /// What this name server was told of a member.
    fn place(&self, group: &str, id: i64) -> &[&'l Told<'l>] {
        let mut places = self.places(Some(group));
        places.find(|(of, _)| *of == id).map_or(&[][..], |(_, told)| told.as_slice())
    }

    /// What it was told of all members, or those of one group.
    fn places(&self, only: Option<&str>) -> impl Iterator<Item = (i64, &Vec<&'l Told<'l>>)> {
        let known = self.known.places.iter().filter(|((server, ..), _)| *server == self.look_up.asked.to);
        let wanted = known.filter(move |((_, group, _), _)| only.is_none_or(|only| only == *group));
        wanted.map(|((.., id), told)| (*id, told))
    }

    /// What is wrong with naming a member.
    fn is_there(&self, member: &Member) -> Option<String> {
        let place = self.place(&member.group, member.id);
        let (mut registered, mut alive) = (false, false);
        for (at, told) in place.iter().enumerate().rev() {
            let is_it = told.topics.is_some() && told.member == *member;
            if !is_it || told.asked.arrived_ms.is_none_or(|arrived_ms| arrived_ms > self.left_ms) {
                continue;
            }
            let done_ms = self.done_ms(&told.asked);
            let stood_ms = self.known.ledger.stood_ms(told.asked.to, done_ms, self.arrived_ms);
            registered = true;
            if done_ms + LIVES_MS + stood_ms + ROUNDING_MS < self.arrived_ms {
                continue;
            }
            alive = true;
            let ends_it = |later: &&Told<'_>| {
                let is_done = later.asked.done_ms().is_some_and(|done_ms| done_ms < self.look_up.asked.at_ms);
                is_done && ends(later, told) && self.is_before(told, later)
            };
            if !place[at + 1..].iter().any(ends_it) {
                return None;
            }
        }
        let Member { group, id, address } = member;
        let why = match (registered, alive) {
            (false, _) => "which never registered so",
            (true, false) => "of which it has heard nothing for too long",
            (true, true) => "which is not there any more",
        };
        Some(format!("of member {id} of {group} at {address}, {why}"))
    }

    /// Whose registration it took, and whom it does not name.
    fn leaves_out(&self, place: &[&Told<'_>]) -> Option<String> {
        let is_done = |told: &&&Told<'_>| {
            told.topics.is_some() && told.asked.done_ms().is_some_and(|done_ms| done_ms < self.look_up.asked.at_ms)
        };
        let last = place.iter().rev().find(is_done)?;
        let Member { group, id, address } = &last.member;
        let is_named = |member: &Member| *member == last.member;
        let is_asked_for = match &self.look_up.topic {
            Some(topic) => {
                self.look_up.members.iter().any(|member| member.group == *group)
                    || *id == 0 && last.topics.as_ref().is_some_and(|topics| topics.contains_key(topic))
            }
            None => true,
        };
        let lives = last.asked.at_ms > self.began_ms
            && last.asked.arrived_ms.is_some_and(|at_ms| at_ms + LIVES_MS > self.left_ms + ROUNDING_MS);
        if !is_asked_for || !lives || self.look_up.members.iter().any(is_named) {
            return None;
        }
        let may_end_it =
            |told: &&Told<'_>| ends(told, last) && told.asked.at_ms <= self.left_ms && !self.is_before(told, last);
        if place.iter().any(may_end_it) {
            return None;
        }
        Some(format!("nothing of member {id} of {group} at {address}, whose registration it took"))
    }

    /// What is wrong with a topic's queues in a group.
    fn are_so(&self, group: &str, named: &Queues) -> Option<String> {
        let topic = self.look_up.topic.as_ref()?;
        let has_master = self.look_up.members.iter().any(|member| member.group == group && member.id == 0);
        let of = |told: &Told<'_>| told.topics.as_ref().and_then(|topics| topics.get(topic)).copied();
        let told = self.places(Some(group)).flat_map(|(_, told)| told);
        let told: Vec<_> = told.filter(|told| of(told).is_some()).collect();
        let is_done = |told: &&&&Told<'_>| {
            let done_ms = told.asked.done_ms().filter(|_| told.member.id == 0 && told.asked.at_ms > self.began_ms);
            done_ms.is_some_and(|done_ms| done_ms < self.look_up.asked.at_ms)
        };
        let last = told.iter().filter(is_done).max_by_key(|told| told.asked.event);
        let may_be_last = |told: &&&&Told<'_>| {
            let may_be = told.asked.arrived_ms.is_some_and(|arrived_ms| arrived_ms <= self.left_ms);
            may_be && last.is_none_or(|last| !self.is_before(told, last)) && (told.member.id == 0 || !has_master)
        };
        // What the master does not name any more, such as a topic that was deleted, stays as it was shown in its absence.
        let is_left_over = has_master && !self.is_named_by_master(group, topic);
        let is_it = |told: &&Told<'_>| {
            let read_only = of(told).map(|queues| Queues { perm: queues.perm & !WRITE, ..queues });
            let may_be_read_only = told.acts && (!has_master || is_left_over);
            (may_be_read_only && read_only == Some(*named)) || ((has_master || !told.acts) && of(told) == Some(*named))
        };
        let is_so = told.iter().filter(may_be_last).any(|told| is_it(told));
        (!is_so).then(|| format!("of queues of {topic} at {group} that it did not register so: {named:?}"))
    }

    /// Whether the last registration that was surely taken of a group's master names a topic.
    fn is_named_by_master(&self, group: &str, topic: &str) -> bool {
        let told = self.place(group, 0);
        let is_done =
            |told: &&&Told<'_>| told.asked.done_ms().is_some_and(|done_ms| done_ms < self.look_up.asked.at_ms);
        let last = told.iter().rev().filter(is_done).find_map(|told| told.topics.as_ref());
        last.is_some_and(|topics| topics.contains_key(topic))
    }

    /// When something that arrived was done at the latest.
    fn done_ms(&self, asked: &Asked<'_>) -> SimMs {
        let unanswered = || asked.arrived_ms.unwrap_or(asked.at_ms).max(self.resumed_ms) + DONE_MS;
        asked.answer.map_or_else(unanswered, |answer| answer.at_ms)
    }

    /// Whether one was done before the other left, or never.
    fn is_before(&self, one: &Told<'_>, other: &Told<'_>) -> bool {
        one.asked.arrived_ms.is_none() || self.done_ms(&one.asked) < other.asked.at_ms
    }
}

/// Whether it takes what another registered off its place: a goodbye, or somebody else in that place.
fn ends(told: &Told<'_>, other: &Told<'_>) -> bool {
    (told.topics.is_none()) == (told.member == other.member)
}

#[cfg(test)]
mod tests {
    use super::LIVES_MS;
    use crate::{history::EventKind, oracles::fixture::Story};

    const HERE: &str = "10.0.1.1:10911";
    const TOPICS: &str = r#"{"t":{"perm":6,"readQueueNums":2,"writeQueueNums":2}}"#;

    /// A route to `a` at an address, with so many queues to read.
    fn route(address: &str, queues: u32) -> String {
        format!(
            r#"{{"brokerDatas":[{{"brokerName":"a","brokerAddrs":{{"0":"{address}"}}}}],"queueDatas":[{{"brokerName":"a","perm":6,"readQueueNums":{queues},"writeQueueNums":2,"topicSysFlag":0}}]}}"#
        )
    }

    fn registered(answered: Option<i32>) -> Story {
        let mut story = Story::new();
        story.register("a", HERE, TOPICS, answered);
        story
    }

    fn is_blamed(mut story: Story, told: Option<String>) -> bool {
        story.look_up(told.as_deref()).is_blamed("P9", "it told c ")
    }

    #[test]
    fn what_was_registered_is_told() {
        assert!(!is_blamed(registered(Some(0)), Some(route(HERE, 2))));
        assert!(is_blamed(registered(Some(0)), Some(route("10.0.1.9:10911", 2))), "another address");
        assert!(is_blamed(registered(Some(0)), Some(route(HERE, 3))), "other queues");
        assert!(is_blamed(registered(Some(0)), None), "nothing");
    }

    #[test]
    fn who_is_silent_for_too_long_is_told_no_longer() {
        let silent = |for_ms| {
            let mut story = registered(Some(0));
            story.wait(for_ms - 10);
            story
        };
        assert!(is_blamed(silent(LIVES_MS - 10), None) && !is_blamed(silent(LIVES_MS + 10), None));
        let told = || Some(route(HERE, 2));
        assert!(!is_blamed(silent(LIVES_MS - 10), told()) && is_blamed(silent(LIVES_MS + 10), told()));
    }

    #[test]
    fn who_says_goodbye_or_is_replaced_is_told_no_longer() {
        let gone = |answered| {
            let mut story = registered(Some(0));
            story.unregister("a", HERE, answered);
            story
        };
        assert!(!is_blamed(gone(Some(0)), None) && is_blamed(gone(Some(0)), Some(route(HERE, 2))));
        assert!(!is_blamed(gone(None), None) && !is_blamed(gone(None), Some(route(HERE, 2))), "both may be");
        let mut story = registered(Some(0));
        story.register("a", "10.0.1.9:10911", TOPICS, Some(0));
        assert!(is_blamed(story, Some(route(HERE, 2))));
    }

    #[test]
    fn what_was_not_taken_may_be_known_or_not() {
        for answered in [None, Some(2)] {
            assert!(!is_blamed(registered(answered), None) && !is_blamed(registered(answered), Some(route(HERE, 2))));
        }
    }

    #[test]
    fn what_the_master_names_no_more_stays_as_it_was_in_its_absence() {
        let read_only = || Some(route(HERE, 2).replace(r#""perm":6"#, r#""perm":4"#));
        assert!(is_blamed(registered(Some(0)), read_only()));
        let forgotten = || {
            let mut story = registered(Some(0));
            story.register("a", HERE, "{}", Some(0));
            story
        };
        assert!(!is_blamed(forgotten(), read_only()) && !is_blamed(forgotten(), Some(route(HERE, 2))));
    }

    #[test]
    fn a_name_server_that_begins_anew_knows_what_it_is_told_then() {
        let mut story = registered(Some(0));
        story.event(EventKind::Node { node: "namesrv".into(), event: "started".into() });
        assert!(!is_blamed(story, None));
    }
}
