//! How a broker is set up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lease::LEASE_MAX_MS;
use crate::{
    remote::{BreakerConfig, BudgetError},
    revive::{RewritePolicy, policy::PolicyError},
    store::Confirms,
};

/// How a broker is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerConfig {
    /// The group's name (RocketMQ: broker name).
    pub name: String,
    /// The cluster's name.
    #[serde(default = "default_cluster")]
    pub cluster: String,
    /// This member's id in its group; 0 is the master.
    #[serde(default)]
    pub id: u64,
    /// Where to listen, `host:port`; port 0 picks one.
    pub listen: String,
    /// What others are told to connect to; by default what was bound.
    #[serde(default)]
    pub advertise: Option<String>,
    /// The name servers, `host:port`.
    pub name_servers: Vec<String>,
    /// The group that keeps the checkpoints and acks of pops made here, as an acting slave's do.
    #[serde(default)]
    pub escape_to: Option<String>,
    /// The group that keeps what a slave does in the place of its absent master; without it slaves do nothing in its
    /// place. The same for every member of the group.
    #[serde(default)]
    pub acting_to: Option<String>,
    /// How many slaves the group has, if they act for their master: 1, or 2 at `degree` 2.
    #[serde(default = "default_acting_slaves")]
    pub acting_slaves: u64,
    /// How long a slave does not hear of its master before it acts for it, ms.
    #[serde(default = "default_acting_after")]
    pub acting_after_ms: u64,
    /// How long a slave whose store is damaged reads it again before it sets it aside and gets everything from its master
    /// anew, ms; 0 leaves that to an operator. A master never does that: what it has, nobody else may have.
    #[serde(default = "default_begins_anew_after")]
    pub begins_anew_after_ms: u64,
    /// How long a broker that confirms alone reads a damaged store again before it goes on with what is left of it, ms; 0
    /// leaves that to an operator, as everybody does at a degree of two and more, whose slaves have what it has lost.
    #[serde(default = "default_salvages_after")]
    pub salvages_after_ms: u64,
    /// On how many disks a record must be before it is confirmed.
    #[serde(default = "default_degree")]
    pub degree: u32,
    /// How long a caller waits for that, ms (`MessageStoreConfig.slaveTimeout`). When it takes longer, nothing more is
    /// written until it has come.
    #[serde(default = "default_confirm_within")]
    pub confirm_within_ms: u64,
    /// How many changed rows gather in memory before the store settles them.
    #[serde(default = "default_recent_rows")]
    pub recent_rows: usize,
    /// When failed attempts are repeated.
    #[serde(default)]
    pub policy: RewritePolicy,
    /// What the reviver may ask of each other group: calls at once and in a second, and how often one that is away is
    /// tried again.
    #[serde(default)]
    pub peers: BreakerConfig,
    /// How long a remote read may take, ms.
    #[serde(default = "default_read_timeout")]
    pub read_timeout_ms: u64,
    /// How long handing a chain over may take, ms.
    #[serde(default = "default_hand_over_timeout")]
    pub hand_over_timeout_ms: u64,
    /// How often to register with the name servers, ms.
    #[serde(default = "default_register_every")]
    pub register_every_ms: u64,
    /// For how long a client's send is known by its `UNIQ_KEY` at least, ms: repeated in this time it stores nothing.
    /// 0 turns that off.
    #[serde(default = "default_send_window")]
    pub send_window_ms: u64,
    /// For how long a chain is known after it was over, ms: it must be longer than hand-overs of it can be repeated. 0
    /// keeps chains for ever.
    #[serde(default = "default_chain_window")]
    pub chain_window_ms: u64,
    /// How long messages are kept; for ever unless it says otherwise.
    #[serde(default)]
    pub retention: RetentionConfig,
    /// Where to serve metrics and health over HTTP, `host:port`; nowhere when left out.
    #[serde(default)]
    pub metrics_listen: Option<String>,
    /// How long chains may be overdue without one being taken up before the broker counts as stuck, ms.
    #[serde(default = "default_stuck_after")]
    pub stuck_after_ms: u64,
    /// Whether a send to an unknown topic creates it.
    #[serde(default = "yes")]
    pub auto_create_topics: bool,
    /// Whether an unknown consumer group is created.
    #[serde(default = "yes")]
    pub auto_create_groups: bool,
}

