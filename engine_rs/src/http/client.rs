//! The client: two hosts, one pool of connections, answers handed over through a queue and a descriptor.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::bucket::Limits;
use super::history::History;
use super::line::{Done, Ended, Lines, Request};
use super::outcome::{Failure, Outcome, ReadError, error_body, is_json, is_unsettled, judge};
use super::quota::{Offer, Quota};
use super::stats::{InFlight, Stats, add, get, take};
use super::target::Target;
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

impl Method {
    fn verb(self) -> hyper::Method {
        match self {
            Self::Post => hyper::Method::POST,
            Self::Patch => hyper::Method::PATCH,
            Self::Delete => hyper::Method::DELETE,
        }
    }
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

/// A venue's own limit is longer: a connection is closed before it may be closed there.
const LONGEST_IDLE: Duration = Duration::from_secs(50);

/// How often it is looked whether a connection stands open.
const LOOK: Duration = Duration::from_secs(3);

/// Connections that are tried for one command, of which none has taken a byte.
const SENDS: usize = 3;

pub struct Client {
    config: Config,
    /// Of reads; commands have connections of their own.
    http: reqwest::Client,
    target: Target,
    lines: Arc<Lines>,
    keeps_open: AtomicBool,
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
            .pool_idle_timeout(LONGEST_IDLE)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            // A command is sent once: nothing below us may decide otherwise.
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .map_err(|error| format!("the HTTP client cannot be built: {error}"))?;
        let target = Target::new(&config.trading_url, headers(&config)?)
            .map_err(|error| format!("{:?} is not a URL: {error}", config.trading_url))?;
        let lines = Arc::new(Lines::new(config.pool_size.max(1), config.timeout, LONGEST_IDLE));
        let quotas =
            [Quota::new(config.trading_per_min, config.reserve), Quota::new(config.data_per_min, config.reserve)];
        let notify = Notify::new().map_err(|error| format!("no descriptor: {error}"))?;
        Ok(Arc::new(Self {
            config,
            http,
            target,
            lines,
            keeps_open: AtomicBool::new(false),
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
                if let Some(waiting) = self.begin(waiting) {
                    let client = Arc::clone(self);
                    self.runtime.spawn(async move { client.run(waiting).await });
                }
            }
            Offer::Pump => {
                let client = Arc::clone(self);
                self.runtime.spawn(async move { client.pump(command, data).await });
            }
            Offer::Queued => {}
        }
    }

    /// Send a command by an open connection, on this thread; what can't be is given back.
    fn begin(self: &Arc<Self>, waiting: Waiting) -> Option<Waiting> {
        let Job::Command { method, path, params, body } = &waiting.job else { return Some(waiting) };
        let method = *method;
        let Some(request) = self.target.request(method.verb(), path, params, body.as_ref()) else {
            return Some(waiting);
        };
        let Some(line) = self.lines.take() else { return Some(waiting) };
        add(&self.stats.requests);
        add(&self.stats.in_flight);
        let (client, started) = (Arc::clone(self), Instant::now());
        let done = Box::new(move |ended| {
            // Who has the answer must not find it still under way.
            take(&client.stats.in_flight);
            if let Some(result) = client.hear(ended, started) {
                client.finish(waiting.id, Answer::Outcome(client.outcome(method, result)));
            } else {
                let runtime = client.runtime.clone();
                runtime.spawn(async move { client.run(waiting).await });
            }
        });
        self.lines.start(line, request, done);
        None
    }

    /// What came of an exchange; None where nothing was sent.
    fn hear(&self, ended: Ended, started: Instant) -> Option<Result<Reply, Failure>> {
        let quota = &self.quotas[0];
        match ended {
            Ended::Unsent => {
                quota.answered(Limits::default());
                None
            }
            Ended::Failed(failure) => {
                quota.answered(Limits::default());
                Some(Err(failure))
            }
            Ended::Reply { status, headers, body } => {
                self.heed(quota, status, &headers);
                add(&self.stats.replies);
                self.note_latency(started);
                Some(Ok(Reply { status, body, request_id: text(&headers, "x-request-id").map(str::to_owned) }))
            }
        }
    }

