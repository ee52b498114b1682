//! What an operator asks of a running broker: its parked chains, what it set aside, topics and offsets.

use std::{error::Error, sync::Arc, time::Duration};

use pop_revive::{
    broker::{
        OFFSETS, TOPICS,
        parked::{AFTER, CHAIN, COUNT, NEXT},
    },
    remoting::{
        Client, ClientConfig, Command,
        code::{request, response},
        headers::{DeleteTopicHeader, ResetOffsetHeader},
    },
    seams::tcp::Tcp,
};

use super::{AdminCommand, OffsetCommand, ParkedCommand, ResetArgs, ResetTarget, TopicCommand};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs an operator's command against the broker at `address`.
pub async fn run(address: &str, command: AdminCommand) -> Result<(), Box<dyn Error>> {
    let client = Client::new(Arc::new(Tcp), ClientConfig::default());
    match command {
        AdminCommand::Parked { command: ParkedCommand::List } => list(&client, address, request::LIST_PARKED).await,
        AdminCommand::Parked { command: ParkedCommand::Resume { chain } } => resume(&client, address, chain).await,
        AdminCommand::SetAside => list(&client, address, request::LIST_SET_ASIDE).await,
        AdminCommand::Topic { command: TopicCommand::Delete { topic } } => delete(&client, address, topic).await,
        AdminCommand::Offset { command: OffsetCommand::Reset(args) } => reset(&client, address, args).await,
    }
}

async fn list(client: &Client, address: &str, code: i32) -> Result<(), Box<dyn Error>> {
    let mut after = String::new();
    loop {
        let mut request = Command::request(code);
        request.ext.insert(AFTER.into(), after);
        let answer = ask(client, address, request).await?;
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&answer.body)?;
        rows.iter().for_each(|row| println!("{row}"));
        match answer.ext.get(NEXT) {
            Some(next) => after = next.clone(),
            None => return Ok(()),
        }
    }
}

async fn resume(client: &Client, address: &str, chain: Option<String>) -> Result<(), Box<dyn Error>> {
    let mut request = Command::request(request::RESUME_PARKED);
    if let Some(chain) = chain {
        request.ext.insert(CHAIN.into(), chain);
    }
    let answer = ask(client, address, request).await?;
    println!("resumed {}", answer.ext.get(COUNT).map_or("0", String::as_str));
    Ok(())
}

async fn delete(client: &Client, address: &str, topic: String) -> Result<(), Box<dyn Error>> {
    let header = DeleteTopicHeader { topic: topic.clone() };
    let request = Command::request(request::DELETE_TOPIC_IN_BROKER).with_header(&header);
    let answer = ask(client, address, request).await?;
    let told = |field| answer.ext.get(field).map_or("", String::as_str);
    match told(TOPICS) {
        "" => println!("{topic} does not exist"),
        topics => println!("deleted {topics}; {} chains ended", told(COUNT)),
    }
    Ok(())
}

async fn reset(client: &Client, address: &str, args: ResetArgs) -> Result<(), Box<dyn Error>> {
    let ResetTarget { offset, time, end } = args.target;
    let header = ResetOffsetHeader {
        group: args.group,
        topic: args.topic,
        queue_id: args.queue.unwrap_or(-1),
        offset,
        timestamp: time.filter(|_| !end).unwrap_or(-1),
        is_force: true,
    };
    let request = Command::request(request::INVOKE_BROKER_TO_RESET_OFFSET).with_header(&header);
    let answer = ask(client, address, request).await?;
    let told = |field| answer.ext.get(field).map_or("", String::as_str);
    println!("offsets {}; {} chains ended", told(OFFSETS), told(COUNT));
    Ok(())
}

async fn ask(client: &Client, address: &str, request: Command) -> Result<Command, Box<dyn Error>> {
    let answer = client.call(address, request, TIMEOUT).await?;
    match answer.code {
        response::SUCCESS => Ok(answer),
        code => Err(format!("{address} answered {code}: {}", answer.remark.unwrap_or_default()).into()),
    }
}
