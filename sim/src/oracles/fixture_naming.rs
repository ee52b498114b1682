//! What is told to a name server by hand, and what it answers.

use crate::{evidence::frame::code, oracles::fixture::Story};

/// The name server of a story.
pub(crate) const NAME_SERVER: &str = "namesrv";

impl Story {
    /// A broker, as the master of a group of its name at an address, registers topics (JSON), and this comes of it.
    pub(crate) fn register(&mut self, broker: &str, address: &str, topics: &str, answered: Option<i32>) -> &mut Self {
        let body = format!(r#"{{"topicConfigSerializeWrapper":{{"topicConfigTable":{topics}}}}}"#);
        self.tell(code::REGISTER_BROKER, broker, address, body.as_bytes(), answered)
    }

    /// It says goodbye.
    pub(crate) fn unregister(&mut self, broker: &str, address: &str, answered: Option<i32>) -> &mut Self {
        self.tell(code::UNREGISTER_BROKER, broker, address, b"", answered)
    }

    fn tell(&mut self, asked: i32, broker: &str, address: &str, body: &[u8], answered: Option<i32>) -> &mut Self {
        let who = [("brokerName", broker), ("brokerId", "0"), ("brokerAddr", address), ("enableActingMaster", "true")];
        let call = self.request(broker, NAME_SERVER, asked, &who, body);
        if let Some(answered) = answered {
            self.response((NAME_SERVER, broker, call), (asked, answered), &[], b"");
        }
        self.wait(10)
    }

    /// `c` asks where topic `t` is, and hears this (JSON), or that nobody has it.
    pub(crate) fn look_up(&mut self, route: Option<&str>) -> &mut Self {
        let asked = code::GET_ROUTEINFO_BY_TOPIC;
        let call = self.request("c", NAME_SERVER, asked, &[("topic", "t")], b"");
        let answered = if route.is_some() { 0 } else { 17 };
        self.response((NAME_SERVER, "c", call), (asked, answered), &[], route.unwrap_or_default().as_bytes());
        self.wait(10)
    }
}
