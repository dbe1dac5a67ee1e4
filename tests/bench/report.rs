//! Tables for a terminal and for the README.

use std::{fs, path::Path, process::Command};

use chrono::{DateTime, Utc};

use super::{
    Result,
    client::{Client, Programs},
    machine,
    series::{Row, Sample, Table},
};

const COLUMNS: [&str; 8] = [
    "client",
    "wall (min - max)",
    "before + transfer + after",
    "CPU",
    "peak memory",
    "rate",
    "vs idevicebackup2",
    "vs plain copy",
];

const NOTES: [&str; 5] = [
    "Each client is measured as a whole process; the phone is another process. Transfer lasts from the request for a \
     backup to the phone's final status. Medians of times, largest peak of memory; the rate is of the whole. Ratios: of \
     the whole, then of the transfer alone; above 1 is faster.",
    "idevicebackup2 sleeps 0.1 s in most TLS handshakes, and ends only when a thread of its own that polls and sleeps in \
     turns of 1.5 s wakes up. This is a second or two of each run and no work: compare the transfer too.",
    "backstay checks its backup against the phone's manifest and syncs the file system (syncfs) before it says done; \
     idevicebackup2 and plain copy do neither.",
    "plain copy takes the same stream over the same link and writes it with plain blocking writes: no checks, no \
     Info.plist, none of the other services of a phone.",
    "Nothing changed: idevicebackup2 works in its only backup. backstay works in a clone and keeps older snapshots; \
     every counted run also removes the oldest one.",
];

/// What holds for all tables.
pub struct Header {
    machine: String,
    programs: String,
    folder: String,
}

impl Header {
    pub fn new(programs: &Programs, folder: &Path) -> Result<Self> {
        let built = DateTime::<Utc>::from(fs::metadata(&programs.backstay)?.modified()?);
        let profile = if cfg!(debug_assertions) { ", NOT OPTIMISED" } else { "" };
        Ok(Self {
            machine: machine::line()?,
            programs: format!(
                "{} (built {}{profile}), {}",
                version(&programs.backstay)?,
                built.format("%Y-%m-%d %H:%M"),
                version(&programs.idevicebackup2)?
            ),
            folder: if machine::is_memory(folder) {
                format!("backups go to memory ({})", folder.display())
            } else {
                format!("backups go to {}", folder.display())
            },
        })
    }

    fn lines(&self) -> [&str; 3] {
        [&self.machine, &self.programs, &self.folder]
    }
}

fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// For a terminal.
pub fn text(header: &Header, tables: &[Table]) -> String {
    let mut text = header.lines().join("\n") + "\n";
    for table in tables {
        let rows = cells(table);
        let widths: Vec<usize> = (0..COLUMNS.len())
            .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        text.push_str(&format!("\n{}\n", table.case.title()));
        for row in rows {
            let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            text.push_str(&format!("  {}\n", padded.join("  ").trim_end()));
        }
    }
    text.push('\n');
    for note in notes(tables) {
        text.push_str(&format!("- {note}\n"));
    }
    text
}

/// For the README.
pub fn markdown(header: &Header, tables: &[Table]) -> String {
    let mut text = header.lines().join("; ") + ".\n";
    for table in tables {
        text.push_str(&format!("\n**{}**\n\n", table.case.title()));
        for (index, row) in cells(table).into_iter().enumerate() {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
            if index == 0 {
                text.push_str(&format!("|---{}|\n", "|--:".repeat(COLUMNS.len() - 1)));
            }
        }
    }
    text.push('\n');
    for note in notes(tables) {
        text.push_str(&format!("- {note}\n"));
    }
    text
}

fn notes(tables: &[Table]) -> Vec<String> {
    let rows = || tables.iter().flat_map(|table| &table.rows);
    let disturbed = rows().flat_map(|row| &row.samples).filter(|sample| sample.disturbed).count();
    let runs = rows().map(|row| row.samples.len()).max().unwrap_or(0);
    let mut notes: Vec<String> = NOTES.iter().map(|note| (*note).to_owned()).collect();
    let runs = if runs == 1 { "1 counted run".to_owned() } else { format!("{runs} counted runs") };
    notes.push(format!("{runs} of each client, in turn, after warming up."));
    if disturbed > 0 {
        notes.push(format!("{disturbed} runs were disturbed by other programs; repeat on a quiet computer."));
    }
    notes
}

/// The heading and one line for each client.
fn cells(table: &Table) -> Vec<[String; 8]> {
    let mut cells = vec![COLUMNS.map(str::to_owned)];
    for row in &table.rows {
        let walls = sorted(row, wall);
        let own = median(&walls);
        let against = |client| {
            let other = table.rows.iter().find(|row| row.client == client);
            let ratio = |figure| other.map_or(f64::NAN, |other| middle(other, figure) / middle(row, figure));
            other.map_or("-".to_owned(), |_| format!("{:.2} / {:.2}", ratio(wall), ratio(transfer)))
        };
        let peak = row.samples.iter().map(|sample| sample.usage.peak_bytes).max().unwrap_or(0);
        let before = |sample: &Sample| wall(sample) - sample.transfer_seconds - sample.after_seconds;
        let parts = [middle(row, before), middle(row, transfer), middle(row, |sample| sample.after_seconds)];
        cells.push([
            row.client.name().to_owned(),
            format!("{own:.2} s ({:.2} - {:.2})", walls.first().unwrap_or(&0.0), walls.last().unwrap_or(&0.0)),
            format!("{} s", parts.map(|part| format!("{part:.2}")).join(" + ")),
            format!("{:.2} s", middle(row, |sample| sample.usage.cpu_seconds)),
            format!("{:.1} MiB", peak as f64 / 1_048_576.0),
            table.case.rate(own),
            against(Client::Idevicebackup2),
            against(Client::PlainCopy),
        ]);
    }
    cells
}

fn wall(sample: &Sample) -> f64 {
    sample.usage.wall_seconds
}

fn transfer(sample: &Sample) -> f64 {
    sample.transfer_seconds
}

fn middle(row: &Row, figure: fn(&Sample) -> f64) -> f64 {
    median(&sorted(row, figure))
}

fn sorted(row: &Row, figure: fn(&Sample) -> f64) -> Vec<f64> {
    let mut figures: Vec<f64> = row.samples.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// Of sorted figures.
fn median(figures: &[f64]) -> f64 {
    let middle = figures.len() / 2;
    match figures {
        [] => f64::NAN,
        figures if figures.len() % 2 == 1 => figures[middle],
        figures => f64::midpoint(figures[middle - 1], figures[middle]),
    }
}
