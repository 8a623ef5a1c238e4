//! Notices an event loop that no longer turns, from a thread that needs nothing of it.

use std::io::Write;
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderName, HeaderValue};

use crate::origin::Origin;
use crate::secret::Secret;
use crate::sync::Relock;

/// A request that takes orders back. Header values are secrets.
#[derive(Clone, Debug)]
pub struct CancelRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, Secret)>,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub unhealthy: Duration,
    pub limit: Duration,
    /// For all cancel requests together.
    pub deadline: Duration,
}

pub struct Watchdog {
    limits: Limits,
    beats: AtomicU64,
    late_ns: AtomicU64,
    requests: Mutex<Vec<CancelRequest>>,
    stopped: Mutex<bool>,
    stopping: Condvar,
    running: AtomicBool,
    thread: Mutex<Option<(Origin, JoinHandle<()>)>>,
}

impl Watchdog {
    pub fn new(limits: Limits, requests: Vec<CancelRequest>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            beats: AtomicU64::new(0),
            late_ns: AtomicU64::new(0),
            requests: Mutex::new(requests),
            stopped: Mutex::new(false),
            stopping: Condvar::new(),
            running: AtomicBool::new(false),
            thread: Mutex::new(None),
        })
    }

    /// Watch from now on. `end` is called once the loop is stuck for good and the cancel requests are done.
    pub fn start(self: &Arc<Self>, end: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let mut thread = self.thread.relock();
        if thread.as_ref().is_some_and(|(origin, _)| origin.is_here()) {
            return Ok(());
        }
        *self.stopped.relock() = false;
        self.late_ns.store(0, Ordering::Relaxed);
        let watchdog = Arc::clone(self);
        let running = std::thread::Builder::new().name("loop-watchdog".into()).spawn(move || watchdog.watch(end))?;
        *thread = Some((Origin::here(), running));
        self.running.store(true, Ordering::Release);
        Ok(())
    }

    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
        self.late_ns.store(0, Ordering::Relaxed);
    }

    pub fn set_requests(&self, requests: Vec<CancelRequest>) {
        *self.requests.relock() = requests;
    }

    pub fn is_healthy(&self) -> bool {
        self.late() <= self.limits.unhealthy
    }

    /// How long ago the last beat was, as far as this process ran at all; 0 while not started.
    pub fn late(&self) -> Duration {
        Duration::from_nanos(self.late_ns.load(Ordering::Relaxed))
    }

    /// Stop watching; waits for the thread, which ends at once.
    pub fn stop(&self) {
        *self.stopped.relock() = true;
        self.stopping.notify_all();
        let thread = self.thread.relock().take();
        // A fork's child has no such thread: waiting for it would never end.
        if let Some((_, thread)) = thread.filter(|(origin, _)| origin.is_here()) {
            let _ = thread.join();
        }
        self.running.store(false, Ordering::Release);
        self.late_ns.store(0, Ordering::Relaxed);
    }

    fn watch(&self, end: impl FnOnce()) {
        let shortest = self.limits.unhealthy.min(self.limits.limit);
        let tick = (shortest / 8).clamp(Duration::from_millis(2), Duration::from_millis(250));
        let mut seen = self.beats.load(Ordering::Relaxed);
        let mut late = Duration::ZERO;
        let mut last = Instant::now();
        loop {
            let stopped = self.stopped.relock();
            let (stopped, _) =
                self.stopping.wait_timeout(stopped, tick).unwrap_or_else(std::sync::PoisonError::into_inner);
            if *stopped {
                return;
            }
            drop(stopped);
            let now = Instant::now();
            // A machine that slept, or a process that was stopped, is no stuck loop: count what this thread saw itself.
            let step = (now - last).min(tick * 4);
            last = now;
            let beats = self.beats.load(Ordering::Relaxed);
            if beats == seen {
                late += step;
            } else {
                seen = beats;
                late = Duration::ZERO;
            }
            self.late_ns.store(late.as_nanos() as u64, Ordering::Relaxed);
            if late > self.limits.limit {
                // Whatever happens to the requests, the process ends.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.cancel_all()));
                end();
                return;
            }
        }
    }

    fn cancel_all(&self) {
        let requests = self.requests.relock().clone();
        if requests.is_empty() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let deadline = self.limits.deadline;
        runtime.block_on(async move {
            let client = reqwest::Client::builder()
                .tls_backend_preconfigured((*crate::tls::config()).clone())
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .timeout(deadline)
                .build();
            let Ok(client) = client else { return };
            let sent: Vec<_> =
                requests.into_iter().map(|request| tokio::spawn(send(client.clone(), request))).collect();
            let all = async {
                for one in sent {
                    let _ = one.await;
                }
            };
            let _ = tokio::time::timeout(deadline, all).await;
        });
        runtime.shutdown_background();
    }
}

