//! The double of a status bar.

use std::{collections::HashMap, time::Duration};

use futures_util::StreamExt;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use zbus::{
    Connection, MatchRule, MessageStream, Proxy, interface,
    message::Type,
    zvariant::{OwnedValue, Structure, Value},
};

use super::{PrivateBus, WAIT};

/// How often a condition is looked at again although no signal came.
const LOOK: Duration = Duration::from_millis(100);

/// The status bar: a watcher of tray icons that looks at the one that registers.
pub struct TrayHost {
    connection: Connection,
    items: watch::Receiver<Vec<String>>,
}

struct Watcher {
    items: watch::Sender<Vec<String>>,
    misses: usize,
}

#[interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(&mut self, service: String) {
        match self.misses.checked_sub(1) {
            Some(fewer) => self.misses = fewer,
            None => self.items.send_modify(|items| items.push(service)),
        }
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn registered_status_notifier_items(&self) -> Vec<String> {
        self.items.borrow().clone()
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        0
    }
}

/// A line of the menu that the status bar sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuLine {
    /// By which the status bar knows it.
    pub id: i32,
    /// As a person reads it; empty for a separator.
    pub label: String,
    /// Whether it can be clicked.
    pub enabled: bool,
    /// The lines of the menu that it opens, and of those below.
    pub below: Vec<MenuLine>,
}

impl MenuLine {
    /// This line and all below it, from top to bottom.
    fn all(&self) -> Vec<&MenuLine> {
        std::iter::once(self).chain(self.below.iter().flat_map(MenuLine::all)).collect()
    }

    /// The labels of this line and, moved to the right, of all below it.
    fn labels(&self) -> Vec<String> {
        let below = self.below.iter().flat_map(MenuLine::labels).map(|label| format!("> {label}"));
        std::iter::once(self.label.clone()).chain(below).collect()
    }
}

/// Width, height and pixels (alpha, red, green, blue) of an icon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixmap {
    /// Pixels in a row.
    pub width: i32,
    /// Rows.
    pub height: i32,
    /// Four bytes a pixel.
    pub argb: Vec<u8>,
}

const ITEM: &str = "org.kde.StatusNotifierItem";
const MENU: &str = "com.canonical.dbusmenu";

impl TrayHost {
    /// Takes its place on the bus.
    pub async fn start(bus: &PrivateBus) -> Self {
        Self::that_misses(bus, 0).await
    }

    /// Takes its place on the bus, and overlooks the first icons to register.
    pub async fn that_misses(bus: &PrivateBus, misses: usize) -> Self {
        let (sender, items) = watch::channel(Vec::new());
        let watcher = Watcher { items: sender, misses };
        let builder = bus.builder().serve_at("/StatusNotifierWatcher", watcher).unwrap();
        let connection = builder.name("org.kde.StatusNotifierWatcher").unwrap().build().await.unwrap();
        Self { connection, items }
    }

    /// Leaves the bus, as a status bar that crashed.
    pub async fn stop(self) {
        self.connection.close().await.unwrap();
    }

    /// The bus name of the icon, as soon as one has registered.
    ///
    /// # Panics
    /// When none registers within ten seconds.
    pub async fn item(&self) -> String {
        let mut items = self.items.clone();
        let registered = timeout(WAIT, items.wait_for(|items| !items.is_empty())).await;
        let items = registered.expect("an icon registers within ten seconds").unwrap();
        items.last().unwrap().clone()
    }

    /// How many icons have registered, one that did so twice counted twice.
    pub fn registrations(&self) -> usize {
        self.items.borrow().len()
    }

