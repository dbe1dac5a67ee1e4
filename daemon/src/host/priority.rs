//! Work that must not be felt.

/// Gives this thread the processor and, with the usual schedulers, the disk only when nobody else wants them.
#[cfg(target_os = "linux")]
pub fn lower_this_thread() {
    // Linux has a priority for each thread, and the disk's follows it.
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19) {
        tracing::debug!(%error, "the priority stays as it is");
    }
}

/// Elsewhere a thread's priority takes calls that no safe library has; the work is small enough without.
#[cfg(not(target_os = "linux"))]
pub fn lower_this_thread() {}
