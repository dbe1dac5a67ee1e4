//! The figures for Prometheus, read by Prometheus' own parser.

use std::{collections::BTreeMap, path::Path, process::Command};

use backstay_shared::overview::{Activity, PhoneOverview};
use backstay_tests::{
    phone::{Fault, dataset::DataSetSpec},
    world::{World, eventually},
};

use crate::judged::pymobiledevice3;

const PARSER: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families
families = text_string_to_metric_families(open(sys.argv[1]).read())
print(json.dumps([[s.name, s.labels, s.value] for family in families for s in family.samples]))
";

type Sample = (String, BTreeMap<String, String>, f64);

fn parsed(file: &Path) -> Vec<Sample> {
    let python = Path::new(&pymobiledevice3()).with_file_name("python3");
    let output = Command::new(python).arg("-c").arg(PARSER).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_say_what_the_overview_says() {
    let world = World::new(DataSetSpec::mixed(311, 100, 1_000_000)).await;
    let file = world.folder.path().join("backstay.prom");
    world.configure(&format!("[metrics]\nfile = {file:?}\n"));
    let daemon = world.daemon().await;
    let good = daemon
        .phone_shows("the backup is done", |phone| phone.last_good.clone().filter(|_| phone.activity == Activity::Idle))
        .await;
    let has = async |line: &str| {
        let text = || std::fs::read_to_string(&file).unwrap_or_default();
        eventually(line, async || text().contains(line).then_some(())).await;
    };
    let labels = format!("{{udid=\"{}\",name=\"{}\"}}", world.phone.udid(), world.phone.name());
    has(&format!("backstay_last_run_success{labels} 1")).await;
    let samples = parsed(&file);
    let value = |name: &str| {
        let of_phone =
            |sample: &&Sample| sample.0 == name && sample.1.get("udid").is_some_and(|udid| udid == world.phone.udid());
        samples.iter().find(of_phone).unwrap_or_else(|| panic!("no {name} in {samples:?}")).2
    };
    assert_eq!(value("backstay_last_success_timestamp_seconds"), good.at.timestamp() as f64);
    assert_eq!(value("backstay_backup_files"), good.files as f64);
    assert_eq!(value("backstay_backup_bytes"), good.bytes as f64);
    assert_eq!(value("backstay_phone_present"), 1.0);
    assert!(value("backstay_next_due_timestamp_seconds") > good.at.timestamp() as f64);
    let info = samples.iter().find(|sample| sample.0 == "backstay_build_info").unwrap();
    assert_eq!(info.1["version"], daemon.overview().await.unwrap().version);

    // A failure, and the phone's absence.
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 1000 }));
    world.change();
    world.backstay(&["backup", "--full"]).await;
    let gone = |phone: &PhoneOverview| (phone.activity == Activity::Away).then_some(());
    daemon.phone_shows("it is away", gone).await;
    has(&format!("backstay_last_run_success{labels} 0")).await;
    has(&format!("backstay_phone_present{labels} 0")).await;
    let problem = parsed(&file).into_iter().find(|sample| sample.0 == "backstay_problems").unwrap();
    assert_eq!(
        (problem.1["id"].as_str(), problem.1["severity"].as_str(), problem.2),
        ("usb-disconnected", "warning", 1.0)
    );
    // A new file takes the old one's place; nothing half-written is left.
    assert!(!world.folder.path().join("backstay.prom.new").exists());
}
