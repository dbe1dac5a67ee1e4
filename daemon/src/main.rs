//! `backstay`: the daemon and its command line in one executable.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Whatever is written from here on, backups, receipts, logs, is for its owner alone.
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    backstay::cli::main()
}
