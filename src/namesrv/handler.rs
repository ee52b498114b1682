//! Requests to a name server (RocketMQ `DefaultRequestProcessor`, `ClientRequestProcessor`).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use super::{
    Shared,
    routes::{BrokerIdentity, DEFAULT_HEARTBEAT_TIMEOUT, Registration},
};
use crate::{
    model::route::{BrokerMemberGroupBody, DataVersion, RegisterBrokerBody, TopicTable, from_json},
    remoting::{
        Command, Handler, HeaderError, Peer,
        code::{request, response},
        headers::{
            BrokerHeartbeatHeader, GetBrokerMemberGroupHeader, GetRouteInfoHeader, QueryDataVersionHeader,
            QueryDataVersionResponseHeader, RegisterBrokerHeader, RegisterBrokerResponseHeader, UnregisterBrokerHeader,
        },
    },
};

/// Brokers of an older version register with a bare topic table.
const FIRST_VERSION_WITH_REGISTER_BODY: i32 = 37;

/// Answers requests from the route table.
pub(super) struct RouteHandler {
    shared: Arc<Shared>,
}

/// Why a request gets an error answer.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Header(#[from] HeaderError),
    #[error("the body is not the JSON expected: {0}")]
    Body(#[from] serde_json::Error),
    #[error("the body's CRC-32 is {found}, the header says {expected}")]
    Crc { found: i32, expected: i32 },
    #[error("a compressed registration is not supported")]
    Compressed,
    #[error("no topic route info in name server for the topic: {0}")]
    NoRoute(String),
    #[error("request code {0} is not supported by the name server")]
    Unsupported(i32),
}

impl Refusal {
    fn code(&self) -> i32 {
        match self {
            Self::Header(_) | Self::Body(_) | Self::Compressed => response::INVALID_PARAMETER,
            Self::Crc { .. } => response::SYSTEM_ERROR,
            Self::NoRoute(_) => response::TOPIC_NOT_EXIST,
            Self::Unsupported(_) => response::REQUEST_CODE_NOT_SUPPORTED,
        }
    }
}

#[async_trait]
impl Handler for RouteHandler {
    async fn handle(&self, peer: &Peer, request: Command) -> Command {
        self.answer(&request).unwrap_or_else(|refusal| {
            tracing::debug!(peer = peer.address, code = %request::name(request.code), reason = %refusal, "refused");
            Command::response(refusal.code()).with_remark(refusal.to_string())
        })
    }
}

impl RouteHandler {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn answer(&self, request: &Command) -> Result<Command, Refusal> {
        match request.code {
            request::REGISTER_BROKER => self.register(request),
            request::UNREGISTER_BROKER => self.unregister(request),
            request::BROKER_HEARTBEAT => self.heartbeat(request),
            request::QUERY_DATA_VERSION => self.query_version(request),
            request::GET_ROUTEINFO_BY_TOPIC => self.route(request),
            request::GET_BROKER_CLUSTER_INFO => Ok(success().with_body(json(&self.shared.routes().0.cluster_info())?)),
            request::GET_BROKER_MEMBER_GROUP => self.member_group(request),
            other => Err(Refusal::Unsupported(other)),
        }
    }

    fn register(&self, request: &Command) -> Result<Command, Refusal> {
        let header: RegisterBrokerHeader = request.header()?;
        if header.compressed {
            return Err(Refusal::Compressed);
        }
        let found = (crc32fast::hash(&request.body) & (u32::MAX >> 1)) as i32;
        if header.body_crc32 != 0 && header.body_crc32 != found {
            return Err(Refusal::Crc { found, expected: header.body_crc32 });
        }
        let timeout = header.heartbeat_timeout_millis.and_then(|ms| u64::try_from(ms).ok());
        let registration = Registration {
            broker: BrokerIdentity {
                cluster: header.cluster_name,
                name: header.broker_name,
                id: header.broker_id,
                address: header.broker_addr,
            },
            ha_address: header.ha_server_addr,
            heartbeat_timeout: timeout.map_or(DEFAULT_HEARTBEAT_TIMEOUT, Duration::from_millis),
            enable_acting_master: header.enable_acting_master,
            zone_name: header.zone_name,
            body: registration_body(request)?,
        };
        let (mut routes, now) = self.shared.routes();
        let registered = routes.register(now, registration);
        drop(routes);
        self.shared.registered.notify_one();
        Ok(success().with_header(&RegisterBrokerResponseHeader {
            ha_server_addr: registered.master_ha_address,
            master_addr: registered.master_address,
        }))
    }

    fn unregister(&self, request: &Command) -> Result<Command, Refusal> {
        let header: UnregisterBrokerHeader = request.header()?;
        self.shared.routes().0.unregister(&BrokerIdentity {
            cluster: header.cluster_name,
            name: header.broker_name,
            id: header.broker_id,
            address: header.broker_addr,
        });
        Ok(success())
    }

    fn heartbeat(&self, request: &Command) -> Result<Command, Refusal> {
        let header: BrokerHeartbeatHeader = request.header()?;
        let (mut routes, now) = self.shared.routes();
        routes.heartbeat(now, &header.cluster_name, &header.broker_addr); // an unknown one must register, not beat
        Ok(success())
    }

    fn query_version(&self, request: &Command) -> Result<Command, Refusal> {
        let header: QueryDataVersionHeader = request.header()?;
        let asked: DataVersion = from_json(&request.body)?;
        let (mut routes, now) = self.shared.routes();
        let stored = routes.query_version(now, &header.cluster_name, &header.broker_addr);
        drop(routes);
        let answer = success().with_header(&QueryDataVersionResponseHeader { changed: stored != Some(asked) });
        Ok(match stored {
            Some(stored) => answer.with_body(json(&stored)?),
            None => answer,
        })
    }

    fn route(&self, request: &Command) -> Result<Command, Refusal> {
        let header: GetRouteInfoHeader = request.header()?;
        let route = self.shared.routes().0.route(&header.topic).ok_or(Refusal::NoRoute(header.topic))?;
        Ok(success().with_body(json(&route)?))
    }

    fn member_group(&self, request: &Command) -> Result<Command, Refusal> {
        let header: GetBrokerMemberGroupHeader = request.header()?;
        let members = self.shared.routes().0.member_group(&header.cluster_name, &header.broker_name);
        Ok(success().with_body(json(&BrokerMemberGroupBody { broker_member_group: members })?))
    }
}

fn registration_body(request: &Command) -> Result<RegisterBrokerBody, serde_json::Error> {
    if request.body.is_empty() {
        return Ok(RegisterBrokerBody::default());
    }
    if request.version < FIRST_VERSION_WITH_REGISTER_BODY {
        let topic_config_serialize_wrapper: TopicTable = from_json(&request.body)?;
        return Ok(RegisterBrokerBody { topic_config_serialize_wrapper, ..RegisterBrokerBody::default() });
    }
    from_json(&request.body)
}

fn success() -> Command {
    Command::response(response::SUCCESS)
}

fn json(body: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(body).map(Bytes::from)
}
