//! The outer handle: safe to use from any thread, never waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::config::Config;
use super::ring::{Item, Ring};
use super::stats::{Stats, add};
use super::subscriptions::{Channels, Subscriptions};
use super::symbols::{BarChannel, Symbols};
use super::task;
use crate::notify::Notify;
use crate::origin::Origin;
use crate::sync::Relock;

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    Stopped,
    Connecting,
    Connected,
    Authenticated,
    Ready,
    Disconnected,
    Refused,
}

impl State {
    const ALL: [Self; 7] = [
        Self::Stopped,
        Self::Connecting,
        Self::Connected,
        Self::Authenticated,
        Self::Ready,
        Self::Disconnected,
        Self::Refused,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Connecting | Self::Connected => "connecting",
            Self::Authenticated => "authenticated",
            Self::Ready => "ready",
            Self::Disconnected => "disconnected",
            Self::Refused => "refused",
        }
    }

    fn level(self) -> u64 {
        match self {
            Self::Connected => 1,
            Self::Authenticated => 2,
            Self::Ready => 3,
            _ => 0,
        }
    }
}

/// What the handle and the task share.
pub(super) struct Shared {
    pub config: Config,
    pub ring: Mutex<Ring>,
    pub notify: Notify,
    pub stats: Stats,
    pub symbols: RwLock<Symbols>,
    pub subscriptions: Mutex<Subscriptions>,
    /// The task looks at `subscriptions` again.
    pub wake: tokio::sync::Notify,
    /// Fractional digits that the caller's raw values hold.
    pub scale: AtomicU8,
    state: AtomicU8,
}

impl Shared {
    pub fn push_state(&self, state: State, detail: String) {
        let before = self.state.swap(state as u8, Ordering::AcqRel);
        if state == State::Connected || before == state as u8 && state == State::Stopped {
            return;
        }
        self.ring.relock().push(Item::State { state: state.name(), detail }, |_| "".into());
        self.notify.raise();
    }

    pub fn push_all(&self, items: &mut Vec<Item>) {
        if items.is_empty() {
            return;
        }
        let mut ring = self.ring.relock();
        for item in items.drain(..) {
            ring.push(item, |item| self.symbol(item));
        }
        drop(ring);
        self.notify.raise();
    }

    fn symbol(&self, item: &Item) -> Box<str> {
        let symbols = self.symbols.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        match item {
            Item::Quote { symbol, .. } | Item::Trade { symbol, .. } | Item::Band { symbol, .. } => {
                symbols.name(*symbol).into()
            }
            Item::Bar { slot, .. } => symbols.bar_name(*slot).into(),
            Item::Message { symbol, .. } => symbol.clone(),
            Item::State { .. } => "".into(),
        }
    }

    fn state(&self) -> State {
        State::ALL[usize::from(self.state.load(Ordering::Acquire)) % State::ALL.len()]
    }
}

struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// One stream connection that stays up between `start` and `stop`.
pub struct Stream {
    shared: Arc<Shared>,
    runtime: Handle,
    running: Mutex<Option<Running>>,
    seed: AtomicU64,
    origin: Origin,
}

impl Stream {
    /// `Err` says what is wrong with the configuration.
    pub fn new(config: Config) -> Result<Self, String> {
        super::connect::check(&config)?;
        let runtime = crate::runtime::handle().map_err(|error| format!("no runtime: {error}"))?;
        let notify = Notify::new().map_err(|error| format!("no descriptor: {error}"))?;
        let ring = Mutex::new(Ring::new(config.conflate_above, config.spill_above));
        let shared = Arc::new(Shared {
            config,
            ring,
            notify,
            stats: Stats::default(),
            symbols: RwLock::default(),
            subscriptions: Mutex::default(),
            wake: tokio::sync::Notify::new(),
            scale: AtomicU8::new(crate::wire::decimal::MAX_DIGITS),
            state: AtomicU8::new(State::Stopped as u8),
        });
        let seed = AtomicU64::new(crate::wire::time::now_ns() as u64);
        Ok(Self { shared, runtime, running: Mutex::new(None), seed, origin: Origin::here() })
    }

