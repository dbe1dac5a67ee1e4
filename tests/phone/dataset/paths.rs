//! A data set from the names of a real phone.

use std::sync::Arc;

use super::DataSetSpec;

/// Containers of apps in `/private/var/mobile/Containers`, and what the domain of one is called.
const CONTAINERS: [(&str, &str); 3] = [
    ("Data/Application/", "AppDomain-"),
    ("Data/PluginKitPlugin/", "AppDomainPlugin-"),
    ("Shared/AppGroup/", "AppDomainGroup-"),
];

impl DataSetSpec {
    /// A phone that has these files, by domain and path, each a small one. A name that others lie below is a directory,
    /// a name that comes twice counts once.
    pub fn from_paths<D: Into<Arc<str>>, P: Into<Arc<str>>>(
        seed: u64,
        paths: impl IntoIterator<Item = (D, P)>,
    ) -> Self {
        let paths = paths.into_iter().map(|(domain, path)| (domain.into(), path.into())).collect();
        Self { paths, ..Self::empty(seed) }
    }
}

/// Domains and paths from a listing of a phone's two file systems: CSV whose first column is the path, below
/// `filesystem1` for `/` and `filesystem2` for `/private/var`, under one line of headings.
pub fn paths_of_listing(csv: &str) -> impl Iterator<Item = (String, String)> + '_ {
    csv.lines().skip(1).filter_map(|line| {
        let path = first_column(line);
        let (volume, path) = path.split_once('/')?;
        let path = if volume == "filesystem2" { format!("private/var/{path}") } else { path.to_owned() };
        Some(domain_of(&path))
    })
}

/// Which domain a path belongs to, and where in it; the path is below `/`.
fn domain_of(path: &str) -> (String, String) {
    let Some(mobile) = path.strip_prefix("private/var/mobile/") else {
        return ("RootDomain".into(), path.to_owned());
    };
    if mobile.starts_with("Media/") {
        return ("CameraRollDomain".into(), mobile.to_owned());
    }
    if let Some(containers) = mobile.strip_prefix("Containers/") {
        for (folder, domain) in CONTAINERS {
            if let Some((id, rest)) = containers.strip_prefix(folder).and_then(|rest| rest.split_once('/')) {
                return (format!("{domain}{id}"), rest.to_owned());
            }
        }
    }
    ("HomeDomain".into(), mobile.to_owned())
}

/// The first column of a line, which is in quotes when it has commas or quotes in it.
fn first_column(line: &str) -> String {
    let Some(quoted) = line.strip_prefix('"') else {
        return line.split(',').next().unwrap_or_default().to_owned();
    };
    let mut column = String::new();
    let mut letters = quoted.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '"' && letters.next_if_eq(&'"').is_none() {
            break;
        }
        column.push(letter);
    }
    column
}
