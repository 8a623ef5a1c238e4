//! The client: two hosts, one pool of connections, answers handed over through a queue and a descriptor.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::bucket::Limits;
use super::history::History;
use super::outcome::{Outcome, ReadError, error_body, is_json, is_unsettled, judge};
use super::quota::{Offer, Quota};
use super::stats::{InFlight, Stats, add, get};
use crate::notify::Notify;
use crate::secret::Secret;
use crate::sync::Relock;
use crate::wire::Tick;

#[derive(Clone, Debug)]
pub struct Config {
    pub key: Secret,
    pub secret: Secret,
    pub trading_url: String,
    pub data_url: String,
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub pool_size: usize,
    pub trading_per_min: u32,
    pub data_per_min: u32,
    pub reserve: f64,
    pub read_retries: u32,
    pub retry_delay: Duration,
    /// One request at a time, whatever it is.
    pub serial: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Post,
    Patch,
    Delete,
}

#[derive(Clone, Debug)]
pub struct Read {
    pub path: String,
    pub params: Vec<(String, String)>,
    pub data: bool,
}

#[derive(Debug)]
pub enum Job {
    Read(Read),
    Command { method: Method, path: String, params: Vec<(String, String)>, body: Option<Bytes> },
    History(History),
}

impl Job {
    fn is_command(&self) -> bool {
        matches!(self, Self::Command { .. })
    }

    fn is_data(&self) -> bool {
        match self {
            Self::Read(read) | Self::History(History { read, .. }) => read.data,
            Self::Command { .. } => false,
        }
    }
}

pub enum Answer {
    Body(Result<Bytes, ReadError>),
    Outcome(Outcome),
    Ticks(Result<Vec<Tick>, ReadError>),
}

struct Waiting {
    id: u64,
    job: Job,
    since: Instant,
}

pub struct Client {
    config: Config,
    http: reqwest::Client,
    runtime: Handle,
    quotas: [Quota<Waiting>; 2],
    one_by_one: tokio::sync::Mutex<()>,
    closed: watch::Sender<bool>,
    done: Mutex<Vec<(u64, Answer)>>,
    pub notify: Notify,
    pub stats: Stats,
}

impl Client {
    /// `Err` says what is wrong with the configuration.
    pub fn new(config: Config) -> Result<Arc<Self>, String> {
        for url in [&config.trading_url, &config.data_url] {
            let parsed = reqwest::Url::parse(url).map_err(|error| format!("{url:?} is not a URL: {error}"))?;
            if !matches!(parsed.scheme(), "http" | "https") {
                return Err(format!("{url:?} is neither http nor https"));
            }
        }
        let runtime = crate::runtime::handle().map_err(|error| format!("no runtime: {error}"))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured((*crate::tls::config()).clone())
            .default_headers(headers(&config)?)
            .connect_timeout(config.connect_timeout)
            .timeout(config.timeout)
            .pool_max_idle_per_host(config.pool_size.max(1))
            .pool_idle_timeout(Duration::from_secs(50))
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            // A command is sent once: nothing below us may decide otherwise.
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .map_err(|error| format!("the HTTP client cannot be built: {error}"))?;
        let quotas =
            [Quota::new(config.trading_per_min, config.reserve), Quota::new(config.data_per_min, config.reserve)];
        let notify = Notify::new().map_err(|error| format!("no descriptor: {error}"))?;
        Ok(Arc::new(Self {
            config,
            http,
            runtime,
            quotas,
            one_by_one: tokio::sync::Mutex::new(()),
            closed: watch::Sender::new(false),
            done: Mutex::new(Vec::new()),
            notify,
            stats: Stats::default(),
        }))
    }

    /// Start a job; its answer comes under `id`.
    pub fn submit(self: &Arc<Self>, id: u64, job: Job) {
        let (command, data) = (job.is_command(), job.is_data());
        let waiting = Waiting { id, job, since: Instant::now() };
        match self.quotas[usize::from(data)].offer(waiting, command, !self.config.serial) {
            Offer::Go(waiting) => {
                let client = Arc::clone(self);
                self.runtime.spawn(async move { client.run(waiting).await });
            }
            Offer::Pump => {
                let client = Arc::clone(self);
                self.runtime.spawn(async move { client.pump(command, data).await });
            }
            Offer::Queued => {}
        }
    }