    pub fn start(&self) {
        let mut running = self.running.relock();
        let before = match running.take() {
            Some(current) if !*current.stop.borrow() => {
                *running = Some(current);
                return;
            }
            before => before,
        };
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::clone(&self.shared);
        let seed = self.seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let task = self.runtime.spawn(async move {
            if let Some(before) = before {
                // The venue allows one connection: the old one has to be gone first.
                let _ = before.task.await;
            }
            task::run(shared, stopped, seed).await;
        });
        *running = Some(Running { stop, task });
    }

    /// Does nothing in a forked child, where nothing runs.
    pub fn stop(&self) {
        if !self.origin.is_here() {
            return;
        }
        if let Some(running) = &*self.running.relock() {
            running.stop.send_replace(true);
        }
    }

    pub fn fd(&self) -> i32 {
        self.shared.notify.fd()
    }

    /// Ticks with more fractional digits than this come as messages.
    pub fn set_scale(&self, scale: u8) {
        self.shared.scale.store(scale, Ordering::Relaxed);
    }

    pub fn map_symbol(&self, symbol: &str) -> u32 {
        self.shared.symbols.write().unwrap_or_else(std::sync::PoisonError::into_inner).map(symbol)
    }

    pub fn map_bar(&self, channel: BarChannel, symbol: &str) -> u32 {
        self.shared.symbols.write().unwrap_or_else(std::sync::PoisonError::into_inner).map_bar(channel, symbol)
    }

    pub fn unmap_bar(&self, channel: BarChannel, symbol: &str) -> Option<u32> {
        self.shared.symbols.write().unwrap_or_else(std::sync::PoisonError::into_inner).unmap_bar(channel, symbol)
    }

    pub fn subscribe(&self, channel: &str, symbols: Vec<String>) {
        self.shared.subscriptions.relock().subscribe(channel, symbols);
        self.shared.wake.notify_one();
    }

    pub fn unsubscribe(&self, channel: &str, symbols: Vec<String>) {
        self.shared.subscriptions.relock().unsubscribe(channel, symbols);
        self.shared.wake.notify_one();
    }

    pub fn confirmed(&self) -> Channels {
        self.shared.subscriptions.relock().confirmed().clone()
    }

    /// Forget earlier wake-ups: call before `pop_into`.
    pub fn clear(&self) {
        self.shared.notify.clear();
    }

    /// Make the descriptor readable again, if anything waits here (or `more` does at the caller's).
    pub fn raise_if_waiting(&self, more: bool) {
        if more || !self.shared.ring.relock().is_empty() {
            self.shared.notify.raise();
        }
    }

    pub fn pop_into(&self, out: &mut VecDeque<Item>, limit: usize) {
        self.shared.ring.relock().pop_into(out, limit);
    }

    pub fn count_delivered(&self, count: u64) {
        add(&self.shared.stats.delivered, count);
    }

    pub fn count_unmapped(&self) {
        add(&self.shared.stats.unmapped, 1);
    }

    pub fn count_parse_error(&self) {
        add(&self.shared.stats.parse_errors, 1);
    }

    pub fn state(&self) -> &'static str {
        self.shared.state().name()
    }

    pub fn url(&self) -> &str {
        &self.shared.config.url
    }

    /// Every figure by its name.
    pub fn figures(&self) -> Vec<(&'static str, u64)> {
        let stats = &self.shared.stats;
        let ring = self.shared.ring.relock();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let time = |ns: &std::sync::atomic::AtomicI64| ns.load(Ordering::Relaxed).max(0) as u64;
        vec![
            ("frames", count(&stats.frames)),
            ("messages", count(&stats.messages)),
            ("quotes", count(&stats.quotes)),
            ("trades", count(&stats.trades)),
            ("bars", count(&stats.bars)),
            ("other", count(&stats.other)),
            ("unmapped", count(&stats.unmapped)),
            ("conflated", ring.conflated),
            ("dropped", ring.dropped),
            ("gaps", ring.gaps),
            ("parse_errors", count(&stats.parse_errors)),
            ("reconnects", count(&stats.reconnects)),
            ("backlog", ring.len() as u64),
            ("delivered", count(&stats.delivered)),
            ("bytes", count(&stats.bytes)),
            ("last_frame_ns", time(&stats.last_frame_ns)),
            ("last_event_ns", time(&stats.last_event_ns)),
            ("state", self.shared.state().level()),
        ]
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop();
    }
}
