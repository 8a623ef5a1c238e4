//! Connections that commands leave by. Where one is open and idle, the calling thread writes the request to the socket
//! itself, which saves the hand-over to a thread of the runtime, and its waking up. What follows is the runtime's.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::outcome::Failure;
use crate::sync::Relock;

pub type Request = hyper::Request<Full<Bytes>>;

/// How an exchange ended.
pub enum Ended {
    Reply {
        status: u16,
        headers: HeaderMap,
        body: Bytes,
    },
    Failed(Failure),
    /// The connection was closed before a byte of it was written: it may be sent by another one.
    Unsent,
}

pub type Done = Box<dyn FnOnce(Ended) + Send>;

/// A socket, encrypted or not.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

struct Exchange {
    work: Pin<Box<dyn Future<Output = Ended> + Send>>,
    deadline: Instant,
    done: Done,
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

struct State {
    sender: SendRequest<Full<Bytes>>,
    /// None once it has ended.
    connection: Option<Running>,
    exchange: Option<Exchange>,
    /// Never later than a request that begins now may take, so that a beginning needs no timer.
    alarm: Pin<Box<Sleep>>,
    idle_since: Instant,
    /// Listed, or taken off the list for its next request.
    is_free: bool,
}

impl State {
    fn expect(&mut self, request: Request, deadline: Instant, done: Done) {
        let work = Box::pin(exchange(&mut self.sender, request));
        self.exchange = Some(Exchange { work, deadline, done });
        self.is_free = false;
    }
}

/// Send a request, and read its reply to the end. A connection that was closed before gives it back.
fn exchange(sender: &mut SendRequest<Full<Bytes>>, request: Request) -> impl Future<Output = Ended> + Send + use<> {
    let sent = sender.try_send_request(request);
    async move {
        let response = match sent.await {
            Ok(response) => response,
            Err(error) if error.message().is_some() => return Ended::Unsent,
            Err(error) => return Ended::Failed(Failure::broken("the connection broke", error.error(), None)),
        };
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        match body.collect().await {
            Ok(body) => Ended::Reply { status, headers: head.headers, body: body.to_bytes() },
            Err(error) => Ended::Failed(Failure::broken("the reply broke off", &error, Some(status))),
        }
    }
}

/// Wakes the task of a line. While a thread is in `begin`, which looks at everything itself, it is only noted.
#[derive(Default)]
struct Bell {
    task: AtomicWaker,
    is_held: AtomicBool,
    has_rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, SeqCst);
        if !self.is_held.load(SeqCst) {
            self.task.wake();
        }
    }
}

/// A connection that is in no list, and free.
pub struct Idle(Arc<Line>);

/// One connection.
struct Line {
    bell: Arc<Bell>,
    state: Mutex<State>,
}

/// The idle ones, the one used last at the end.
pub struct Lines {
    idle: Mutex<Vec<Arc<Line>>>,
    most: usize,
    timeout: Duration,
    longest_idle: Duration,
}

/// How often a thread that begins an exchange looks whether it goes on, before it leaves that to the line's task.
const LOOKS: usize = 3;

impl Lines {
    pub fn new(most: usize, timeout: Duration, longest_idle: Duration) -> Self {
        Self { idle: Mutex::default(), most, timeout, longest_idle }
    }

    pub fn has_idle(&self) -> bool {
        !self.idle.relock().is_empty()
    }

    /// An idle connection, for one request.
    pub fn take(&self) -> Option<Idle> {
        loop {
            // The list is let go of first: a line that becomes idle locks itself, and then the list.
            let line = self.idle.relock().pop()?;
            if line.state.relock().sender.is_ready() {
                return Some(Idle(line));
            }
        }
    }

