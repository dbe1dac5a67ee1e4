//! A person's own program, run with what happened in its environment.

use std::{process::Stdio, time::Duration};

use backstay_shared::{config::HookCommand, overview::Problem};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::timeout,
};

use super::{
    events::{Event, What},
    outside::Outside,
};

/// Output that is kept for the log; the rest is read and dropped, so that the program does not wait for a reader.
const OUTPUT_BYTES_MAX: usize = 8 * 1024;

/// A program that has ended may have left others that hold its output open.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);

/// How a program ended, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// It ended by itself and said that all is well.
    pub(super) success: bool,
    /// How it ended.
    pub(super) end: String,
    /// The beginning of what it printed.
    pub(super) output: String,
}

/// What the program gets to know. What is not known is empty rather than missing, for scripts under `set -u`.
pub(super) fn environment(event: &Event) -> Vec<(&'static str, String)> {
    let (phone, problem) = (&event.phone, event.what.problem());
    let name = match event.what {
        What::Started => "start",
        What::Succeeded => "success",
        What::Failed(_) => "failure",
        What::Overdue(_) => "overdue",
        What::PasscodeNeeded(_) => "passcode-needed",
        What::Cured => "cured",
    };
    let of_problem = |text: fn(&Problem) -> String| problem.map(text).unwrap_or_default();
    let good = phone.last_good.as_ref();
    let variables = [
        ("BACKSTAY_EVENT", name.to_owned()),
        ("BACKSTAY_PHONE_NAME", phone.name.clone()),
        ("BACKSTAY_UDID", phone.udid.to_string()),
        ("BACKSTAY_MODEL", phone.model.clone().unwrap_or_default()),
        ("BACKSTAY_IOS", phone.ios.clone().unwrap_or_default()),
        ("BACKSTAY_FAILURE_ID", of_problem(|problem| problem.id.slug().to_owned())),
        ("BACKSTAY_TITLE", of_problem(|problem| problem.title.clone())),
        ("BACKSTAY_WHY", of_problem(|problem| problem.why.clone())),
        ("BACKSTAY_STEPS", problem.map(super::steps).unwrap_or_default()),
        ("BACKSTAY_LAST_GOOD", good.map(|good| good.at.to_rfc3339()).unwrap_or_default()),
        ("BACKSTAY_LAST_GOOD_BYTES", good.map(|good| good.bytes.to_string()).unwrap_or_default()),
        ("BACKSTAY_LAST_GOOD_FILES", good.map(|good| good.files.to_string()).unwrap_or_default()),
        ("BACKSTAY_NEXT_DUE", phone.next_due.map(|due| due.to_rfc3339()).unwrap_or_default()),
    ];
    // A name comes from a phone; a NUL would keep the program from starting at all.
    let plain = |character: &char| !character.is_control() || *character == '\n';
    variables.map(|(name, value)| (name, value.chars().filter(plain).collect())).to_vec()
}

/// Runs a program to its end, or kills it, and all that it started, after `longest`.
pub(super) async fn run(command: &HookCommand, environment: Vec<(&'static str, String)>, longest: Duration) -> Outcome {
    let outside = Outside::where_needed().await;
    let mut process = match &outside {
        Some(outside) => outside.command(command, &environment, longest),
        None => {
            let mut process = Command::new(&command.program);
            process.args(&command.arguments);
            process
        }
    };
    process.envs(environment).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // A group of its own, so that a script's children end with it.
    #[cfg(unix)]
    process.process_group(0);
    let mut child = match process.spawn() {
        Ok(child) => child,
        Err(error) => return Outcome { success: false, end: format!("not started: {error}"), output: String::new() },
    };
    let (mut told, mut complained) = (Vec::new(), Vec::new());
    let reading = (child.stdout.take(), child.stderr.take());
    let end = {
        let reading = async { tokio::join!(read(reading.0, &mut told), read(reading.1, &mut complained)) };
        tokio::pin!(reading);
        let ending = async {
            tokio::select! {
                status = child.wait() => {
                    // What it printed is there already unless somebody else holds the pipe.
                    drop(timeout(OUTPUT_GRACE, &mut reading).await);
                    status
                }
                _ = &mut reading => child.wait().await,
            }
        };
        timeout(longest, ending).await
    };
    let output = [told, complained].concat();
    let output = String::from_utf8_lossy(&output).trim().to_owned();
    let (success, end) = match end {
        Ok(Ok(status)) => (status.success(), status.to_string()),
        Ok(Err(error)) => (false, error.to_string()),
        Err(_) => {
            if let Some(outside) = &outside {
                outside.kill().await;
            }
            kill(&mut child).await;
            (false, format!("killed after {} seconds", longest.as_secs()))
        }
    };
    Outcome { success, end, output }
}

async fn kill(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()))
        && let Err(error) = rustix::process::kill_process_group(group, rustix::process::Signal::KILL)
    {
        tracing::debug!(%error, "what a hook's program started could not be killed");
    }
    if let Err(error) = child.kill().await {
        tracing::debug!(%error, "a hook's program could not be killed");
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len()).min(length);
        kept.extend_from_slice(&buffer[..room]);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Instant;

    use rustix::fs::{Mode, OFlags};

    use super::*;

    async fn shell(script: &str, longest: Duration) -> Outcome {
        let command = HookCommand { program: "sh".into(), arguments: vec!["-c".into(), script.into()] };
        run(&command, vec![("BACKSTAY_EVENT", "a b\nc\"d".into())], longest).await
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_program_gets_its_environment_and_says_how_it_ended() {
        let outcome = shell("printf %s \"$BACKSTAY_EVENT\"; echo oh >&2; exit 3", LONG).await;
        assert_eq!((outcome.success, outcome.output.as_str()), (false, "a b\nc\"doh"));
        assert!(outcome.end.contains('3'), "{}", outcome.end);
        assert!(shell("exit 0", LONG).await.success);
        let missing = HookCommand { program: "/nowhere/program".into(), arguments: Vec::new() };
        let outcome = run(&missing, Vec::new(), LONG).await;
        assert!(!outcome.success && outcome.end.starts_with("not started"), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        // The child holds the write end of the fifo: its end is seen by the reader.
        let script = format!("mkfifo {0}; sleep 1000 > {0} & echo ready; cat {0}; sleep 1000", fifo.display());
        let outcome = shell(&script, Duration::from_millis(500)).await;
        assert!(!outcome.success && outcome.end.starts_with("killed"), "{outcome:?}");
        let Ok(file) = rustix::fs::open(&fifo, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()) else { return };
        rustix::fs::fcntl_setfl(&file, OFlags::empty()).unwrap();
        let (sender, ended) = tokio::sync::oneshot::channel();
        // Waits until nobody writes any more.
        std::thread::spawn(move || sender.send(rustix::io::read(&file, &mut [0; 16])));
        assert_eq!(timeout(LONG, ended).await.expect("its child lives on").unwrap(), Ok(0));
    }

    #[tokio::test]
    async fn much_output_is_cut_and_does_not_hang() {
        let outcome = shell("yes | head -c 3000000; yes >&2 | head -c 0", Duration::from_secs(2)).await;
        assert!(outcome.output.len() <= 2 * OUTPUT_BYTES_MAX, "{}", outcome.output.len());
    }

    #[tokio::test]
    async fn a_program_left_behind_holds_nobody_up() {
        let began = Instant::now();
        let outcome = shell("sleep 30 & echo done", LONG).await;
        assert!(outcome.success && outcome.output == "done", "{outcome:?}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