    /// What a reply's head says of the quota.
    fn heed(&self, quota: &Quota<Waiting>, status: u16, headers: &HeaderMap) {
        quota.answered(limits(headers));
        if status == 429 {
            add(&self.stats.throttled);
            quota.block(pause(headers).unwrap_or(self.config.retry_delay));
        }
    }

    fn outcome(&self, method: Method, result: Result<Reply, Failure>) -> Outcome {
        let outcome = match result {
            Ok(reply) => judge(reply.status, reply.body, reply.request_id, method != Method::Delete),
            Err(failure) => Outcome::Unknown { reason: failure.reason, status: failure.status, sent: failure.sent },
        };
        if matches!(outcome, Outcome::Unknown { .. }) {
            add(&self.stats.unknown);
        }
        outcome
    }

    /// From now on a connection stands open for the next command, so that it need not wait for one.
    pub fn keep_open(self: &Arc<Self>) {
        if self.keeps_open.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        let (client, closed) = (Arc::downgrade(self), self.until_closed());
        self.runtime.spawn(async move {
            let keeping = async {
                while let Some(client) = client.upgrade() {
                    if !client.lines.has_idle() && client.in_flight() == 0 {
                        // One that can't be opened now is tried again; a command tells of it.
                        let _ = client.open(None).await;
                    }
                    drop(client);
                    tokio::time::sleep(LOOK).await;
                }
            };
            tokio::select! { biased; () = closed => {}, () = keeping => {} }
        });
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
                    let result = match self.target.request(method.verb(), &path, &params, body.as_ref()) {
                        Some(request) => self.send_command(request).await,
                        None => Err(Failure::unsent(format!("{path:?} is no path"))),
                    };
                    Answer::Outcome(self.outcome(method, result))
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

    /// By an idle connection, or a new one. What a connection that was closed did not take is sent by the next.
    async fn send_command(&self, request: Request) -> Result<Reply, Failure> {
        let started = Instant::now();
        let deadline = tokio::time::Instant::from_std(started + self.config.timeout);
        add(&self.stats.requests);
        for _ in 0..SENDS {
            let (tell, told) = tokio::sync::oneshot::channel();
            let done: Done = Box::new(move |ended| drop(tell.send(ended)));
            if let Some(line) = self.lines.take() {
                self.lines.start(line, request.clone(), done);
            } else {
                let first = Some((request.clone(), deadline, done));
                self.open(first).await.map_err(|reason| self.unsent(reason))?;
            }
            let Ok(ended) = told.await else {
                let reason = "the client was closed".to_owned();
                return Err(Failure { reason, status: None, sent: true });
            };
            if let Some(result) = self.hear(ended, started) {
                return result;
            }
        }
        Err(Failure::unsent("no connection: each was closed before the request left".to_owned()))
    }

    /// Open a connection, with the first request that it carries. `Err` says why there is none.
    async fn open(&self, first: Option<(Request, tokio::time::Instant, Done)>) -> Result<(), String> {
        let within = self.config.connect_timeout;
        match tokio::time::timeout(within, self.target.open()).await {
            Ok(Ok(io)) => self.lines.add(io, first, self.until_closed()).await,
            Ok(Err(error)) => Err(format!("no connection: {error}")),
            Err(_) => Err(format!("connect timeout: no connection within {within:?}")),
        }
    }

    fn unsent(&self, reason: String) -> Failure {
        self.quotas[0].answered(Limits::default());
        Failure::unsent(reason)
    }

    fn until_closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closed = self.closed.subscribe();
        async move { drop(closed.wait_for(|closed| *closed).await) }
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
                return Err(failure(&error, None));
            }
        };
        let status = response.status().as_u16();
        self.heed(quota, status, response.headers());
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
                Err(error) => return Err(failure(&error, Some(status))),
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

/// Why a read has no reply.
fn failure(error: &reqwest::Error, status: Option<u16>) -> Failure {
    let kind = if error.is_timeout() {
        if error.is_connect() { "connect timeout" } else { "timeout" }
    } else if error.is_connect() {
        "no connection"
    } else if error.is_body() || error.is_decode() {
        "the reply broke off"
    } else {
        "the connection broke"
    };
    Failure::broken(kind, error, status)
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