/// How long messages are kept (`MessageStoreConfig.fileReservedTime`, `diskMaxUsedSpaceRatio`). Both limits hold when
/// both are given; messages that live chains need come on top.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// How long after it was stored a message expires, ms.
    #[serde(default)]
    pub age_ms: Option<u64>,
    /// How many bytes of log are kept; the oldest messages go first.
    #[serde(default)]
    pub bytes: Option<u64>,
}

/// Longest span that may be configured, ms: a hundred years, so that no sum with a time overflows.
const SPAN_MAX_MS: u64 = 100 * 365 * 86_400_000;

fn default_cluster() -> String {
    "DefaultCluster".into()
}
fn default_recent_rows() -> usize {
    crate::store::StoreConfig::default().recent_rows
}

/// Twice as long as a master may hold a slave's request.
const fn default_acting_after() -> u64 {
    30_000
}
const fn default_acting_slaves() -> u64 {
    1
}
/// What is wrong on the way from a disk is put right as a rule within that time, or not at all.
const fn default_begins_anew_after() -> u64 {
    120_000
}
const fn default_salvages_after() -> u64 {
    default_begins_anew_after()
}
const fn default_degree() -> u32 {
    1
}
const fn default_confirm_within() -> u64 {
    3_000
}
const fn default_read_timeout() -> u64 {
    10_000
}
const fn default_hand_over_timeout() -> u64 {
    3_000
}
const fn default_register_every() -> u64 {
    30_000
}
const fn default_send_window() -> u64 {
    600_000
}
/// A day, five times what RocketMQ's rewrites take.
const fn default_chain_window() -> u64 {
    86_400_000
}
/// Several times what the slowest attempt takes.
const fn default_stuck_after() -> u64 {
    60_000
}
const fn yes() -> bool {
    true
}

