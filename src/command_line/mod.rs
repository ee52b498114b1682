//! `pop-revive namesrv|broker|admin`.

mod admin;
mod node;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use pop_revive::{broker::BrokerConfig, revive::policy::REFUSALS};

/// A RocketMQ-compatible name server and POP broker.
#[derive(Parser)]
#[command(version, about)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a name server until it is told to stop.
    Namesrv {
        /// Where to listen, host:port.
        #[arg(long, default_value = "0.0.0.0:9876")]
        listen: String,
        /// Shows the slave of a group without master as its master, so that clients ask it: for groups with --acting-to
        /// (RocketMQ's supportActingMaster).
        #[arg(long)]
        show_acting_master: bool,
    },
    /// Runs a broker until it is told to stop.
    Broker(Box<BrokerArgs>),
    /// Asks a running broker.
    Admin {
        /// The broker's address, host:port.
        #[arg(long)]
        broker: String,
        #[command(subcommand)]
        command: AdminCommand,
    },
}

#[derive(Args)]
struct BrokerArgs {
    /// The group's name.
    #[arg(long)]
    name: String,
    /// This member's id in its group: 0 is the master, any other a slave that follows it.
    #[arg(long, default_value_t = 0)]
    id: u64,
    /// The cluster's name.
    #[arg(long, default_value = "DefaultCluster")]
    cluster: String,
    /// Where to listen, host:port.
    #[arg(long, default_value = "127.0.0.1:10911")]
    listen: String,
    /// What others are told to connect to, IP:port; by default what was bound.
    #[arg(long)]
    advertise: Option<String>,
    /// The name servers, host:port, joined by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    namesrv: Vec<String>,
    /// The folder of the store.
    #[arg(long)]
    data: PathBuf,
    /// The group that keeps the checkpoints and acks of pops made here.
    #[arg(long)]
    escape_to: Option<String>,
    /// The group that keeps what a slave does in the place of its absent master. The same at all members; by default no slave
    /// acts.
    #[arg(long)]
    acting_to: Option<String>,
    /// How many slaves the group has that may act: 1, or 2 with --degree 2. The same at all members.
    #[arg(long, default_value_t = 1)]
    acting_slaves: u64,
    /// How long a slave does not hear of its master before it acts for it.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    acting_after: std::time::Duration,
    /// How long a slave whose store is damaged reads it again before it sets it aside and gets everything from its master
    /// anew; 0s leaves that to you. A master never does that.
    #[arg(long, default_value = "2m", value_parser = humantime::parse_duration)]
    begins_anew_after: std::time::Duration,
    /// How long a broker whose store is damaged reads it again before it goes on with what is left of it; 0s leaves that to
    /// you. Only where no other member has what it stores, which is --degree 1 at a master.
    #[arg(long, default_value = "2m", value_parser = humantime::parse_duration)]
    salvages_after: std::time::Duration,
    /// On how many disks of the group a record must be before it is confirmed, the master's included. Only a master
    /// counts; with --acting-to it is the same at the slave.
    #[arg(long, default_value_t = 1)]
    degree: u32,
    /// How long a client waits for that before it is told that the outcome is unknown.
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    confirm_within: std::time::Duration,
    /// Waits between attempts, for example 10s,20s,1m; by default RocketMQ's 17 steps.
    #[arg(long, value_delimiter = ',', value_parser = humantime::parse_duration)]
    waits: Vec<std::time::Duration>,
    /// How many rewrites there may be before a chain is parked.
    #[arg(long)]
    rewrites: Option<u32>,
    /// Longest time from the first attempt to the last.
    #[arg(long, value_parser = humantime::parse_duration)]
    total: Option<std::time::Duration>,
    /// How far a wait may be off, as a share of itself, 0 to 0.9.
    #[arg(long, default_value_t = 0.0)]
    jitter: f64,
    /// How many reads in a row must be refused for good (no such topic, no permission) before a chain is parked.
    #[arg(long, default_value_t = REFUSALS)]
    refusals: u32,
    /// Where to serve metrics and health over HTTP, host:port; port 0 picks one, `off` serves none.
    #[arg(long, default_value = "127.0.0.1:5557")]
    metrics_listen: String,
    /// How long chains may be overdue without one being taken up before the broker counts as stuck.
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
    stuck_after: std::time::Duration,
    /// For how long a chain is known after it was over; 0s is for ever.
    #[arg(long, default_value = "1d", value_parser = humantime::parse_duration)]
    chain_window: std::time::Duration,
    /// How long messages are kept; by default for ever.
    #[arg(long, value_parser = humantime::parse_duration)]
    retention_age: Option<std::time::Duration>,
    /// How many bytes of log are kept, the oldest messages going first; by default all.
    #[arg(long)]
    retention_bytes: Option<u64>,
    /// How long a remote read may take.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    read_timeout: std::time::Duration,
}

