use std::path::Path;

use backstay_shared::health::FailureId;

use super::{crowd::SERVICES_MAX, *};
use crate::phone::{
    link::{Attached, Way},
    pair_records::tests::record,
};

const FIRST: &str = "a0:b1:c2:00:e4:01";
const SECOND: &str = "a0:b1:c2:00:e4:02";

/// Two phones that may be on the network, and who watches for them.
struct Scene {
    watcher: Watcher,
    sightings: mpsc::Receiver<Sighting>,
    _folder: tempfile::TempDir,
}

fn udid(mac: &str) -> Udid {
    format!("00008120-00000000000000{}", &mac[15..]).parse().unwrap()
}

fn muxer(folder: &Path) -> Muxer {
    let muxer = Muxer::from_environment(folder).unwrap();
    muxer.records().set_wanted(true);
    for mac in [FIRST, SECOND] {
        muxer.records().allow(&udid(mac), true, &record(mac));
    }
    muxer
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sender, sightings) = mpsc::channel(64);
        let mut watcher = Watcher::new(muxer(folder.path()), sender);
        watcher.begin();
        assert_eq!(watcher.known.len(), 2);
        Self { watcher, sightings, _folder: folder }
    }

    /// This phone has proved itself under this name.
    async fn found(&mut self, mac: &str, name: &str, address: &str) {
        let announcement = Announcement::called(name);
        self.watcher.take(announcement.clone()).await;
        let attached = Attached::on_the_network(udid(mac), address.parse().unwrap());
        let asked = Asked::Here { attached, tagged: false };
        self.watcher.learn(announcement.name.clone(), &announcement, asked).await;
    }

    async fn gone(&mut self, name: &str) {
        self.watcher.gone(&Announcement::called(name).name).await;
    }

    async fn proved(&mut self, mac: &str, address: &str, is_there: bool) {
        let proved = if is_there { Ok(()) } else { Err(FailureId::WifiLost.into()) };
        self.watcher.proved(&udid(mac), address.parse().unwrap(), proved).await;
    }

    /// What was told since.
    fn told(&mut self) -> Vec<String> {
        let told = std::iter::from_fn(|| self.sightings.try_recv().ok());
        let words = told.map(|sighting| match sighting {
            Sighting::Attached(Attached { way: Way::Direct(address), udid, .. }) => {
                format!("{} at {}", &udid.as_str()[24..], address.ip())
            }
            Sighting::Detached(Way::Direct(address)) => format!("none at {}", address.ip()),
            other => format!("{other:?}"),
        });
        words.collect()
    }

    fn silent(&self) -> Vec<&str> {
        let silent = self.watcher.here.iter().filter(|(_, here)| matches!(here.sign, Sign::Silent { .. }));
        silent.map(|(udid, _)| &udid.as_str()[24..]).collect()
    }
}

const HERE: &str = "192.168.1.7:62078";
const THERE: &str = "192.168.1.8:62078";

/// Silence is no absence: who still proves himself stays, and a new ear is opened for him.
#[tokio::test]
async fn a_phone_that_is_not_heard_has_to_prove_itself() {
    let mut scene = Scene::new();
    scene.found(FIRST, FIRST, HERE).await;
    assert_eq!(scene.told(), ["1 at 192.168.1.7"]);
    scene.gone(FIRST).await;
    assert_eq!((scene.told().len(), scene.silent()), (0, vec!["1"]));
    scene.proved(FIRST, HERE, true).await;
    assert_eq!((scene.told().len(), scene.silent()), (0, vec!["1"]));
    assert!(scene.watcher.forgetful, "it is asked for anew");

    scene.watcher.begin();
    scene.found(FIRST, FIRST, HERE).await;
    assert_eq!((scene.told().len(), scene.silent()), (0, vec![]), "heard by the new ear");
    scene.gone(FIRST).await;
    scene.proved(FIRST, THERE, false).await;
    assert_eq!(scene.told().len(), 0, "an earlier question");
    scene.proved(FIRST, HERE, false).await;
    assert_eq!(scene.told(), ["none at 192.168.1.7"]);
}

/// In another network, after a sleep, or beside a new bridge: whoever is heard again was never away.
#[tokio::test]
async fn a_new_ear_costs_nobody_his_link() {
    let mut scene = Scene::new();
    scene.found(FIRST, FIRST, HERE).await;
    scene.found(SECOND, SECOND, THERE).await;
    assert_eq!(scene.told().len(), 2);
    scene.watcher.begin();
    scene.watcher.take(Announcement::called(FIRST)).await;
    scene.watcher.lose_the_unheard().await;
    assert_eq!((scene.told().len(), scene.silent()), (0, vec!["2"]));
}

