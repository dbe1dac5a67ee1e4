//! `backstay`: the daemon and its command line in one executable.

use std::process::ExitCode;

fn main() -> ExitCode {
    backstay::cli::main()
}