    /// The menu now.
    pub async fn menu(&self) -> Vec<MenuLine> {
        type Node = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);
        let proxy = self.proxy("/MenuBar", MENU).await;
        let layout: (u32, Node) = proxy.call("GetLayout", &(0, -1, Vec::<&str>::new())).await.unwrap();
        layout.1.2.into_iter().map(menu_line).collect()
    }

    /// The labels of the menu now, separators as empty ones; those of a submenu follow its own, with `> ` before them.
    pub async fn labels(&self) -> Vec<String> {
        self.menu().await.iter().flat_map(MenuLine::labels).collect()
    }

    /// Waits until the labels are as wanted, and returns them.
    ///
    /// # Panics
    /// When they are not within ten seconds.
    pub async fn wait_for(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut signals = self.signals().await;
        let end = Instant::now() + WAIT;
        loop {
            let labels = self.labels().await;
            if wanted(&labels) {
                return labels;
            }
            assert!(Instant::now() < end, "the menu stays {labels:#?}");
            tokio::select! {
                _ = signals.next() => {}
                () = sleep_until(Instant::now() + LOOK) => {}
            }
        }
    }

    /// Waits until a label contains this text, and returns all of them.
    ///
    /// # Panics
    /// When none does within ten seconds.
    pub async fn wait_for_text(&self, text: &str) -> Vec<String> {
        self.wait_for(|labels| labels.iter().any(|label| label.contains(text))).await
    }

    /// Clicks on the entry with this label.
    ///
    /// # Panics
    /// When there is no such entry or it cannot be clicked.
    pub async fn click(&self, label: &str) {
        let menu = self.menu().await;
        // The ids change with the layout, so they are looked up each time.
        let line = menu.iter().flat_map(MenuLine::all).find(|line| line.label == label && line.enabled);
        let id = line.unwrap_or_else(|| panic!("no {label:?} to click in {menu:#?}")).id;
        let proxy = self.proxy("/MenuBar", MENU).await;
        // Without waiting for an answer: after `Quit` there may be none.
        proxy.call_noreply("Event", &(id, "clicked", Value::from(0_i32), 0_u32)).await.unwrap();
    }

    /// The text beside the icon, as a person reads it.
    pub async fn tooltip(&self) -> String {
        type ToolTip = (String, Vec<(i32, i32, Vec<u8>)>, String, String);
        let proxy = self.proxy("/StatusNotifierItem", ITEM).await;
        let markup = proxy.get_property::<ToolTip>("ToolTip").await.unwrap().3;
        markup.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    }

    /// The icon.
    pub async fn icon(&self) -> Pixmap {
        let proxy = self.proxy("/StatusNotifierItem", ITEM).await;
        let pixmaps: Vec<(i32, i32, Vec<u8>)> = proxy.get_property("IconPixmap").await.unwrap();
        let (width, height, argb) = pixmaps.into_iter().next().unwrap();
        Pixmap { width, height, argb }
    }

    /// What the icon announces from now on.
    pub async fn changes(&self) -> Changes {
        Changes { signals: self.signals().await }
    }

    async fn proxy(&self, path: &'static str, interface: &'static str) -> Proxy<'static> {
        // Tray icons announce changes by signals of their own, so a cache would go stale.
        let builder = zbus::proxy::Builder::new(&self.connection).cache_properties(zbus::proxy::CacheProperties::No);
        let builder = builder.destination(self.item().await).unwrap().path(path).unwrap();
        builder.interface(interface).unwrap().build().await.unwrap()
    }

    /// `LayoutUpdated`, `NewIcon` and whatever else the icon announces.
    async fn signals(&self) -> MessageStream {
        let rule = MatchRule::builder().msg_type(Type::Signal).sender(self.item().await).unwrap().build();
        MessageStream::for_match_rule(rule, &self.connection, None).await.unwrap()
    }
}

/// What the icon announces.
pub struct Changes {
    signals: MessageStream,
}

impl Changes {
    /// How long after this moment icon, tooltip and menu have all been announced anew.
    ///
    /// # Panics
    /// When they have not within ten seconds.
    pub async fn until_all(mut self, since: std::time::Instant) -> Duration {
        // A menu of the same shape is announced by its lines alone.
        let mut missing = vec![&["NewIcon"][..], &["NewToolTip"], &["LayoutUpdated", "ItemsPropertiesUpdated"]];
        while !missing.is_empty() {
            let signal = timeout(WAIT, self.signals.next()).await;
            let signal = signal.unwrap_or_else(|_| panic!("no {missing:?} within ten seconds")).unwrap().unwrap();
            let header = signal.header();
            let name = header.member().map_or("", |member| member.as_str());
            missing.retain(|names| !names.contains(&name));
        }
        since.elapsed()
    }
}

fn menu_line(node: OwnedValue) -> MenuLine {
    let fields = Structure::try_from(node).unwrap().into_fields();
    let properties: HashMap<String, Value<'_>> = fields[1].try_clone().unwrap().try_into().unwrap();
    let label = properties.get("label").and_then(|value| <&str>::try_from(value).ok()).unwrap_or_default();
    MenuLine {
        id: i32::try_from(&fields[0]).unwrap(),
        // Of two underscores one is shown, a lone one marks the key for the next letter.
        label: label.replace("__", "\0").replace('_', "").replace('\0', "_"),
        enabled: properties.get("enabled") != Some(&Value::Bool(false)),
        below: Vec::<OwnedValue>::try_from(fields[2].try_clone().unwrap())
            .unwrap()
            .into_iter()
            .map(menu_line)
            .collect(),
    }
}