/// One left without a word, and another has its address or its name now.
#[tokio::test]
async fn names_and_addresses_change_hands() {
    let mut scene = Scene::new();
    scene.found(FIRST, "7a:00:00:00:00:01", HERE).await;
    scene.found(SECOND, "7a:00:00:00:00:02", HERE).await;
    assert_eq!(scene.told(), ["1 at 192.168.1.7", "2 at 192.168.1.7"], "the roster knows what that means");
    assert_eq!(scene.watcher.here.keys().collect::<Vec<_>>(), [&udid(SECOND)]);
    scene.gone("7a:00:00:00:00:01").await;
    assert_eq!((scene.told().len(), scene.silent()), (0, vec![]), "that name was the other's");

    scene.found(FIRST, "7a:00:00:00:00:02", THERE).await;
    assert_eq!((scene.told(), scene.silent()), (vec!["1 at 192.168.1.8".to_owned()], vec!["2"]));

    // With another address, and never away.
    scene.watcher.services.clear();
    scene.found(FIRST, "7a:00:00:00:00:02", "192.168.1.9:62078").await;
    assert_eq!(scene.told(), ["1 at 192.168.1.9", "none at 192.168.1.8"]);
}

/// It came under a new name while the old one was still believed.
#[tokio::test]
async fn who_was_nobody_is_asked_again_when_a_phone_falls_silent() {
    let mut scene = Scene::new();
    scene.found(FIRST, "7a:00:00:00:00:01", HERE).await;
    let again = Announcement::called("7a:00:00:00:00:02");
    scene.watcher.take(again.clone()).await;
    scene.watcher.ask_who_is_due();
    scene.watcher.learn(again.name.clone(), &again, Asked::Stranger).await;
    assert_eq!(scene.watcher.services[&again.name].next_try, None);
    scene.gone("7a:00:00:00:00:01").await;
    assert!(scene.watcher.services[&again.name].next_try.is_some());
}

/// The command is the consent, and taking it back ends it.
#[tokio::test]
async fn who_is_not_allowed_any_more_goes() {
    let mut scene = Scene::new();
    scene.found(FIRST, FIRST, HERE).await;
    scene.found(SECOND, SECOND, THERE).await;
    scene.told();
    let records = scene.watcher.muxer.records().clone();
    records.allow(&udid(FIRST), false, &record(FIRST));
    assert_eq!(scene.watcher.wanted_now().await, Some(Deaf::Anew), "nobody else is a stranger now");
    assert_eq!(scene.told(), ["none at 192.168.1.7"]);
    scene.found(FIRST, FIRST, HERE).await;
    assert_eq!(scene.told().len(), 0, "it was being asked when it was forbidden");
    records.allow(&udid(SECOND), false, &record(SECOND));
    assert_eq!(scene.watcher.wanted_now().await, Some(Deaf::Unwanted));
    scene.watcher.forget_all().await;
    assert_eq!(scene.told(), ["none at 192.168.1.8"]);
}

/// Whoever and however many they are, the own phone gets its turn, and is asked first.
#[tokio::test]
async fn a_crowd_keeps_nobody_out() {
    let mut scene = Scene::new();
    for number in 0..1000 {
        let (high, low) = (number / 256, number % 256);
        scene.watcher.take(Announcement::called(&format!("78:00:00:00:{high:02x}:{low:02x}"))).await;
        assert_eq!(scene.watcher.services.len(), 0, "strangers cost nothing");
    }
    for number in 0..1000 {
        let (high, low) = (number / 256, number % 256);
        scene.watcher.take(Announcement::called(&format!("7a:00:00:00:{high:02x}:{low:02x}"))).await;
        assert!(scene.watcher.services.len() <= SERVICES_MAX);
    }
    assert!(scene.watcher.crowded);
    scene.watcher.take(Announcement::called(FIRST)).await;
    assert!(scene.watcher.services.len() <= SERVICES_MAX);
    scene.watcher.ask_who_is_due();
    assert_eq!(scene.watcher.asking.len(), ASKED_AT_A_TIME);
    assert!(scene.watcher.services[&Announcement::called(FIRST).name].asking);
    // Who has failed makes room for who says nothing, too.
    let failed = scene.watcher.services.values_mut().find(|service| !service.asking).unwrap();
    failed.failed = 1;
    let last = Announcement::called("7a:ff:ff:ff:ff:ff");
    scene.watcher.take(last.clone()).await;
    assert!(scene.watcher.services.contains_key(&last.name));
}