    /// The answers that have come, oldest first.
    pub fn take_done(&self) -> Vec<(u64, Answer)> {
        self.notify.clear();
        std::mem::take(&mut *self.done.relock())
    }

    /// End what is under way; nothing is answered after this.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    pub fn figures(&self) -> (u64, u64) {
        self.quotas[0].figures()
    }

    async fn pump(self: Arc<Self>, command: bool, data: bool) {
        let quota = &self.quotas[usize::from(data)];
        let mut closed = self.closed.subscribe();
        while let Some(waiting) = quota.next(command) {
            // A command is not worth sending once its sender has stopped waiting for it.
            let deadline = command.then(|| waiting.since + self.config.timeout);
            let granted = tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => return,
                granted = quota.acquire(command, deadline) => granted,
            };
            match granted {
                None => {
                    add(&self.stats.throttled);
                    add(&self.stats.unknown);
                    let reason = format!("no quota left within {:?}", self.config.timeout);
                    self.finish(waiting.id, Answer::Outcome(Outcome::unknown(reason, false)));
                }
                Some(waited) => {
                    if waited {
                        add(&self.stats.throttled);
                    }
                    let client = Arc::clone(&self);
                    if self.config.serial {
                        let _turn = self.one_by_one.lock().await;
                        client.run(waiting).await;
                    } else {
                        tokio::spawn(async move { client.run(waiting).await });
                    }
                }
            }
        }
    }

    /// Carry out a job that has its first token.
    async fn run(&self, waiting: Waiting) {
        let mut closed = self.closed.subscribe();
        let in_flight = InFlight::new(&self.stats.in_flight);
        let work = async {
            match waiting.job {
                Job::Read(read) => Answer::Body(self.read_granted(&read, true).await),
                Job::History(history) => Answer::Ticks(self.history(history).await),
                Job::Command { method, path, params, body } => {
                    let outcome = self.command(method, &path, &params, body).await;
                    if matches!(outcome, Outcome::Unknown { .. }) {
                        add(&self.stats.unknown);
                    }
                    Answer::Outcome(outcome)
                }
            }
        };
        // Closed first: what was told to have been given up must not leave after all.
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => {}
            answer = work => {
                // Who has the answer must not find it still under way.
                drop(in_flight);
                self.finish(waiting.id, answer);
            }
        }
    }

    fn finish(&self, id: u64, answer: Answer) {
        self.done.relock().push((id, answer));
        self.notify.raise();
    }

    async fn command(&self, method: Method, path: &str, params: &[(String, String)], body: Option<Bytes>) -> Outcome {
        let verb = match method {
            Method::Post => reqwest::Method::POST,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        match self.send(verb, path, params, body, false).await {
            Ok(reply) => judge(reply.status, reply.body, reply.request_id, method != Method::Delete),
            Err(failure) => Outcome::Unknown { reason: failure.reason, status: failure.status, sent: failure.sent },
        }
    }

    pub(super) async fn read(&self, read: &Read) -> Result<Bytes, ReadError> {
        self.read_granted(read, false).await
    }

    async fn read_granted(&self, read: &Read, mut granted: bool) -> Result<Bytes, ReadError> {
        let quota = &self.quotas[usize::from(read.data)];
        let mut attempt = 0;
        loop {
            if !granted && quota.acquire(false, None).await == Some(true) {
                add(&self.stats.throttled);
            }
            granted = false;
            let reason = match self.send(reqwest::Method::GET, &read.path, &read.params, None, read.data).await {
                Ok(reply) if (200..300).contains(&reply.status) => {
                    if is_json(&reply.body) {
                        return Ok(reply.body);
                    }
                    "the reply is not JSON".to_owned()
                }
                Ok(reply) => {
                    let (code, message) = error_body(reply.status, &reply.body);
                    if !is_unsettled(reply.status) {
                        let (status, request_id) = (reply.status, reply.request_id);
                        return Err(ReadError::Refused { status, code, message, request_id });
                    }
                    format!("HTTP {}: {message}", reply.status)
                }
                Err(failure) => failure.reason,
            };
            if attempt >= self.config.read_retries {
                return Err(ReadError::unavailable(format!("GET {}: {reason} ({} tries)", read.path, attempt + 1)));
            }
            tokio::time::sleep(self.config.retry_delay * 2_u32.saturating_pow(attempt.min(6))).await;
            attempt += 1;
            add(&self.stats.retries);
        }
    }

    async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        params: &[(String, String)],
        body: Option<Bytes>,
        data: bool,
    ) -> Result<Reply, Failure> {
        let quota = &self.quotas[usize::from(data)];
        let base = if data { &self.config.data_url } else { &self.config.trading_url };
        let url = format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'));
        let mut request = self.http.request(method, url);
        if !params.is_empty() {
            request = request.query(params);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body);
        }
        add(&self.stats.requests);
        let started = Instant::now();
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                quota.answered(Limits::default());
                return Err(Failure::of(&error, None, !error.is_connect() && !error.is_builder()));
            }
        };
        let status = response.status().as_u16();
        quota.answered(limits(response.headers()));
        if status == 429 {
            add(&self.stats.throttled);
            quota.block(pause(response.headers()).unwrap_or(self.config.retry_delay));
        }
        let request_id = text(response.headers(), "x-request-id").map(str::to_owned);
        let mut whole = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if whole.is_empty() && response.content_length() == Some(chunk.len() as u64) => {
                    add(&self.stats.replies);
                    self.note_latency(started);
                    return Ok(Reply { status, body: chunk, request_id });
                }
                Ok(Some(chunk)) => whole.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => return Err(Failure::of(&error, Some(status), true)),
            }
        }
        add(&self.stats.replies);
        self.note_latency(started);
        Ok(Reply { status, body: whole.into(), request_id })
    }

    fn note_latency(&self, started: Instant) {
        let ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.stats.last_latency_ns.store(ns, std::sync::atomic::Ordering::Relaxed);
    }

    pub fn in_flight(&self) -> u64 {
        get(&self.stats.in_flight)
    }
}

