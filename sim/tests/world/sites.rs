//! Sites of a node's code that take an unlikely turn.

use std::sync::{Arc, Mutex};

use pop_sim::plan::{Fault, Hits, Window};

use super::rig::{run, sleep};

fn strikes(node: &str, site: &str, hits: Hits) -> Fault {
    Fault::Buggify { node: node.into(), site: site.into(), hits }
}

#[test]
fn a_site_is_struck_at_its_node_alone_and_as_often_as_is_planned() {
    let during = Hits::During(Window { from_ms: 500, to_ms: 900 });
    let faults = vec![strikes("a", "nth", Hits::Nth(vec![2, 4])), strikes("b", "during", during)];
    run(1, faults, |world, log| async move {
        let turns: Arc<Mutex<Vec<String>>> = Arc::default();
        for node in ["a", "b"] {
            let (world_of_node, turns) = (world.clone(), turns.clone());
            world.start(node, move |_, _| {
                let (world, turns) = (world_of_node.clone(), turns.clone());
                Box::pin(async move {
                    for time in 1..=10 {
                        for site in ["nth", "during", "other"] {
                            if world.buggify(site) {
                                turns.lock().unwrap().push(format!("{site} {time} of {node}"));
                            }
                        }
                        sleep(100).await;
                    }
                })
            });
        }
        sleep(2_000).await;
        let turns = turns.lock().unwrap();
        let (of_a, of_b): (Vec<_>, Vec<_>) = turns.iter().partition(|turn| turn.ends_with("of a"));
        assert_eq!(of_a, ["nth 2 of a", "nth 4 of a"]);
        assert!((3..=5).contains(&of_b.len()) && of_b.iter().all(|turn| turn.starts_with("during")), "{of_b:?}");
        assert_eq!((world.fired(0), world.fired(1)), (2, of_b.len() as u64));
        assert_eq!(log.count("buggify: nth"), 2);
        assert!(!world.buggify("nth"), "what is no node has no sites");
    });
}
