//! Figures for Prometheus, as a text file that node_exporter's textfile collector picks up.
//!
//! The format is <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.

use std::{fs, io, path::Path, time::Duration};

use backstay_shared::{
    config::Metrics,
    health::Severity,
    overview::{Activity, Overview, PhoneOverview, Problem},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ipc::board::Board;

/// Changes within this time are written as one.
const MERGED: Duration = Duration::from_secs(5);

/// Written this often at the least: the file's age says that the daemon lives.
const EVERY: Duration = Duration::from_secs(60);

/// Keeps the file up to date until `shutdown`.
pub fn run(config: &Metrics, board: &Board, shutdown: CancellationToken) -> impl Future<Output = ()> + use<> {
    let file = config.file.clone();
    let board = board.clone();
    async move {
        let Some(file) = file else { return };
        shutdown.run_until_cancelled(keep(file.path(), board)).await;
    }
}

async fn keep(file: &Path, board: Board) {
    let mut shown = board.subscribe();
    let (mut written, mut failed) = (String::new(), false);
    let mut written_at = None;
    loop {
        let text = render(&shown.borrow_and_update().overview);
        let old = written_at.is_none_or(|at: Instant| at.elapsed() >= EVERY);
        if old || text != written {
            match write(file, &text) {
                Ok(()) => {
                    (written, failed) = (text, false);
                    written_at = Some(Instant::now());
                }
                // Once: the next tries are as many as the changes.
                Err(error) if !failed => {
                    failed = true;
                    tracing::warn!(file = %file.display(), %error, "the metrics can't be written");
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(MERGED).await;
        let rest = written_at.map_or(EVERY, |at| EVERY.saturating_sub(at.elapsed()));
        tokio::select! {
            changed = shown.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(rest) => {}
        }
    }
}

/// A reader finds the old or the new file whole. It is not brought to the disk: after a crash it is written anew.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut temporary = file.as_os_str().to_owned();
    // Not `.prom`, or it would be read.
    temporary.push(".new");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, file)
}

/// The whole file.
pub fn render(overview: &Overview) -> String {
    let mut text = Text(String::new());
    text.family("backstay_build_info", "The running daemon.");
    text.sample("backstay_build_info", &[("version", &overview.version)], 1);
    let phones = &overview.phones;
    let seconds = |time: Option<chrono::DateTime<chrono::Utc>>| time.map(|time| time.timestamp());
    text.of_phones("backstay_phone_present", "Whether the phone is connected.", phones, |phone| {
        Some((phone.activity != Activity::Away).into())
    });
    text.of_phones(
        "backstay_last_success_timestamp_seconds",
        "When the last good backup was verified.",
        phones,
        |phone| seconds(phone.last_good.as_ref().map(|good| good.at)),
    );
    text.of_phones("backstay_last_run_timestamp_seconds", "When the last run ended.", phones, |phone| {
        seconds(phone.last_run.as_ref().map(|run| run.at))
    });
    text.of_phones("backstay_last_run_success", "Whether the last run made a good backup.", phones, |phone| {
        phone.last_run.as_ref().map(|run| run.failure.is_none().into())
    });
    text.of_phones("backstay_next_due_timestamp_seconds", "When the next backup is due.", phones, |phone| {
        seconds(phone.next_due)
    });
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    text.of_phones("backstay_backup_bytes", "Size of the last good backup.", phones, |phone| {
        phone.last_good.as_ref().map(|good| signed(good.bytes))
    });
    text.of_phones("backstay_backup_files", "Files in the last good backup.", phones, |phone| {
        phone.last_good.as_ref().map(|good| signed(good.files))
    });
    text.family("backstay_problems", "What is wrong now; of the computer where the phone is empty.");
    for problem in &overview.problems {
        text.problem("", "", problem);
    }
    for phone in phones {
        for problem in &phone.problems {
            text.problem(phone.udid.as_str(), &phone.name, problem);
        }
    }
    text.0
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, help: &str) {
        self.0.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: i64) {
        self.0.push_str(name);
        for (index, (label, content)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            // A phone's name is anything.
            for character in content.chars() {
                match character {
                    '\\' => self.0.push_str(r"\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    character => self.0.push(character),
                }
            }
            self.0.push('"');
        }
        self.0.push_str(&format!("}} {value}\n"));
    }

    fn of_phones(
        &mut self,
        name: &str,
        help: &str,
        phones: &[PhoneOverview],
        value: impl Fn(&PhoneOverview) -> Option<i64>,
    ) {
        self.family(name, help);
        for phone in phones {
            if let Some(value) = value(phone) {
                self.sample(name, &[("udid", phone.udid.as_str()), ("name", &phone.name)], value);
            }
        }
    }

    fn problem(&mut self, udid: &str, name: &str, problem: &Problem) {
        let severity = match problem.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let labels = [("udid", udid), ("name", name), ("id", problem.id.slug()), ("severity", severity)];
        self.sample("backstay_problems", &labels, 1);
    }
}

#[cfg(test)]
mod tests {
    use backstay_shared::{
        health::{Failure, FailureId},
        overview::LastGood,
    };
    use chrono::DateTime;

    use super::*;

    #[test]
    fn a_phones_name_stays_in_its_label() {
        let phone = PhoneOverview {
            udid: "00008120-001A2D3E0C40201E".parse().unwrap(),
            name: "Zoë's \"old\" \\ one\nbackstay_up 1".into(),
            model: None,
            ios: None,
            link: None,
            wifi_allowed: None,
            activity: Activity::Away,
            last_good: Some(LastGood {
                at: DateTime::from_timestamp(1_764_000_000, 0).unwrap(),
                files: 3,
                bytes: u64::MAX,
            }),
            next_due: None,
            next_due_reason: None,
            last_run: None,
            problems: vec![Problem::new(&Failure::from(FailureId::BackupOverdue), DateTime::UNIX_EPOCH)],
            turned_off: false,
            earlier: None,
        };
        let overview = Overview {
            version: "0.1.0".into(),
            phones: vec![phone],
            problems: vec![Problem::new(&Failure::from(FailureId::UsbmuxdNotRunning), DateTime::UNIX_EPOCH)],
            ..Overview::default()
        };
        let text = render(&overview);
        let labels = r#"{udid="00008120-001A2D3E0C40201E",name="Zoë's \"old\" \\ one\nbackstay_up 1""#;
        for line in [
            "backstay_build_info{version=\"0.1.0\"} 1".to_owned(),
            format!("backstay_last_success_timestamp_seconds{labels}}} 1764000000"),
            format!("backstay_backup_bytes{labels}}} {}", i64::MAX),
            format!("backstay_phone_present{labels}}} 0"),
            format!("backstay_problems{labels},id=\"backup-overdue\",severity=\"warning\"}} 1"),
            "backstay_problems{udid=\"\",name=\"\",id=\"usbmuxd-not-running\",severity=\"error\"} 1".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.lines().all(|line| line.starts_with("# ") || line.starts_with("backstay_")));
        assert!(!text.contains("\nbackstay_last_run_success{"), "a run that never was");
    }
}
