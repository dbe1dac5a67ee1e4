//! `Info` and `List`: what the phone tells about a backup that the host holds.

use plist::Value;

use super::{
    devicelink::Link,
    manifest::{self, Kind},
    plists,
    stop::Stop,
    stored::{self, missing},
};
use crate::phone::Stream;

/// A few lines about the backup in `source`.
pub(super) async fn info<S: Stream>(
    link: &mut Link<'_, S>,
    source: &str,
    password: Option<&str>,
) -> Result<String, Stop> {
    stored::keys(link, source, password).await?;
    let status =
        link.download_bytes(&format!("{source}/Status.plist"), 0.0).await?.ok_or_else(|| missing("Status.plist"))?;
    let status = plists::dictionary(&status).ok_or_else(|| missing("Status.plist"))?;
    let text = |key: &str| match status.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Boolean(value)) => value.to_string(),
        Some(Value::Date(date)) => date.to_xml_format(),
        _ => "unknown".into(),
    };
    Ok(format!("Status: {}\nDate: {}\nIs Full Backup: {}\n", text("SnapshotState"), text("Date"), text("IsFullBackup")))
}

/// One line a file, with commas.
pub(super) async fn list<S: Stream>(
    link: &mut Link<'_, S>,
    source: &str,
    password: Option<&str>,
) -> Result<String, Stop> {
    let keys = stored::keys(link, source, password).await?;
    let database = stored::database(link, source, keys.as_ref()).await?;
    let mut rows = manifest::rows(database.path())?;
    rows.sort_by(|a, b| (&a.domain, &a.relative_path).cmp(&(&b.domain, &b.relative_path)));
    let mut text = String::from("Domain,Path,File,Size\n");
    for row in rows {
        let size = row.size.filter(|_| row.kind == Kind::File).map(|size| size.to_string()).unwrap_or_default();
        let line = format!("{},\"{}\",{},{size}\n", row.domain, row.relative_path, row.id.hex());
        text.push_str(&line);
    }
    Ok(text)
}
