//! The order in which a case is made simpler.

use super::{
    case::Case,
    earlier_end::earlier_end,
    fewer_faults::{faults, ordinals},
    fewer_messages::fewer_messages,
    later_start::later_start,
    plainer_faults::plainer,
    plainer_habits::plainer_habits,
    search::Search,
    shorter_run::shorter_run,
    smaller_cast::smaller_cast,
};

/// So many messages are read by a person one by one; of more, fewer are looked for under other seeds too.
const READABLE: u32 = 10;
/// How many other seeds.
const OTHER_SEEDS: u64 = 3;

/// Makes the case simpler, round by round, until a whole round finds nothing or the time is up: a part of the run alone,
/// then fewer faults, then a smaller workload, which all make further runs cheaper, then plainer faults.
pub fn shrink(search: &mut Search<'_>) {
    loop {
        let before: Case = search.best().clone();
        round(search);
        if *search.best() == before && messages(&before) > READABLE {
            search.greedily(|case| under_other_seeds(&fewer_messages(case)));
        }
        if *search.best() == before || search.is_over() {
            return;
        }
    }
}

fn round(search: &mut Search<'_>) {
    search.greedily(earlier_end);
    faults(search);
    search.greedily(later_start);
    search.greedily(fewer_messages);
    search.greedily(smaller_cast);
    search.greedily(plainer_habits);
    search.greedily(fewer_messages);
    search.greedily(shorter_run);
    ordinals(search);
    search.greedily(plainer);
}

fn messages(case: &Case) -> u32 {
    case.scenario.producers.iter().map(|producer| producer.messages).sum()
}

/// What one seed reaches with many messages, another may reach with few: the plan is the same under all of them.
fn under_other_seeds(cases: &[Case]) -> Vec<Case> {
    let others = |case: &Case| {
        let case = case.clone();
        (1..=OTHER_SEEDS).map(move |more| Case { seed: case.seed.wrapping_add(more), ..case.clone() })
    };
    cases.iter().flat_map(others).collect()
}
