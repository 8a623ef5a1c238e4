//! The one tokio runtime of the process. Its threads never touch Python, so the interpreter can end while they run.

use std::sync::Mutex;

use tokio::runtime::{Builder, Handle, Runtime};

static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// The runtime's handle; starts it on first use.
pub fn handle() -> std::io::Result<Handle> {
    let mut slot = RUNTIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if slot.is_none() {
        *slot = Some(Builder::new_multi_thread().worker_threads(2).thread_name("engine-io").enable_all().build()?);
    }
    slot.as_ref().map(|runtime| runtime.handle().clone()).ok_or_else(|| std::io::Error::other("no runtime"))
}

/// End all tasks without waiting for them.
pub fn shutdown() {
    let runtime = RUNTIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    if let Some(runtime) = runtime {
        runtime.shutdown_background();
    }
}
