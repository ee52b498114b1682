//! Smaller values of one number, the simplest first.

use crate::plan::SimMs;

const SECOND_MS: SimMs = 1_000;
const MINUTE_MS: SimMs = 60_000;

/// Counts up to this are worth a run for one less.
const FEW: u64 = 16;

/// Smaller counts, down to `least`: the least, then parts, then one less of a few.
pub(super) fn counts(value: u64, least: u64) -> impl Iterator<Item = u64> {
    let one_less = value.checked_sub(1).filter(|_| value <= FEW);
    let parts = [least, value / 8, value / 4, value / 2].into_iter().chain(one_less);
    ascending(parts.filter(move |part| (least..value).contains(part)))
}

/// Shorter times: a second, then parts.
pub(super) fn lengths(ms: SimMs) -> impl Iterator<Item = SimMs> {
    let parts = [SECOND_MS, ms / 8, ms / 2, ms / 4 * 3];
    ascending(parts.into_iter().chain(rounder(ms)).filter(move |part| (SECOND_MS..ms).contains(part)))
}

/// The same time in whole minutes, and in whole seconds; not later.
pub(super) fn rounder(ms: SimMs) -> impl Iterator<Item = SimMs> {
    let round = [ms / MINUTE_MS * MINUTE_MS, ms / SECOND_MS * SECOND_MS];
    ascending(round.into_iter().filter(move |round| *round < ms))
}

fn ascending(values: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.dedup();
    values.into_iter()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn all_are_smaller_so_that_a_search_ends(value: u64, least in 0u64..3) {
            prop_assert!(counts(value, least).all(|it| it < value && it >= least));
            prop_assert!(lengths(value).chain(rounder(value)).all(|it| it < value));
        }
    }

    #[test]
    fn the_simplest_comes_first() {
        assert_eq!(counts(40, 1).collect::<Vec<_>>(), [1, 5, 10, 20]);
        assert_eq!(counts(9, 1).collect::<Vec<_>>(), [1, 2, 4, 8]);
        assert_eq!(counts(1, 1).count() + lengths(1_000).count() + rounder(60_000).count(), 0);
        assert_eq!(lengths(90_500).collect::<Vec<_>>(), [1_000, 11_312, 45_250, 60_000, 67_875, 90_000]);
        assert_eq!(rounder(90_500).collect::<Vec<_>>(), [60_000, 90_000]);
    }
}
