//! The daemon's service denies itself what a person's programs may need: `mount` and `sudo` take privileges, and a file
//! system that one of them mounts must outlive the daemon. So systemd runs them beside the service, as units of their own.

use std::time::Duration;

use backstay_shared::config::HookCommand;
use tokio::process::Command;
use uuid::Uuid;

/// A bus answers in milliseconds.
#[cfg(target_os = "linux")]
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(5);

/// A unit for one run of a program.
pub(super) struct Outside {
    unit: String,
}

impl Outside {
    /// None where the program may run as a child: not in a service, or in one without restrictions.
    pub(super) async fn where_needed() -> Option<Self> {
        let needed = is_restricted() && std::env::var_os("INVOCATION_ID").is_some() && systemd_can_be_asked().await;
        needed.then(|| Self { unit: format!("backstay-hook-{}.service", Uuid::new_v4()) })
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

/// systemd-run waits for a program over the session's bus, which not every systemd is on.
#[cfg(target_os = "linux")]
async fn systemd_can_be_asked() -> bool {
    let ask = async {
        let bus = zbus::fdo::DBusProxy::new(&zbus::Connection::session().await?).await?;
        let name = zbus::names::BusName::from_static_str("org.freedesktop.systemd1")?;
        Ok::<bool, zbus::Error>(bus.name_has_owner(name).await?)
    };
    tokio::time::timeout(ANSWER_SECONDS_MAX, ask).await.is_ok_and(|answer| answer.unwrap_or(false))
}

#[cfg(not(target_os = "linux"))]
async fn systemd_can_be_asked() -> bool {
    false
}
