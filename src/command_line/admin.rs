//! Asks a running broker for its parked chains and the messages it set aside.

use std::{error::Error, sync::Arc, time::Duration};

use pop_revive::{
    broker::parked::{AFTER, CHAIN, COUNT, NEXT},
    remoting::{
        Client, ClientConfig, Command,
        code::{request, response},
    },
    seams::tcp::Tcp,
};

use super::{AdminCommand, ParkedCommand};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs an operator's command against the broker at `address`.
pub async fn run(address: &str, command: AdminCommand) -> Result<(), Box<dyn Error>> {
    let client = Client::new(Arc::new(Tcp), ClientConfig::default());
    match command {
        AdminCommand::Parked { command: ParkedCommand::List } => list(&client, address, request::LIST_PARKED).await,
        AdminCommand::Parked { command: ParkedCommand::Resume { chain } } => resume(&client, address, chain).await,
        AdminCommand::SetAside => list(&client, address, request::LIST_SET_ASIDE).await,
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

async fn ask(client: &Client, address: &str, request: Command) -> Result<Command, Box<dyn Error>> {
    let answer = client.call(address, request, TIMEOUT).await?;
    match answer.code {
        response::SUCCESS => Ok(answer),
        code => Err(format!("{address} answered {code}: {}", answer.remark.unwrap_or_default()).into()),
    }
}