impl BrokerArgs {
    fn config(&self) -> BrokerConfig {
        let millis = |span: &std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let mut config = BrokerConfig::new(&self.name, &self.listen, self.namesrv.clone());
        config.id = self.id;
        config.cluster.clone_from(&self.cluster);
        config.advertise.clone_from(&self.advertise);
        config.escape_to.clone_from(&self.escape_to);
        config.acting_to.clone_from(&self.acting_to);
        config.acting_slaves = self.acting_slaves;
        config.acting_after_ms = millis(&self.acting_after);
        config.begins_anew_after_ms = millis(&self.begins_anew_after);
        config.salvages_after_ms = millis(&self.salvages_after);
        config.degree = self.degree;
        config.confirm_within_ms = millis(&self.confirm_within);
        config.read_timeout_ms = millis(&self.read_timeout);
        config.metrics_listen = (self.metrics_listen != "off").then(|| self.metrics_listen.clone());
        config.stuck_after_ms = millis(&self.stuck_after);
        config.chain_window_ms = millis(&self.chain_window);
        config.retention.age_ms = self.retention_age.as_ref().map(millis);
        config.retention.bytes = self.retention_bytes;
        config.policy.jitter = self.jitter;
        config.policy.refusals = self.refusals;
        config.policy.total_ms = self.total.as_ref().map(millis);
        if !self.waits.is_empty() {
            config.policy.waits_ms = self.waits.iter().map(millis).collect();
            config.policy.rewrites = u32::try_from(self.waits.len()).unwrap_or(u32::MAX);
        }
        if let Some(rewrites) = self.rewrites {
            config.policy.rewrites = rewrites;
        }
        config
    }
}

#[derive(Subcommand)]
enum AdminCommand {
    /// Parked chains: given up until they are resumed.
    Parked {
        #[command(subcommand)]
        command: ParkedCommand,
    },
    /// Messages to the revive topic that were not understood.
    SetAside,
    /// Topics.
    Topic {
        #[command(subcommand)]
        command: TopicCommand,
    },
    /// Offsets of consumer groups.
    Offset {
        #[command(subcommand)]
        command: OffsetCommand,
    },
}

#[derive(Subcommand)]
enum TopicCommand {
    /// Deletes a topic at this broker: its messages, its groups' offsets and their retry topics; what was popped and not
    /// acked is gone too.
    Delete {
        /// The topic.
        topic: String,
    },
}

#[derive(Subcommand)]
enum OffsetCommand {
    /// Sets where a group pops next at this broker. What is handed out anew ends there; what lies before stays owed.
    Reset(ResetArgs),
}

#[derive(Args)]
struct ResetArgs {
    /// The consumer group.
    #[arg(long)]
    group: String,
    /// The topic.
    #[arg(long)]
    topic: String,
    /// The one queue; all when left out.
    #[arg(long)]
    queue: Option<i32>,
    #[command(flatten)]
    target: ResetTarget,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct ResetTarget {
    /// To this offset of the queue.
    #[arg(long, requires = "queue")]
    offset: Option<i64>,
    /// To the first message stored at or after this time, for example 2026-01-31T12:00:00Z.
    #[arg(long, value_parser = unix_ms)]
    time: Option<i64>,
    /// To the end: what is there is skipped.
    #[arg(long)]
    end: bool,
}

#[derive(Subcommand)]
enum ParkedCommand {
    /// Lists them, one JSON object per line.
    List,
    /// Resumes one, or all.
    Resume {
        /// The chain; all when left out.
        chain: Option<String>,
    },
}

/// A time as Unix ms.
fn unix_ms(text: &str) -> Result<i64, String> {
    let time = humantime::parse_rfc3339_weak(text).map_err(|error| error.to_string())?;
    let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| "expected a time after 1970".to_owned())?;
    i64::try_from(since.as_millis()).map_err(|error| error.to_string())
}

/// Runs the command line: exit code 0, 1 for a failure, 2 for unusable arguments.
pub fn run() -> ExitCode {
    let command_line = CommandLine::parse();
    tracing_subscriber::fmt().with_env_filter(filter()).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let result = runtime.block_on(async move {
        match command_line.command {
            Command::Namesrv { listen, show_acting_master } => node::name_server(listen, show_acting_master).await,
            Command::Broker(args) => node::broker(args.config(), args.data).await,
            Command::Admin { broker, command } => admin::run(&broker, command).await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error),
    }
}

fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_env("POP_REVIVE_LOG").unwrap_or_else(|_| "info".into())
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprint!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprint!(": {error}");
        cause = error.source();
    }
    eprintln!();
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_slave_that_acts_is_set_up_as_the_operators_page_says() {
        CommandLine::command().debug_assert();
        let broker =
            "pop-revive broker --name broker-a --id 1 --namesrv n:9876 --data d --degree 2 --acting-to broker-b";
        let config = |more: &str| match CommandLine::parse_from(broker.split(' ').chain(more.split_terminator(' '))) {
            CommandLine { command: Command::Broker(args) } => args.config(),
            _ => panic!("another command"),
        };
        let given = config("--acting-after 45s");
        assert_eq!(
            (given.acting_to.as_deref(), given.acting_after_ms, given.check()),
            (Some("broker-b"), 45_000, Ok(()))
        );
        assert_eq!((given.acting_slaves, given.other_slave()), (1, None));
        let of_three = config("--acting-slaves 2");
        assert_eq!((of_three.other_slave(), of_three.check()), (Some(2), Ok(())));
        let usual = BrokerConfig::new("a", "l", vec![]);
        assert_eq!(config("").acting_after_ms, usual.acting_after_ms);
        assert_eq!(config("").begins_anew_after_ms, usual.begins_anew_after_ms);
        assert_eq!(config("--begins-anew-after 0s").begins_anew_after_ms, 0);
        assert_eq!(config("").salvages_after_ms, usual.salvages_after_ms);
        assert_eq!(config("--salvages-after 0s").salvages_after_ms, 0);
    }
}