struct Reply {
    status: u16,
    body: Bytes,
    request_id: Option<String>,
}

struct Failure {
    reason: String,
    status: Option<u16>,
    sent: bool,
}

impl Failure {
    fn of(error: &reqwest::Error, status: Option<u16>, sent: bool) -> Self {
        let kind = if error.is_timeout() {
            if error.is_connect() { "connect timeout" } else { "timeout" }
        } else if error.is_connect() {
            "no connection"
        } else if error.is_body() || error.is_decode() {
            "the reply broke off"
        } else {
            "the connection broke"
        };
        // The innermost cause says it in words; the outer ones repeat the URL.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Self { reason: format!("{kind}: {cause}"), status, sent }
    }
}

fn headers(config: &Config) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, secret) in [("apca-api-key-id", &config.key), ("apca-api-secret-key", &config.secret)] {
        let mut value = HeaderValue::from_str(secret.expose())
            .map_err(|_| format!("the value for {name} has characters that no HTTP header can carry"))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
    }
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("runner/", env!("CARGO_PKG_VERSION"))));
    Ok(headers)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn limits(headers: &HeaderMap) -> Limits {
    Limits {
        limit: text(headers, "x-ratelimit-limit").and_then(|value| value.parse().ok()),
        remaining: text(headers, "x-ratelimit-remaining").and_then(|value| value.parse().ok()),
        reset: text(headers, "x-ratelimit-reset").and_then(|value| value.parse().ok()),
    }
}

/// How long a 429 asks us to stay away, at most a minute.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let longest = Duration::from_secs(60);
    if let Some(seconds) = text(headers, "retry-after").and_then(|value| value.parse().ok()) {
        return Some(Duration::from_secs(seconds).min(longest));
    }
    let reset: u64 = text(headers, "x-ratelimit-reset")?.parse().ok()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Some(Duration::from_secs(reset.checked_sub(now)?).min(longest))
}