impl BrokerConfig {
    /// A broker with RocketMQ's defaults.
    #[must_use]
    pub fn new(name: impl Into<String>, listen: impl Into<String>, name_servers: Vec<String>) -> Self {
        Self {
            name: name.into(),
            cluster: default_cluster(),
            id: 0,
            listen: listen.into(),
            advertise: None,
            name_servers,
            escape_to: None,
            acting_to: None,
            acting_slaves: default_acting_slaves(),
            acting_after_ms: default_acting_after(),
            begins_anew_after_ms: default_begins_anew_after(),
            salvages_after_ms: default_salvages_after(),
            degree: default_degree(),
            confirm_within_ms: default_confirm_within(),
            recent_rows: default_recent_rows(),
            policy: RewritePolicy::default(),
            peers: BreakerConfig::default(),
            read_timeout_ms: default_read_timeout(),
            hand_over_timeout_ms: default_hand_over_timeout(),
            register_every_ms: default_register_every(),
            send_window_ms: default_send_window(),
            chain_window_ms: default_chain_window(),
            retention: RetentionConfig::default(),
            metrics_listen: None,
            stuck_after_ms: default_stuck_after(),
            auto_create_topics: true,
            auto_create_groups: true,
        }
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Which field is wrong, and what is expected.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.policy.check()?;
        self.peers.check()?;
        if self.name.is_empty() || self.name.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(ConfigError::Name { name: self.name.clone() });
        }
        if self.escape_to.as_ref() == Some(&self.name) {
            return Err(ConfigError::EscapeToItself { name: self.name.clone() });
        }
        if self.is_slave() && self.escape_to.is_some() {
            return Err(ConfigError::SlaveEscapes);
        }
        if self.degree == 0 {
            return Err(ConfigError::Degree);
        }
        self.check_acting()?;
        if !(1..=SPAN_MAX_MS).contains(&self.confirm_within_ms) {
            return Err(ConfigError::ConfirmWithin { found: self.confirm_within_ms });
        }
        if self.send_window_ms > SPAN_MAX_MS {
            return Err(ConfigError::Span { field: "send_window_ms", found: self.send_window_ms });
        }
        if self.begins_anew_after_ms > SPAN_MAX_MS {
            return Err(ConfigError::Span { field: "begins_anew_after_ms", found: self.begins_anew_after_ms });
        }
        if self.salvages_after_ms > SPAN_MAX_MS {
            return Err(ConfigError::Span { field: "salvages_after_ms", found: self.salvages_after_ms });
        }
        self.retention.check()?;
        let attempt_limit_ms = u64::try_from(self.attempt_limit_ms()).unwrap_or(0);
        let (found, least) = (self.chain_window_ms, self.policy.longest_round_ms(attempt_limit_ms));
        match found {
            1.. if found > SPAN_MAX_MS => Err(ConfigError::Span { field: "chain_window_ms", found }),
            1.. if found < least => Err(ConfigError::ChainWindow { found, least }),
            _ => Ok(()),
        }
    }

    /// A slave may act for its master only if the master confirms nothing without it, or without a lease; or if it can have the
    /// other slave's word that it does not help the master meanwhile.
    fn check_acting(&self) -> Result<(), ConfigError> {
        let Some(to) = &self.acting_to else { return Ok(()) };
        if *to == self.name {
            return Err(ConfigError::ActingToItself { name: self.name.clone() });
        }
        let (degree, slaves) = (self.degree, self.acting_slaves);
        if !matches!((degree, slaves), (1 | 2, 1) | (2, 2)) || self.id > slaves {
            return Err(ConfigError::ActingDegree { degree, slaves, id: self.id });
        }
        if self.escape_to.is_some() {
            return Err(ConfigError::ActingAndEscaping);
        }
        // It is how long a lease lasts where the master needs one.
        let most = if self.degree == 1 { LEASE_MAX_MS } else { SPAN_MAX_MS };
        match self.acting_after_ms {
            found if (1_000..=most).contains(&found) => Ok(()),
            found => Err(ConfigError::ActingAfter { found, most }),
        }
    }

    /// Whether this member follows the group's master.
    #[must_use]
    pub const fn is_slave(&self) -> bool {
        self.id != 0
    }

    /// Who decides that an entry is confirmed: a slave hears it from its master, and a master counts its slaves, if it
    /// needs any.
    #[must_use]
    pub const fn confirms(&self) -> Confirms {
        match self.degree {
            0 | 1 if !self.is_slave() => Confirms::Alone,
            _ => Confirms::WhenTold { within: Duration::from_millis(self.confirm_within_ms) },
        }
    }

    /// How long the leases last that a master needs which confirms alone while its slave may act for it; `None` where it
    /// needs none. Whoever grants one counts so long from when it was asked, or has answered.
    #[must_use]
    pub fn grants(&self) -> Option<Duration> {
        (self.degree == 1 && self.acting_to.is_some()).then(|| Duration::from_millis(self.acting_after_ms))
    }

    /// Whether this member is a master whose slave has all that was confirmed, and may have more than an older disk: such a one
    /// hears its slave before it serves.
    #[must_use]
    pub const fn may_lack(&self) -> bool {
        self.acting_to.is_some() && self.degree > 1 && !self.is_slave()
    }

    /// The other slave of this slave's group, if they act and there is one: neither acts without its word.
    #[must_use]
    pub const fn other_slave(&self) -> Option<u64> {
        match (self.acting_to.is_some(), self.acting_slaves, self.id) {
            (true, 2, 1) => Some(2),
            (true, 2, 2) => Some(1),
            _ => None,
        }
    }

    /// Whether this group has two slaves, one of which acts for their master while the other lets it.
    #[must_use]
    pub const fn is_of_three(&self) -> bool {
        self.acting_to.is_some() && self.acting_slaves == 2
    }

    /// The longest that one attempt can take: a route look-up and the call itself.
    #[must_use]
    pub fn attempt_limit_ms(&self) -> i64 {
        let slowest = self.read_timeout_ms.max(self.hand_over_timeout_ms).saturating_add(3_000);
        i64::try_from(slowest).unwrap_or(i64::MAX)
    }
}

