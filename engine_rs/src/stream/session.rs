//! One connection from its upgrade to its end.

use std::time::{Duration, Instant};

use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::Value;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::backoff::Cause;
use super::connect::{Socket, open};
use super::control::{self, Control, Verdict};
use super::handle::{Shared, State};
use super::ring::Item;
use super::task::stopped;
use crate::sync::Relock;

pub enum End {
    Stopped,
    Lost(Lost),
}

#[derive(Debug)]
pub struct Lost {
    pub cause: Cause,
    pub reason: String,
}

impl Lost {
    fn new(reason: impl Into<String>) -> Self {
        Self { cause: Cause::Lost, reason: reason.into() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Greeting,
    Authenticating,
    /// Waiting for the first subscriptions, or for the answer to `listen`.
    Joining,
    Ready,
}

pub struct Session<'a> {
    pub(super) shared: &'a Shared,
    pub(super) items: Vec<Item>,
    phase: Phase,
    /// When the answer that we wait for is overdue.
    deadline: Instant,
    last_frame: Instant,
    last_ping: Instant,
    ready_since: Option<Instant>,
    proven: bool,
}

/// Frames read in one go before pings and subscriptions get their turn.
const BATCH: usize = 128;
/// Items handed over together: some hundred microseconds' worth, so that the newest is not kept back by a burst.
const HANDED_OVER: usize = 256;
/// A closing handshake that takes longer is not worth waiting for: Alpaca often answers none.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);

impl<'a> Session<'a> {
    pub fn new(shared: &'a Shared) -> Self {
        let now = Instant::now();
        Self {
            shared,
            items: Vec::new(),
            phase: Phase::Greeting,
            deadline: now,
            last_frame: now,
            last_ping: now,
            ready_since: None,
            proven: false,
        }
    }

    /// It brought data, or was up for long: the next attempt need not be slow.
    pub fn is_proven(&self) -> bool {
        self.proven || self.ready_since.is_some_and(|since| since.elapsed() > self.shared.config.silence_timeout)
    }

    pub async fn run(&mut self, stop: &mut watch::Receiver<bool>) -> End {
        let opened = tokio::select! {
            opened = open(&self.shared.config) => opened,
            () = stopped(stop) => return End::Stopped,
        };
        let mut socket = match opened {
            Ok(socket) => socket,
            Err(lost) => return End::Lost(lost),
        };
        self.shared.push_state(State::Connected, String::new());
        let lost = tokio::select! {
            lost = self.talk(&mut socket) => Some(lost),
            () = stopped(stop) => None,
        };
        self.flush();
        // The venue counts connections: leave in form, but without waiting for an answer that may never come.
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, socket.close(Some(frame))).await;
        lost.map_or(End::Stopped, End::Lost)
    }

    async fn talk(&mut self, socket: &mut Socket) -> Lost {
        match self.converse(socket).await {
            Ok(never) => match never {},
            Err(lost) => lost,
        }
    }

    async fn converse(&mut self, socket: &mut Socket) -> Result<std::convert::Infallible, Lost> {
        let config = &self.shared.config;
        self.expect_answer();
        self.last_frame = Instant::now();
        self.last_ping = self.last_frame;
        self.greet(socket).await?;
        let shortest = config.ping_interval.min(config.silence_timeout).min(config.connect_timeout);
        let mut ticks = tokio::time::interval((shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Not biased: a socket that always has more must not keep subscriptions and pings waiting for ever.
            tokio::select! {
                message = socket.next() => self.read(socket, message).await?,
                () = self.shared.wake.notified() => self.ask(socket).await?,
                _ = ticks.tick() => self.tend(socket).await?,
            }
        }
    }

    /// Handle what came, and what more is already here.
    async fn read(
        &mut self,
        socket: &mut Socket,
        first: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
    ) -> Result<(), Lost> {
        let mut message = first;
        for left in (0..BATCH).rev() {
            let next = message.ok_or_else(|| Lost::new("the server closed the connection"))?;
            let next = next.map_err(|error| Lost::new(format!("the connection broke: {error}")))?;
            let mut controls = Vec::new();
            self.frame(&next, &mut controls)?;
            for control in controls {
                self.obey(socket, control).await?;
            }
            if left == 0 {
                break;
            }
            if self.items.len() >= HANDED_OVER {
                self.flush();
            }
            match socket.next().now_or_never() {
                Some(more) => message = more,
                None => break,
            }
        }
        self.flush();
        Ok(())
    }

    fn frame(&mut self, message: &Message, controls: &mut Vec<(Control, Vec<u8>)>) -> Result<(), Lost> {
        self.last_frame = Instant::now();
        let bytes: &[u8] = match message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
            Message::Close(frame) => {
                let why =
                    frame.as_ref().map_or_else(String::new, |frame| format!(" ({} {})", frame.code, frame.reason));
                return Err(Lost::new(format!("the server closed the connection{why}")));
            }
            _ => {
                self.shared
                    .stats
                    .last_frame_ns
                    .store(crate::wire::time::now_ns(), std::sync::atomic::Ordering::Relaxed);
                return Ok(());
            }
        };
        let carried_data = self.take_in(bytes, controls);
        if carried_data && self.phase == Phase::Ready {
            self.proven = true;
        }
        Ok(())
    }

    /// Hand over what has been read.
    fn flush(&mut self) {
        self.shared.push_all(&mut self.items);
    }

    fn expect_answer(&mut self) {
        self.deadline = Instant::now() + self.shared.config.connect_timeout;
    }

    async fn send(&mut self, socket: &mut Socket, value: &Value) -> Result<(), Lost> {
        let message = control::encode(self.shared.config.codec, value);
        self.send_message(socket, message).await
    }

