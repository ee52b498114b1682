//! Logs of a group whose entries are messages, what was handed out, and merges.

/// The messages there are; the first is there from the beginning.
pub(super) const MESSAGES: u8 = 2;
/// More entries than a log gets in any of these worlds.
const LENGTH: usize = 10;

/// Where a log ends. Of two logs that of the later term goes on further, or the longer one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct End {
    pub(super) term: u8,
    pub(super) last: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// A message.
    Put(u8),
    /// The master hands a message out.
    Pop(u8),
    /// What was handed out in the master's place, a bit for each message.
    Merge(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) term: u8,
    pub(super) what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Log([Option<Entry>; LENGTH]);

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries().map(|entry| (entry.term, entry.what))).finish()
    }
}

impl Log {
    pub(super) const EMPTY: Self = Self([None; LENGTH]);

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().map_while(Option::as_ref)
    }

    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.0.iter_mut().map_while(Option::as_mut)
    }

    pub(super) fn last(&self) -> usize {
        self.entries().count()
    }

    pub(super) fn term(&self) -> u8 {
        self.entries().last().map_or(0, |entry| entry.term)
    }

    pub(super) fn end(&self) -> End {
        End { term: self.term(), last: u8::try_from(self.last()).unwrap_or(u8::MAX) }
    }

    /// What comes after that many entries.
    pub(super) fn after(&self, last: usize) -> Option<Entry> {
        self.0.get(last).copied().flatten()
    }

    pub(super) fn up_to(mut self, last: usize) -> Self {
        self.0.iter_mut().skip(last).for_each(|entry| *entry = None);
        self
    }

    /// Whether another log that ends there may be the beginning of this one.
    pub(super) fn has(&self, end: End) -> bool {
        self.up_to(usize::from(end.last)).end() == end
    }

    pub(super) fn begins_with(&self, other: &Self) -> bool {
        self.up_to(other.last()) == *other
    }

    pub(super) fn push(&mut self, term: u8, what: What) {
        let last = self.last();
        self.0[last] = Some(Entry { term, what });
    }

    /// The messages that are there.
    pub(super) fn messages(&self) -> u8 {
        self.entries().fold(0, |all, entry| all | if let What::Put(message) = entry.what { 1 << message } else { 0 })
    }

    /// The messages that were handed out, as far as this log knows.
    pub(super) fn popped(&self) -> u8 {
        self.entries().fold(0, |all, entry| match entry.what {
            What::Put(_) => all,
            What::Pop(message) => all | 1 << message,
            What::Merge(messages) => all | messages,
        })
    }

    /// The messages that wait to be handed out, as far as this log knows.
    pub(super) fn waiting(&self) -> impl Iterator<Item = u8> + use<> {
        messages_of(self.messages() & !self.popped())
    }

    /// How often the master has handed a message out.
    pub(super) fn pops_of(&self, message: u8) -> usize {
        self.entries().filter(|entry| entry.what == What::Pop(message)).count()
    }
}

/// The messages whose bits are set.
pub(super) fn messages_of(bits: u8) -> impl Iterator<Item = u8> {
    (0..MESSAGES).filter(move |message| bits & 1 << message != 0)
}