/// Where last words go. What descriptor 2 leads to may be read by a thread of this very process, which is stuck.
pub static LAST_WORDS: AtomicI32 = AtomicI32::new(2);

/// Write to `LAST_WORDS`, which may be closed, or a full pipe that nobody reads: neither may keep the process from ending.
pub fn say(text: String) {
    aside(move || {
        // SAFETY: the descriptor is only borrowed, it is never closed here.
        let file = unsafe { std::fs::File::from_raw_fd(LAST_WORDS.load(Ordering::Relaxed)) };
        let _ = std::mem::ManuallyDrop::new(file).write_all(text.as_bytes());
    });
}

/// Have the handler of this signal (Python's faulthandler) write where every thread stands.
pub fn trace(signal: i32) {
    aside(move || {
        // SAFETY: it is handled in this thread, by a handler that only writes; it may wait for who reads, as `say` may.
        unsafe { libc::raise(signal) };
    });
}

fn aside(words: impl FnOnce() + Send + 'static) {
    let (written, done) = std::sync::mpsc::channel();
    let writer = std::thread::Builder::new().name("last-words".into()).spawn(move || {
        words();
        let _ = written.send(());
    });
    if writer.is_ok() {
        let _ = done.recv_timeout(Duration::from_millis(200));
    }
}

async fn send(client: reqwest::Client, request: CancelRequest) {
    let where_to = request.url.split(['?', '#']).next().unwrap_or_default().to_owned();
    let result = async {
        let method = request.method.parse::<reqwest::Method>().map_err(|error| error.to_string())?;
        let mut builder = client.request(method, &request.url);
        for (name, value) in &request.headers {
            let name = name.parse::<HeaderName>().map_err(|error| error.to_string())?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        builder.send().await.map(|response| response.status()).map_err(|error| error.without_url().to_string())
    };
    match result.await {
        Ok(status) => say(format!("the event loop is stuck: {} {where_to} answered {status}\n", request.method)),
        Err(error) => say(format!("the event loop is stuck: {} {where_to} failed: {error}\n", request.method)),
    }
}

/// Answers `/-/healthy`, also while the loop is stuck. Returns the port; ends when the returned handle is aborted.
pub fn serve_health(watchdog: &Arc<Watchdog>, port: u16) -> std::io::Result<(u16, tokio::task::AbortHandle)> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let runtime = crate::runtime::handle()?;
    let watchdog = Arc::clone(watchdog);
    let guard = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    drop(guard);
    let task = runtime.spawn(async move {
        loop {
            let Ok((mut socket, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let watchdog = Arc::clone(&watchdog);
            tokio::spawn(async move {
                let mut head = [0_u8; 1024];
                let read = tokio::time::timeout(Duration::from_secs(2), socket.read(&mut head)).await;
                let asked = matches!(read, Ok(Ok(count)) if head[..count].starts_with(b"GET /-/healthy "));
                let (status, body) = match (asked, watchdog.is_healthy()) {
                    (false, _) => ("404 Not Found", "not found\n".to_owned()),
                    (true, true) => ("200 OK", "healthy\n".to_owned()),
                    (true, false) => {
                        ("503 Service Unavailable", format!("the event loop is {:.1} s late\n", watchdog.late().as_secs_f64()))
                    }
                };
                let reply = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = socket.write_all(reply.as_bytes()).await;
                let _ = socket.shutdown().await;
            });
        }
    });
    Ok((port, task.abort_handle()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn limits(unhealthy_ms: u64, limit_ms: u64) -> Limits {
        Limits {
            unhealthy: Duration::from_millis(unhealthy_ms),
            limit: Duration::from_millis(limit_ms),
            deadline: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_loop_that_stops_beating_is_unhealthy_and_then_ended() {
        let watchdog = Watchdog::new(limits(20, 80), Vec::new());
        let (ended, end) = mpsc::channel();
        let seen = Arc::clone(&watchdog);
        watchdog.start(move || ended.send(seen.is_healthy()).unwrap()).unwrap();
        assert_eq!(end.recv_timeout(Duration::from_secs(10)), Ok(false));
    }

    #[test]
    fn stopping_ends_the_watch_at_once() {
        let watchdog = Watchdog::new(limits(3_600_000, 3_600_000), Vec::new());
        watchdog.start(|| unreachable!("it was stopped")).unwrap();
        watchdog.beat();
        watchdog.stop();
        assert!(watchdog.is_healthy());
    }
}
