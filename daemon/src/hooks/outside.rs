//! The daemon's service denies itself what a person's programs may need: `mount` and `sudo` take privileges, and a file
//! system that one of them mounts must outlive the daemon. So systemd runs them beside the service, as units of their own.

use std::{path::Path, time::Duration};

use backstay_shared::config::HookCommand;
use tokio::process::Command;
use uuid::Uuid;

/// A unit for one run of a program.
pub(super) struct Outside {
    unit: String,
}

impl Outside {
    /// None where the program may run as a child: not in a service, or in one without restrictions.
    pub(super) fn where_needed() -> Option<Self> {
        (is_restricted() && in_a_service()).then(|| Self { unit: format!("backstay-hook-{}.service", Uuid::new_v4()) })
    }

    /// Runs the program with these variables of this command's environment, and ends as it does.
    pub(super) fn command(&self, hook: &HookCommand, variables: &[(&str, String)], longest: Duration) -> Command {
        let mut command = Command::new("systemd-run");
        // Of what it leaves running, nothing is ended: that may be what it is for.
        command.args(["--user", "--quiet", "--collect", "--wait", "--pipe", "--property=KillMode=process"]);
        command.arg(format!("--unit={}", self.unit));
        // For when the daemon ends first.
        command.arg(format!("--property=RuntimeMaxSec={}s", longest.as_secs() + 5));
        // By name alone: values are nobody's business, and a command line can be read by everybody.
        command.args(variables.iter().map(|(name, _)| format!("--setenv={name}")));
        command.arg("--").arg(&hook.program);
        command.args(hook.arguments.iter().map(|argument| argument.replace('$', "$$")));
        command
    }

    /// Kills the program and all that it started.
    pub(super) async fn kill(&self) {
        let mut command = Command::new("systemctl");
        command.args(["--user", "kill", "--signal=KILL", &self.unit]);
        match command.output().await {
            Ok(output) if output.status.success() => {}
            failed => tracing::debug!(?failed, "a hook's unit could not be killed"),
        }
    }
}

/// Also of its children, for ever.
fn is_restricted() -> bool {
    #[cfg(target_os = "linux")]
    return rustix::thread::no_new_privs().unwrap_or(false);
    #[cfg(not(target_os = "linux"))]
    false
}

/// systemd says so to its services, and can be asked only over the session's bus.
fn in_a_service() -> bool {
    let has_bus = || {
        std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some()
            || std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|folder| Path::new(&folder).join("bus").exists())
    };
    std::env::var_os("INVOCATION_ID").is_some() && has_bus()
}
