//! The daemon's service denies itself what a person's programs may need: `mount` and `sudo` take privileges, and a file
//! system that one of them mounts must outlive the daemon. So systemd runs them beside the service, as units of their own.

use std::{env, ffi::OsString, time::Duration};

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
        let needed = is_restricted() && env::var_os("INVOCATION_ID").is_some() && systemd_can_be_asked().await;
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
        let of_event = variables.iter().map(|(name, _)| (*name).to_owned());
        let names = of_event.chain(env::vars_os().filter_map(of_the_person));
        command.args(names.map(|name| format!("--setenv={name}")));
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

/// What systemd says to the daemon's own service alone. Source: systemd.exec(5), environment variables set or
/// propagated by the service manager, and sd_notify(3).
const OF_THE_SERVICE: [&str; 13] = [
    "CREDENTIALS_DIRECTORY",
    "FDSTORE",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_",
    "MAINPID",
    "MANAGERPID",
    "MEMORY_PRESSURE_",
    "MONITOR_",
    "NOTIFY_SOCKET",
    "SYSTEMD_EXEC_PID",
    "TRIGGER_",
    "WATCHDOG_",
];

/// The name of a variable that the program gets, too: a person may have set it for the service, `PATH` for one. A
/// variable that systemd takes from nobody would keep the program from starting.
fn of_the_person((name, value): (OsString, OsString)) -> Option<String> {
    let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
    let takes = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = name.bytes().all(takes) && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    let is_plain = value.chars().all(|character| !character.is_control() || "\t\n".contains(character));
    let of_service = OF_THE_SERVICE.iter().any(|begin| name.starts_with(begin));
    (is_name && is_plain && !of_service).then_some(name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_set_goes_along_and_what_systemd_said_does_not() {
        let passed = |name: &str, value: &str| of_the_person((name.into(), value.into()));
        for (name, value) in [("PATH", "/opt/bin:/bin"), ("_x1", ""), ("WORDS", "two\nlines"), ("LISTEN", "1")] {
            assert_eq!(passed(name, value).as_deref(), Some(name));
        }
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "INVOCATION_ID", "JOURNAL_STREAM", "MAINPID"] {
            assert_eq!(passed(name, "1"), None, "{name}");
        }
        for (name, value) in [("BASH_FUNC_x%%", "() {\n}"), ("1x", "1"), ("", "1"), ("BELL", "\u{7}")] {
            assert_eq!(passed(name, value), None, "{name}");
        }
    }
}
