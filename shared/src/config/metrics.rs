//! `[metrics]`: figures for a monitoring.

use std::path::PathBuf;

use serde::Deserialize;

/// Figures for Prometheus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// A text file in the folder that node_exporter's `--collector.textfile.directory` names; it takes only names that
    /// end with `.prom`.
    pub file: Option<MetricsFile>,
}

/// A whole path that ends with `.prom`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PathBuf")]
pub struct MetricsFile(PathBuf);

impl MetricsFile {
    /// The path.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl TryFrom<PathBuf> for MetricsFile {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<Self, Self::Error> {
        if path.is_absolute() && path.extension().is_some_and(|extension| extension == "prom") {
            Ok(Self(path))
        } else {
            Err(format!("{}: expected a whole path that ends with .prom", path.display()))
        }
    }
}
