//! com.apple.springboardservices: icons and their places on the home screen.

use std::io;

use plist::{Dictionary, Value};

use super::plist_stream;
use crate::phone::Stream;

/// A PNG of one grey pixel.
const ICON: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1, 8,
    0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 0x0a, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0x68, 0, 0, 0, 0x82,
    0, 0x81, 0x77, 0xcd, 0x72, 0xb6, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];
const DOCK: &[&str] = &["com.apple.mobilesafari"];
const FIRST_PAGE: &[&str] =
    &["com.apple.mobileslideshow", "com.example.diary", "com.example.recipes", "org.example.chess"];

/// Answers what a backup puts into its Info.plist, and a few questions beside.
pub(super) async fn serve<S: Stream>(mut stream: S) -> io::Result<()> {
    while let Some(request) = plist_stream::read_dictionary(&mut stream).await? {
        let dictionary = |key: &str, value| Value::Dictionary(Dictionary::from_iter([(key, value)]));
        let reply = match request.get("command").and_then(Value::as_string) {
            Some("getIconPNGData" | "getHomeScreenWallpaperPNGData" | "getWallpaperPreviewImage") => {
                dictionary("pngData", Value::Data(ICON.to_vec()))
            }
            Some("getIconState") => Value::Array(vec![page(DOCK), page(FIRST_PAGE)]),
            Some("setIconState") => continue,
            Some("getInterfaceOrientation") => dictionary("interfaceOrientation", Value::from(1_u64)),
            Some("getHomeScreenIconMetrics") => Value::Dictionary(Dictionary::from_iter([
                ("homeScreenIconColumns", Value::from(4_u64)),
                ("homeScreenIconRows", Value::from(6_u64)),
                ("homeScreenIconDockMaxCount", Value::from(4_u64)),
                ("homeScreenIconHeight", Value::from(60_u64)),
                ("homeScreenIconWidth", Value::from(60_u64)),
            ])),
            _ => dictionary("error", Value::from("unknown command")),
        };
        plist_stream::write(&mut stream, &reply).await?;
    }
    Ok(())
}

fn page(apps: &[&str]) -> Value {
    let icon = |id: &&str| {
        Value::Dictionary(Dictionary::from_iter([
            ("bundleIdentifier", *id),
            ("displayIdentifier", *id),
            ("displayName", id.rsplit('.').next().unwrap_or(id)),
        ]))
    };
    Value::Array(apps.iter().map(icon).collect())
}
