//! Delta debugging (Zeller's ddmin): the items that a failure needs.

/// Leaves out items as long as what is left still fails: halves first, then finer and finer parts.
///
/// `first` gets lists of items and says which is the first that fails. It may be wrong about lists that fail (a search
/// that ran out of time says that none does): what comes out is then larger, and fails all the same. If it is never
/// wrong, nothing can be left out of the result alone.
pub fn ddmin<T: Clone>(items: Vec<T>, mut first: impl FnMut(&[Vec<T>]) -> Option<usize>) -> Vec<T> {
    if items.is_empty() || first(&[Vec::new()]).is_some() {
        return Vec::new();
    }
    let (mut items, mut parts) = (items, 2);
    while items.len() >= 2 {
        let chunks: Vec<&[T]> = items.chunks(items.len().div_ceil(parts)).collect();
        let count = chunks.len();
        let alone = chunks.iter().map(|chunk| chunk.to_vec());
        let without = (0..count).map(|left_out| {
            let kept = chunks.iter().enumerate().filter(|(at, _)| *at != left_out);
            kept.flat_map(|(_, chunk)| chunk.iter().cloned()).collect()
        });
        // The rest of two halves is the other half.
        let candidates: Vec<Vec<T>> = alone.chain(without.take(if count > 2 { count } else { 0 })).collect();
        match first(&candidates) {
            Some(at) => {
                parts = if at < count { 2 } else { (count - 1).max(2) };
                items = candidates[at].clone();
            }
            None if count == items.len() => break,
            None => parts = (parts * 2).min(items.len()),
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first list that holds all that is `needed`, in any order: a monotone failure.
    fn first_with(needed: &[u8]) -> impl FnMut(&[Vec<u8>]) -> Option<usize> {
        move |candidates| candidates.iter().position(|list| needed.iter().all(|item| list.contains(item)))
    }

    #[test]
    fn a_failure_without_any_item_needs_none() {
        assert_eq!(ddmin(vec![1, 2, 3], |_| Some(0)), Vec::<u8>::new());
        assert_eq!(ddmin(Vec::<u8>::new(), |_| None), Vec::<u8>::new());
    }

    #[test]
    fn without_an_answer_everything_stays() {
        assert_eq!(ddmin((0..40).collect(), |_| None), (0..40).collect::<Vec<u8>>());
    }

    #[test]
    fn many_items_take_few_questions() {
        let (mut asked, mut first) = (0, first_with(&[17, 80]));
        let left = ddmin((0..100).collect(), |candidates| {
            asked += candidates.len();
            first(candidates)
        });
        assert_eq!(left, [17, 80]);
        assert!(asked < 100, "{asked}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn of_a_monotone_failure_exactly_what_it_needs_is_left(
            length in 0u8..60, needed in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let all: Vec<u8> = (0..length).collect();
            let needed: std::collections::BTreeSet<u8> =
                needed.iter().filter(|_| length > 0).map(|at| at.index(length.into()) as u8).collect();
            let needed: Vec<u8> = needed.into_iter().collect();
            let left = ddmin(all.clone(), first_with(&needed));
            prop_assert_eq!(&left, &needed);
            prop_assert_eq!(left, ddmin(all, first_with(&needed)));
        }

        #[test]
        fn nothing_can_be_left_out_alone(length in 1u8..40, salt: u64) {
            // A failure that is not monotone: a list fails when a hash of it says so, and the whole list always does.
            let all: Vec<u8> = (0..length).collect();
            let fails = |list: &[u8]| {
                let mixed = list.iter().fold(salt, |hash, item| {
                    (hash ^ u64::from(*item)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
                });
                list.len() == usize::from(length) || !list.is_empty() && mixed % 4 == 0
            };
            let left = ddmin(all, |candidates| candidates.iter().position(|list| fails(list)));
            prop_assert!(fails(&left));
            for at in 0..left.len() {
                let mut fewer = left.clone();
                fewer.remove(at);
                prop_assert!(!fails(&fewer), "{:?} without {}", left, at);
            }
        }
    }
}
