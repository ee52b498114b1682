//! Counts on how many disks of the group the log is (`MessageStoreConfig.inSyncReplicas`).

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::sabotage;

/// How much of this log the group's other members have on their disks, as far as they said.
#[derive(Debug)]
pub struct InSync {
    /// How many other disks an entry must be on.
    others: usize,
    /// Member → index of its last entry. Each has this log's beginning, which was checked before it was taken in.
    ends: Mutex<BTreeMap<u64, u64>>,
}

impl InSync {
    /// An entry is to be on `degree` disks, this one included.
    pub fn new(degree: u32) -> Self {
        let others = usize::try_from(degree.saturating_sub(1)).unwrap_or(usize::MAX);
        let others = if sabotage!("confirmed-by-one-too-few") { others.saturating_sub(1) } else { others };
        Self { others, ends: Mutex::default() }
    }

    /// A member has this log up to `last_index`, and nothing else. Gives up to which index the log is on enough disks. A
    /// member that lost its disk counts for what it has now.
    pub fn holds(&self, member: u64, last_index: u64) -> u64 {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.insert(member, last_index);
        let Some(rank) = self.others.checked_sub(1) else { return u64::MAX };
        let mut sorted: Vec<u64> = ends.values().copied().collect();
        sorted.sort_unstable_by_key(|end| Reverse(*end));
        sorted.get(rank).copied().unwrap_or(0)
    }

    /// Up to which index a member last said that it has this log; `None` if it never did.
    pub fn end_of(&self, member: u64) -> Option<u64> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(&member).copied()
    }

    /// Up to which index a follower may show what it gets, once that is on its disk, of a log that ends at `last_index` and
    /// is confirmed up to `confirmed_index`: where two disks are enough, its own and this one are.
    pub const fn shown_by_follower(&self, last_index: u64, confirmed_index: u64) -> u64 {
        if self.others <= 1 { last_index } else { confirmed_index }
    }
}

#[cfg(test)]
mod tests {
    use super::InSync;

    #[test]
    fn alone_everything_is_confirmed() {
        assert_eq!(InSync::new(1).holds(1, 0), u64::MAX);
    }

    #[test]
    fn the_second_disk_is_the_best_of_the_others_and_the_third_the_second_best() {
        let (two, three) = (InSync::new(2), InSync::new(3));
        let heard = |member, end| (two.holds(member, end), three.holds(member, end));
        assert_eq!(heard(1, 7), (7, 0), "two disks have it, three do not");
        assert_eq!(heard(2, 5), (7, 5));
        assert_eq!(heard(2, 9), (9, 7));
        assert_eq!(heard(1, 9), (9, 9));
    }

    #[test]
    fn a_follower_and_its_master_are_two_disks() {
        let shown = |degree| InSync::new(degree).shown_by_follower(9, 5);
        assert_eq!([1, 2, 3].map(shown), [9, 9, 5]);
    }

    #[test]
    fn one_member_is_one_disk_however_often_it_says_so() {
        let three = InSync::new(3);
        assert_eq!((three.holds(1, 7), three.holds(1, 7)), (0, 0));
    }

    #[test]
    fn a_member_that_lost_its_disk_counts_for_what_it_has() {
        let two = InSync::new(2);
        assert_eq!((two.holds(1, 7), two.holds(1, 0)), (7, 0));
        assert_eq!((two.end_of(1), two.end_of(2)), (Some(0), None));
    }
}