impl RetentionConfig {
    fn check(self) -> Result<(), ConfigError> {
        match self {
            Self { age_ms: Some(0), .. } => Err(ConfigError::NothingKept { field: "retention.age_ms" }),
            Self { bytes: Some(0), .. } => Err(ConfigError::NothingKept { field: "retention.bytes" }),
            Self { age_ms: Some(found), .. } if found > SPAN_MAX_MS => {
                Err(ConfigError::Span { field: "retention.age_ms", found })
            }
            _ => Ok(()),
        }
    }
}

/// A broker that cannot be set up so.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// The rewrite policy.
    #[error("`policy` cannot be followed")]
    Policy(#[from] PolicyError),
    /// The budget of a peer.
    #[error("`peers` cannot be kept to")]
    Peers(#[from] BudgetError),
    /// The name.
    #[error("`name` is {name:?}: expected a name without white space or `/`")]
    Name {
        /// The name.
        name: String,
    },
    /// A group cannot escape to itself.
    #[error("`escape_to` is {name:?}, the broker itself: expected another group")]
    EscapeToItself {
        /// The name.
        name: String,
    },
    /// A slave pops nothing, so that nothing can escape.
    #[error("`escape_to` is set for a slave (`id` is not 0): expected it at masters only")]
    SlaveEscapes,
    /// A group cannot keep what is done in the place of its own master.
    #[error("`acting_to` is {name:?}, the broker itself: expected another group")]
    ActingToItself {
        /// The name.
        name: String,
    },
    /// The master could go on while a slave acts.
    #[error(
        "`acting_to` is set, `degree` is {degree}, `acting_slaves` is {slaves} and `id` is {id}: expected `acting_slaves` 1 \
         at `degree` 1 or 2, or 2 at `degree` 2, and an `id` of 0 to that"
    )]
    ActingDegree {
        /// The degree.
        degree: u32,
        /// The number of slaves.
        slaves: u64,
        /// The member.
        id: u64,
    },
    /// Two groups would keep the chains.
    #[error("`acting_to` and `escape_to` are both set: expected one of them")]
    ActingAndEscaping,
    /// A slave would act for a master that is there.
    #[error("`acting_after_ms` is {found}: expected 1000 to {most}")]
    ActingAfter {
        /// Its length, ms.
        found: u64,
        /// The longest, ms.
        most: u64,
    },
    /// Nothing would be durable.
    #[error("`degree` is 0: expected at least 1")]
    Degree,
    /// Nothing could ever be confirmed in time.
    #[error("`confirm_within_ms` is {found}: expected 1 to {SPAN_MAX_MS}")]
    ConfirmWithin {
        /// Its length, ms.
        found: u64,
    },
    /// A hand-over could be repeated after its chain was forgotten.
    #[error(
        "`chain_window_ms` is {found}: expected at least {least}, which `policy` may take, or 0 to keep chains for ever"
    )]
    ChainWindow {
        /// Its length, ms.
        found: u64,
        /// How long hand-overs may be repeated, ms.
        least: u64,
    },
    /// Messages would expire as they are stored.
    #[error("`{field}` is 0: expected at least 1, or no such field to keep messages for ever")]
    NothingKept {
        /// Which.
        field: &'static str,
    },
    /// A span of time is out of all reason.
    #[error("`{field}` is {found}: expected at most {SPAN_MAX_MS}")]
    Span {
        /// Which.
        field: &'static str,
        /// Its length, ms.
        found: u64,
    },
}