    async fn send_message(&mut self, socket: &mut Socket, message: Message) -> Result<(), Lost> {
        match tokio::time::timeout(self.shared.config.connect_timeout, socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Lost::new(format!("the connection broke: {error}"))),
            Err(_) => Err(Lost::new("the server does not read what we send")),
        }
    }

    /// A market-data stream greets first; the trading stream waits for us.
    async fn greet(&mut self, socket: &mut Socket) -> Result<(), Lost> {
        let config = &self.shared.config;
        if control::is_market(config) {
            self.phase = if config.header_auth { Phase::Authenticating } else { Phase::Greeting };
            return Ok(());
        }
        if config.header_auth {
            self.phase = Phase::Joining;
            return self.send(socket, &control::listen()).await;
        }
        self.phase = Phase::Authenticating;
        self.send(socket, &control::auth(config)).await
    }

    async fn obey(&mut self, socket: &mut Socket, (control, json): (Control, Vec<u8>)) -> Result<(), Lost> {
        match control {
            Control::Connected if self.phase == Phase::Greeting => {
                self.phase = Phase::Authenticating;
                self.expect_answer();
                let auth = control::auth(&self.shared.config);
                self.send(socket, &auth).await?;
            }
            Control::Authenticated if self.phase < Phase::Joining => self.join(socket).await?,
            Control::Refused(reason) => return Err(Lost { cause: Cause::Refused, reason }),
            Control::Listening(true) if self.phase == Phase::Joining => {
                if self.shared.config.header_auth {
                    self.announce(State::Authenticated);
                }
                self.ready();
            }
            Control::Listening(false) => return Err(Lost::new("the server does not send trade_updates")),
            Control::Subscribed(channels) => {
                self.shared.subscriptions.relock().acknowledged(channels);
                self.ask(socket).await?;
            }
            Control::Error { code, message } => self.fault(socket, code, &message, json).await?,
            _ => {}
        }
        Ok(())
    }

    async fn join(&mut self, socket: &mut Socket) -> Result<(), Lost> {
        self.announce(State::Authenticated);
        self.phase = Phase::Joining;
        self.expect_answer();
        if control::is_market(&self.shared.config) {
            self.shared.subscriptions.relock().online();
            self.ask(socket).await
        } else {
            self.send(socket, &control::listen()).await
        }
    }

    /// Send the next subscription that may go; with none left, what was asked for is done.
    async fn ask(&mut self, socket: &mut Socket) -> Result<(), Lost> {
        if self.phase < Phase::Joining || !control::is_market(&self.shared.config) {
            return Ok(());
        }
        let request = self.shared.subscriptions.relock().next_request();
        if let Some(request) = request {
            self.expect_answer();
            self.send(socket, &control::subscription(&request)).await?;
        } else if self.phase == Phase::Joining && self.shared.subscriptions.relock().is_settled() {
            self.ready();
        }
        Ok(())
    }

    /// States go through the same queue as the messages, behind those that came before.
    fn announce(&mut self, state: State) {
        self.flush();
        self.shared.push_state(state, String::new());
    }

    fn ready(&mut self) {
        self.phase = Phase::Ready;
        self.ready_since = Some(Instant::now());
        self.announce(State::Ready);
    }

    async fn fault(&mut self, socket: &mut Socket, code: i64, message: &str, json: Vec<u8>) -> Result<(), Lost> {
        let answers = control::refuses_subscription(code) && self.shared.subscriptions.relock().is_waiting();
        if answers {
            let given_up = self.shared.subscriptions.relock().refused();
            if let Some((channel, symbol)) = given_up {
                let told = serde_json::json!({"T": "error", "code": code, "msg": message, "channel": channel, "symbol": symbol});
                self.tell_error(told.to_string().into_bytes());
            }
            return self.ask(socket).await;
        }
        self.tell_error(json);
        let reason = format!("{code} {message}");
        if self.phase == Phase::Ready && !matches!(code, 401 | 406) {
            return Ok(());
        }
        match control::verdict(code) {
            Verdict::Busy => Err(Lost { cause: Cause::Busy, reason }),
            Verdict::Refused if self.phase < Phase::Ready => Err(Lost { cause: Cause::Refused, reason }),
            Verdict::Refused | Verdict::Lost => Err(Lost::new(reason)),
            // Already authenticated, by header: go on.
            Verdict::Ignore if self.phase < Phase::Joining => self.join(socket).await,
            Verdict::Ignore => Ok(()),
        }
    }

    fn tell_error(&mut self, json: Vec<u8>) {
        self.items.push(Item::Message { kind: "error".into(), symbol: "".into(), json: json.into(), bounded: false });
    }

    /// Pings, and what is overdue.
    async fn tend(&mut self, socket: &mut Socket) -> Result<(), Lost> {
        let config = &self.shared.config;
        let now = Instant::now();
        let silent = now.saturating_duration_since(self.last_frame);
        if silent > config.silence_timeout {
            return Err(Lost::new(format!("no frame of any kind for {silent:.1?}")));
        }
        let waiting = self.phase < Phase::Ready || self.shared.subscriptions.relock().is_waiting();
        if waiting && now > self.deadline {
            let what = match self.phase {
                Phase::Greeting => "greeting",
                Phase::Authenticating => "answer to the authentication",
                Phase::Joining | Phase::Ready => "answer to the subscription",
            };
            return Err(Lost::new(format!("no {what} within {:?}", config.connect_timeout)));
        }
        if now.saturating_duration_since(self.last_ping) >= config.ping_interval {
            self.last_ping = now;
            self.send_message(socket, Message::Ping(bytes::Bytes::new())).await?;
        }
        Ok(())
    }
}