    /// Send from this thread, without waiting. `done` is called once it has ended: on a thread of the runtime, or at
    /// once.
    pub fn start(&self, Idle(line): Idle, request: Request, done: Done) {
        let bell = &line.bell;
        bell.is_held.store(true, SeqCst);
        let mut state = line.state.relock();
        state.expect(request, Instant::now() + self.timeout, done);
        let waker = Waker::from(Arc::clone(bell));
        let mut ended = None;
        for _ in 0..LOOKS {
            bell.has_rung.store(false, SeqCst);
            ended = ended.or(self.look(&line, &mut state, &mut Context::from_waker(&waker)));
            if !bell.has_rung.load(SeqCst) {
                break;
            }
        }
        let is_over = state.connection.is_none();
        drop(state);
        bell.is_held.store(false, SeqCst);
        if bell.has_rung.swap(false, SeqCst) || is_over {
            bell.task.wake();
        }
        if let Some((done, ended)) = ended {
            done(ended);
        }
    }

    /// Take a fresh connection into use, with its first request if there is one: its task runs until it ends, or
    /// `closed` does. `Err` says why it can't be used.
    pub async fn add(
        self: &Arc<Self>,
        io: Box<dyn Io>,
        first: Option<(Request, Instant, Done)>,
        closed: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), String> {
        let (sender, connection) = handshake(TokioIo::new(io)).await.map_err(|error| error.to_string())?;
        let now = Instant::now();
        let mut state = State {
            sender,
            // What ends it is told to who waits for a reply.
            connection: Some(Box::pin(async move { drop(connection.await) })),
            exchange: None,
            alarm: Box::pin(tokio::time::sleep_until(now)),
            idle_since: now,
            is_free: false,
        };
        if let Some((request, deadline, done)) = first {
            state.expect(request, deadline, done);
        }
        let line = Arc::new(Line { bell: Arc::default(), state: Mutex::new(state) });
        let lines = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! { biased; () = closed => {}, () = poll_fn(|cx| lines.drive(&line, cx)) => {} }
            lines.idle.relock().retain(|each| !Arc::ptr_eq(each, &line));
            let mut state = line.state.relock();
            state.connection = None;
            state.exchange = None;
        });
        Ok(())
    }

    /// What the task of a line does whenever it is woken up.
    fn drive(&self, line: &Arc<Line>, cx: &mut Context<'_>) -> Poll<()> {
        line.bell.task.register(cx.waker());
        let waker = Waker::from(Arc::clone(&line.bell));
        let cx = &mut Context::from_waker(&waker);
        let mut state = line.state.relock();
        let mut ended = self.look(line, &mut state, cx);
        let mut over = state.connection.is_none();
        while state.alarm.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let mut next = now + self.timeout;
            if let Some(exchange) = &state.exchange {
                next = next.min(exchange.deadline);
                if exchange.deadline <= now {
                    ended =
                        state.exchange.take().map(|late| (late.done, Ended::Failed(Failure::timeout(self.timeout))));
                    over = true;
                    break;
                }
            } else if now - state.idle_since >= self.longest_idle {
                over = true;
                break;
            }
            state.alarm.as_mut().reset(next);
        }
        drop(state);
        if let Some((done, ended)) = ended {
            done(ended);
        }
        if over { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Go on as far as it goes; what has ended, to be told once the lock is free.
    fn look(&self, line: &Arc<Line>, state: &mut MutexGuard<'_, State>, cx: &mut Context<'_>) -> Option<(Done, Ended)> {
        let state = &mut **state;
        advance(&mut state.connection, cx);
        let mut ended = None;
        if let Some(exchange) = &mut state.exchange
            && let Poll::Ready(how) = exchange.work.as_mut().poll(cx)
        {
            ended = state.exchange.take().map(|exchange| (exchange.done, how));
            state.idle_since = Instant::now();
            // It has to see the end of the reply before it takes the next request.
            advance(&mut state.connection, cx);
        }
        if state.exchange.is_none() && !state.is_free && state.connection.is_some() && state.sender.is_ready() {
            let mut idle = self.idle.relock();
            if idle.len() < self.most {
                state.is_free = true;
                idle.push(Arc::clone(line));
            } else {
                state.connection = None;
            }
        }
        ended
    }
}

fn advance(connection: &mut Option<Running>, cx: &mut Context<'_>) {
    if connection.as_mut().is_some_and(|each| each.as_mut().poll(cx).is_ready()) {
        *connection = None;
    }
}
