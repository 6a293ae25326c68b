//! The one connection to Redis that all workers share, while there is one. That there is none is what the circuit breaker says: then
//! nobody asks, nobody waits, and a task of its own tries to connect.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use haggle_domain::PrivacyKey;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, Pipeline, RedisError, Script, Value};
use tokio::sync::Notify;

use super::breaker::Strikes;
use crate::config::RedisAddress;

/// How long connecting may take, all told.
const CONNECTING: Duration = Duration::from_secs(2);
/// How long a round of writes may take.
const WRITING: Duration = Duration::from_millis(500);
/// Requests that wait for the connection's task, at most; more wait, too, but no longer than they may.
const WAITING: usize = 4096;
/// What a write does: nothing where another value stands there than it goes by, and then it says which. Short, because Redis does
/// nothing else meanwhile; what changes mean is not its affair.
const WRITE: &str = r"
local there = redis.pcall('GET', KEYS[1])
if type(there) ~= 'string' then there = '' end
if string.sub(there, 1, 16) ~= ARGV[1] then return there end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
return false";

/// Why something did not come about.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no connection.
    Down,
    /// No answer came in time.
    Timeout,
    /// The connection broke, or the server refused.
    Error(String),
}

/// A connection, with a number of its own.
#[derive(Debug)]
pub(super) struct Connected {
    connection: MultiplexedConnection,
    life: u64,
}

/// See the module.
pub(super) struct Link {
    client: Client,
    script: Script,
    timeout: Duration,
    connected: ArcSwapOption<Connected>,
    lives: AtomicU64,
    strikes: Strikes,
    lost: Notify,
}

/// The key of a user: a hash of a hash of their id.
pub(super) fn key(user: PrivacyKey) -> String {
    format!("hgu1:{:016x}", user.0)
}

impl Link {
    /// Not connected yet. Bids wait at most `timeout`.
    pub(super) fn new(address: &RedisAddress, timeout: Duration) -> Result<Self, RedisError> {
        let info = address.expose().into_connection_info()?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        Ok(Self {
            client: Client::open(info.set_tcp_settings(tcp))?,
            script: Script::new(WRITE),
            timeout,
            connected: ArcSwapOption::empty(),
            lives: AtomicU64::new(0),
            strikes: Strikes::default(),
            lost: Notify::new(),
        })
    }

    pub(super) fn is_up(&self) -> bool {
        self.connected.load().is_some()
    }

    /// Connects, and sees that it answers as fast as it has to, takes writes and knows the script.
    pub(super) async fn connect(&self) -> Result<(), Failure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECTING))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(WAITING);
        let all = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            self.script.load_async(&mut connection).await?;
            let mut probe = redis::cmd("SET");
            probe.arg("hgu1:probe").arg(1).arg("EX").arg(1);
            probe.exec_async(&mut connection).await?;
            Ok::<_, RedisError>(connection)
        };
        let connection = match tokio::time::timeout(CONNECTING, all).await {
            Ok(connected) => connected.map_err(|error| Failure::Error(error.to_string()))?,
            Err(_) => return Err(Failure::Timeout),
        };
        let mut probed = connection.clone();
        let get = redis::cmd("GET").arg("hgu1:probe").to_owned();
        match tokio::time::timeout(self.timeout, probed.send_packed_command(&get)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Failure::Error(error.to_string())),
            Err(_) => return Err(Failure::Timeout),
        }
        self.strikes.clear();
        let life = self.lives.fetch_add(1, Ordering::Relaxed);
        self.connected.store(Some(Arc::new(Connected { connection, life })));
        Ok(())
    }

    /// Lets go of a connection, if it is still the one that is used.
    fn lose(&self, which: &Connected) {
        let lost = self.connected.rcu(|now| now.as_ref().filter(|now| now.life != which.life).cloned());
        if lost.is_some_and(|lost| lost.life == which.life) {
            self.lost.notify_one();
        }
    }

    /// Lets go of whatever connection there is.
    pub(super) fn close(&self) {
        self.connected.store(None);
    }

    /// Waits until the connection is lost.
    pub(super) async fn lost(&self) {
        while self.is_up() {
            self.lost.notified().await;
        }
    }

    /// A user's value, empty for nothing, or for something that is none. Waits no longer than `most` and than bids may. Only who has
    /// waited as long as bids may has anything to say against the server.
    pub(super) async fn get(&self, user: PrivacyKey, most: Duration) -> Result<Vec<u8>, Failure> {
        let Some(connected) = self.connected.load_full() else { return Err(Failure::Down) };
        let mut connection = connected.connection.clone();
        let get = redis::cmd("GET").arg(key(user)).to_owned();
        let wait = most.min(self.timeout);
        match tokio::time::timeout(wait, connection.send_packed_command(&get)).await {
            Ok(Ok(Value::BulkString(bytes))) => {
                self.strikes.clear();
                Ok(bytes)
            }
            Ok(Ok(Value::Nil)) => {
                self.strikes.clear();
                Ok(Vec::new())
            }
            Ok(Ok(Value::ServerError(error))) if error.code() == "WRONGTYPE" => Ok(Vec::new()),
            Ok(Ok(_)) => {
                if self.strikes.strike() {
                    self.lose(&connected);
                }
                Err(Failure::Error("an answer that is none to GET".to_owned()))
            }
            Ok(Err(error)) if error.code() == Some("WRONGTYPE") => Ok(Vec::new()),
            Ok(Err(error)) => {
                if error.is_unrecoverable_error() || self.strikes.strike() {
                    self.lose(&connected);
                }
                Err(Failure::Error(error.to_string()))
            }
            Err(_) => {
                if wait == self.timeout && self.strikes.strike() {
                    self.lose(&connected);
                }
                Err(Failure::Timeout)
            }
        }
    }

    /// Sends a round of writes; each with its answer in order. After a failure the connection is gone.
    pub(super) async fn write(&self, writes: &[haggle_actors::shared::Write]) -> Result<Vec<Value>, Failure> {
        let mut pipeline = Pipeline::with_capacity(writes.len());
        for write in writes {
            pipeline
                .cmd("EVALSHA")
                .arg(self.script.get_hash())
                .arg(1)
                .arg(key(write.user))
                .arg(&write.expected[..])
                .arg(&write.bytes)
                .arg(write.keep.as_secs().max(1));
        }
        self.all(&pipeline, writes.len()).await
    }

    /// Teaches the server the script again, and asks whether it is there at all.
    pub(super) async fn refresh(&self) -> Result<(), Failure> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.cmd("SCRIPT").arg("LOAD").arg(WRITE);
        self.all(&pipeline, 1).await.map(drop)
    }

    async fn all(&self, pipeline: &Pipeline, count: usize) -> Result<Vec<Value>, Failure> {
        let Some(connected) = self.connected.load_full() else { return Err(Failure::Down) };
        let mut connection = connected.connection.clone();
        let failure =
            match tokio::time::timeout(WRITING, connection.send_packed_commands(pipeline, 0, count)).await {
                Ok(Ok(answers)) => {
                    let refused = answers.iter().find_map(|answer| match answer {
                        Value::ServerError(error) if error.code() != "NOSCRIPT" => Some(error.to_string()),
                        _ => None,
                    });
                    match refused {
                        None => return Ok(answers),
                        Some(why) => Failure::Error(why),
                    }
                }
                Ok(Err(error)) => Failure::Error(error.to_string()),
                Err(_) => Failure::Timeout,
            };
        self.lose(&connected);
        Err(failure)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Down => f.write_str("not connected"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Error(why) => f.write_str(why),
        }
    }
}
