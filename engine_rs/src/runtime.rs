//! The one tokio runtime of the process. Its threads never touch Python, so the interpreter can end while they run.

use std::sync::Mutex;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::origin::Origin;
use crate::sync::Relock;

static RUNTIME: Mutex<Option<(Origin, Runtime)>> = Mutex::new(None);

/// The runtime's handle; starts it on first use. A forked child has none of its parent's threads and gets its own.
pub fn handle() -> std::io::Result<Handle> {
    let mut slot = RUNTIME.relock();
    if let Some((_, runtime)) = slot.take_if(|(origin, _)| !origin.is_here()) {
        // Ending it would wait for locks that threads held which don't exist here.
        std::mem::forget(runtime);
    }
    if slot.is_none() {
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("engine-io").enable_all().build()?;
        *slot = Some((Origin::here(), runtime));
    }
    slot.as_ref().map(|(_, runtime)| runtime.handle().clone()).ok_or_else(|| std::io::Error::other("no runtime"))
}

/// End all tasks without waiting for them.
pub fn shutdown() {
    match RUNTIME.relock().take() {
        Some((origin, runtime)) if origin.is_here() => runtime.shutdown_background(),
        Some((_, runtime)) => std::mem::forget(runtime),
        None => {}
    }
}
