//! com.apple.mobile.installation_proxy: which apps are installed.

use std::io;

use plist::{Dictionary, Value};

use super::plist_stream;
use crate::phone::Stream;

/// Bundle identifier, name and whether the App Store delivered it.
const APPS: &[(&str, &str, bool)] = &[
    ("com.apple.mobilesafari", "Safari", false),
    ("com.apple.mobileslideshow", "Photos", false),
    ("com.example.diary", "Diary", true),
    ("com.example.recipes", "Recipes", true),
    ("org.example.chess", "Chess", true),
];
/// Apps in one Browse message, so that clients see more than one.
const CHUNK: usize = 2;

/// Answers Browse and Lookup.
pub(super) async fn serve<S: Stream>(mut stream: S) -> io::Result<()> {
    while let Some(request) = plist_stream::read_dictionary(&mut stream).await? {
        let empty = Dictionary::new();
        let options = request.get("ClientOptions").and_then(Value::as_dictionary).unwrap_or(&empty);
        match request.get("Command").and_then(Value::as_string) {
            Some("Browse") => browse(&mut stream, options).await?,
            Some("Lookup") => {
                let apps = chosen(options).into_iter().map(|(id, app)| (id, Value::from(app)));
                let result = Value::Dictionary(Dictionary::from_iter(apps));
                let reply = [("Status", Value::from("Complete")), ("LookupResult", result)];
                plist_stream::write(&mut stream, &Value::Dictionary(Dictionary::from_iter(reply))).await?;
            }
            _ => {
                let reply = [("Error", "UnknownCommand"), ("ErrorDescription", "this phone only lists its apps")];
                plist_stream::write(&mut stream, &Value::Dictionary(Dictionary::from_iter(reply))).await?;
            }
        }
    }
    Ok(())
}

async fn browse<S: Stream>(stream: &mut S, options: &Dictionary) -> io::Result<()> {
    let apps = chosen(options);
    for (number, chunk) in apps.chunks(CHUNK).enumerate() {
        let list = chunk.iter().map(|(_, app)| Value::from(app.clone())).collect();
        let message = Dictionary::from_iter([
            ("Status", Value::from("BrowsingApplications")),
            ("Total", Value::from(apps.len() as u64)),
            ("CurrentIndex", Value::from((number * CHUNK) as u64)),
            ("CurrentAmount", Value::from(chunk.len() as u64)),
            ("CurrentList", Value::Array(list)),
        ]);
        plist_stream::write(stream, &Value::Dictionary(message)).await?;
    }
    let complete = Dictionary::from_iter([("Status", "Complete")]);
    plist_stream::write(stream, &Value::Dictionary(complete)).await
}

/// The apps that the options ask for, with the attributes that they ask for.
fn chosen(options: &Dictionary) -> Vec<(String, Dictionary)> {
    let list = |key: &str| options.get(key).and_then(Value::as_array);
    let named = |list: &Vec<Value>, text: &str| list.iter().any(|value| value.as_string() == Some(text));
    let application_type = options.get("ApplicationType").and_then(Value::as_string);
    APPS.iter()
        .map(|(id, name, from_store)| ((*id).to_owned(), app(id, name, *from_store)))
        .filter(|(id, _)| list("BundleIDs").is_none_or(|ids| named(ids, id)))
        .filter(|(_, app)| {
            let kind = app.get("ApplicationType").and_then(Value::as_string);
            application_type.is_none_or(|wanted| wanted == "Any" || kind == Some(wanted))
        })
        .map(|(id, mut app)| {
            if let Some(attributes) = list("ReturnAttributes") {
                app.retain(|key, _| named(attributes, key));
            }
            (id, app)
        })
        .collect()
}

fn app(id: &str, name: &str, from_store: bool) -> Dictionary {
    let mut app = Dictionary::from_iter([
        ("ApplicationType", Value::from(if from_store { "User" } else { "System" })),
        ("CFBundleDisplayName", Value::from(name)),
        ("CFBundleExecutable", Value::from(name)),
        ("CFBundleIdentifier", Value::from(id)),
        ("CFBundleName", Value::from(name)),
        ("CFBundleShortVersionString", Value::from("1.2")),
        ("CFBundleVersion", Value::from("120")),
        ("Container", Value::from(format!("/private/var/mobile/Containers/Data/Application/{id}"))),
        ("Path", Value::from(format!("/private/var/containers/Bundle/Application/{id}/{name}.app"))),
    ]);
    if from_store {
        let metadata = Dictionary::from_iter([("softwareVersionBundleId", id), ("itemName", name)]);
        let mut bytes = Vec::new();
        if plist::to_writer_binary(&mut bytes, &metadata).is_ok() {
            app.insert("iTunesMetadata".into(), Value::Data(bytes));
        }
        app.insert("ApplicationSINF".into(), Value::Data(id.as_bytes().repeat(8)));
    }
    app
}
