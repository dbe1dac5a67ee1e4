//! The menu that a real panel shows: what is in it, and the keys that lead to an entry.

use std::collections::HashMap;

use zbus::{
    Connection, Proxy,
    zvariant::{OwnedValue, Structure, Value},
};

use super::PrivateBus;

/// The menu of the only icon in the panel's status bar.
pub struct PanelMenu {
    lines: Vec<Line>,
}

struct Line {
    label: String,
    /// The keyboard stops here.
    selectable: bool,
    below: Vec<Line>,
}

impl PanelMenu {
    /// As the companion tells it to the panel now.
    pub async fn read(bus: &PrivateBus) -> Self {
        type Node = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);
        let connection = bus.builder().build().await.unwrap();
        let watcher = proxy(&connection, "org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher", WATCHER).await;
        let items: Vec<String> = watcher.get_property("RegisteredStatusNotifierItems").await.unwrap();
        let [item] = &items[..] else { panic!("one icon, not {items:?}") };
        let name = item.split('/').next().unwrap();
        let menu = proxy(&connection, name, "/MenuBar", "com.canonical.dbusmenu").await;
        let layout: (u32, Node) = menu.call("GetLayout", &(0, -1, Vec::<&str>::new())).await.unwrap();
        Self { lines: layout.1.2.into_iter().map(line).collect() }
    }

    /// The keys that select the first entry with this label, in a menu just opened by the mouse. Opens the
    /// submenus on the way, and the entry's own if it has one.
    ///
    /// # Panics
    /// When there is none.
    pub fn keys_to(&self, label: &str) -> Vec<&'static str> {
        keys(&self.lines, label).unwrap_or_else(|| panic!("no entry {label:?}"))
    }
}

const WATCHER: &str = "org.kde.StatusNotifierWatcher";

fn keys(lines: &[Line], label: &str) -> Option<Vec<&'static str>> {
    let selectable = lines.iter().filter(|line| line.selectable);
    selectable.enumerate().find_map(|(index, line)| {
        let here = vec!["Down"; index + 1];
        let into = if line.below.is_empty() { here.clone() } else { [here, vec!["Right"]].concat() };
        if line.label == label {
            return Some(into);
        }
        // The first entry of a submenu is selected as it opens.
        keys(&line.below, label).map(|below| [into, below[1..].to_vec()].concat())
    })
}

fn line(node: OwnedValue) -> Line {
    let mut fields = Structure::try_from(node).unwrap().into_fields();
    let below: Vec<OwnedValue> = fields.pop().unwrap().try_into().unwrap();
    let properties: HashMap<String, Value<'_>> = fields.pop().unwrap().try_into().unwrap();
    let is = |name: &str, value: Value<'_>| properties.get(name) == Some(&value);
    Line {
        label: properties.get("label").and_then(|value| <&str>::try_from(value).ok()).unwrap_or_default().to_owned(),
        selectable: !is("enabled", Value::Bool(false)) && !is("type", Value::from("separator")),
        below: below.into_iter().map(line).collect(),
    }
}

async fn proxy<'a>(connection: &Connection, name: &'a str, path: &'static str, interface: &'static str) -> Proxy<'a> {
    Proxy::new(connection, name, path, interface).await.unwrap()
}
