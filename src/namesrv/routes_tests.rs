use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn broker(id: i64, address: &str) -> BrokerIdentity {
    BrokerIdentity { cluster: "C".into(), name: "broker-a".into(), id, address: address.into() }
}

fn registration(id: i64, address: &str) -> Registration {
    let topic = TopicConfig::with_queues("t", 4);
    let mut body = RegisterBrokerBody::default();
    body.topic_config_serialize_wrapper.topic_config_table.insert("t".into(), topic);
    Registration {
        broker: broker(id, address),
        ha_address: format!("ha-{address}"),
        heartbeat_timeout: 10 * SECOND,
        enable_acting_master: Some(true),
        zone_name: None,
        body,
    }
}

fn with_state_version(mut registration: Registration, state_version: i64) -> Registration {
    registration.body.topic_config_serialize_wrapper.data_version.state_version = state_version;
    registration
}

fn members(routes: &RouteTable) -> Vec<(i64, String)> {
    routes.member_group("C", "broker-a").broker_addrs.into_iter().collect()
}

fn perm(routes: &RouteTable) -> Option<i32> {
    routes.route("t").map(|route| route.queue_datas[0].perm)
}

#[test]
fn a_master_brings_its_topics_even_if_it_is_only_one() {
    let mut routes = RouteTable::new(false);
    assert_eq!(routes.register(SECOND, registration(0, "m:1")), Registered::default());
    assert_eq!(perm(&routes), Some(6));
    assert_eq!(routes.route("unknown"), None);
    assert_eq!(members(&routes), [(0, "m:1".into())]);
    assert!(routes.cluster_info().cluster_addr_table["C"].contains("broker-a"));
}

#[test]
fn a_slave_learns_its_master_and_brings_no_topics() {
    let mut routes = RouteTable::new(false);
    routes.register(SECOND, registration(0, "m:1"));
    let mut slave = registration(1, "s:1");
    let topic = slave.body.topic_config_serialize_wrapper.topic_config_table["t"].clone();
    slave.body.topic_config_serialize_wrapper.topic_config_table.insert("slave-only".into(), topic);
    let answer = routes.register(SECOND, slave);
    assert_eq!(answer.master_address.as_deref(), Some("m:1"));
    assert_eq!(answer.master_ha_address.as_deref(), Some("ha-m:1"));
    assert_eq!(routes.route("slave-only"), None);
}

#[test]
fn a_prime_slave_brings_its_topics_without_the_write_bit_if_it_may_act() {
    let mut routes = RouteTable::new(false);
    routes.register(SECOND, Registration { enable_acting_master: None, ..registration(1, "s:1") });
    assert_eq!(perm(&routes), None);
    routes.register(SECOND, registration(1, "s:1"));
    assert_eq!(perm(&routes), Some(4));
    routes.register(SECOND, registration(0, "m:1"));
    assert_eq!(perm(&routes), Some(6));
}

#[test]
fn the_larger_state_version_keeps_the_id() {
    let mut routes = RouteTable::new(false);
    routes.register(SECOND, with_state_version(registration(0, "new:1"), 2));
    routes.register(SECOND, with_state_version(registration(0, "old:1"), 1));
    assert_eq!(members(&routes), [(0, "new:1".into())]);
    routes.register(SECOND, with_state_version(registration(0, "newer:1"), 3));
    assert_eq!(members(&routes), [(0, "newer:1".into())]);
}

#[test]
fn a_replaced_address_cannot_take_the_newcomer_with_it() {
    let mut routes = RouteTable::new(false);
    routes.register(SECOND, registration(0, "old:1"));
    routes.register(5 * SECOND, registration(0, "new:1"));
    assert_eq!(routes.expire(12 * SECOND), []);
    routes.unregister(&broker(0, "old:1"));
    assert_eq!(members(&routes), [(0, "new:1".into())]);
}

#[test]
fn one_address_has_one_id_and_one_group() {
    let mut routes = RouteTable::new(false);
    routes.register(SECOND, registration(1, "x:1"));
    routes.register(SECOND, registration(0, "x:1"));
    assert_eq!(members(&routes), [(0, "x:1".into())]);
    let mut moved = registration(0, "x:1");
    moved.broker.name = "broker-b".into();
    routes.register(SECOND, moved);
    assert_eq!(members(&routes), []);
}

#[test]
fn liveness_runs_out_unless_there_is_a_sign() {
    let mut routes = RouteTable::new(false);
    routes.register(SECOND, registration(0, "m:1"));
    routes.register(SECOND, registration(1, "s:1"));
    assert_eq!(routes.next_expiry(), Some(11 * SECOND));
    assert!(routes.heartbeat(5 * SECOND, "C", "s:1"));
    assert!(!routes.heartbeat(5 * SECOND, "C", "unknown:1"));
    assert_eq!(routes.expire(11 * SECOND - Duration::from_millis(1)), []);
    assert_eq!(routes.expire(11 * SECOND), [broker(0, "m:1")]);
    assert_eq!(perm(&routes), Some(4), "the acting master's queues take no writes");
    assert_eq!(routes.next_expiry(), Some(15 * SECOND));
    assert_eq!(routes.query_version(14 * SECOND, "C", "s:1"), Some(DataVersion::default()));
    assert_eq!(routes.expire(23 * SECOND), []);
    assert_eq!(routes.expire(24 * SECOND), [broker(1, "s:1")]);
    assert_eq!((perm(&routes), routes.next_expiry()), (None, None));
    assert_eq!(routes.cluster_info(), ClusterInfo::default());
}

#[test]
fn a_route_shows_the_acting_master_only_when_asked_to() {
    for show in [false, true] {
        let mut routes = RouteTable::new(show);
        routes.register(SECOND, registration(0, "m:1"));
        routes.register(SECOND, registration(2, "s:2"));
        routes.unregister(&broker(0, "m:1"));
        let addresses = routes.route("t").map(|route| route.broker_datas[0].broker_addrs.clone());
        let expected_id = if show { 0 } else { 2 };
        assert_eq!(addresses, Some(BTreeMap::from([(expected_id, "s:2".into())])));
    }
}
