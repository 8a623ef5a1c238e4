//! The task behind a handle: one session after another until it is told to stop.

use std::sync::Arc;

use tokio::sync::watch;

use super::backoff::{Backoff, Cause};
use super::handle::{Shared, State};
use super::session::{End, Session};
use super::stats::add;
use crate::sync::Relock;

pub async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>, seed: u64) {
    let config = &shared.config;
    let mut backoff = Backoff::new(config.backoff_min, config.backoff_max, config.busy_backoff, seed);
    let mut first = true;
    loop {
        if *stop.borrow() {
            break;
        }
        if !first {
            add(&shared.stats.reconnects, 1);
        }
        first = false;
        shared.push_state(State::Connecting, String::new());
        let mut session = Session::new(&shared);
        let end = session.run(&mut stop).await;
        let proven = session.is_proven();
        shared.subscriptions.relock().offline();
        let End::Lost(lost) = end else { break };
        if proven {
            backoff.reset();
        }
        let state = if lost.cause == Cause::Refused { State::Refused } else { State::Disconnected };
        shared.push_state(state, lost.reason);
        tokio::select! {
            () = tokio::time::sleep(backoff.next(lost.cause)) => {}
            () = stopped(&mut stop) => break,
        }
    }
    shared.push_state(State::Stopped, String::new());
}

pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the handle is gone, which is a stop too.
    let _ = stop.wait_for(|stop| *stop).await;
}
