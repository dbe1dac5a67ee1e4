//! `backstay report --session`: what a record of a conversation tells, and what not.

use backstay_tests::{
    phone::{Fault, dataset::DataSetSpec},
    world::{World, text},
};

/// The last record, as a person gets it.
async fn record(world: &World) -> String {
    let root = world.root();
    let output = world.backstay(&["--root", root.to_str().unwrap(), "report", "--session", "-"]).await;
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_names_nobody() {
    let world = World::new(DataSetSpec::mixed(71, 300, 5_000_000)).await;
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "{object}");
    let record = record(&world).await;
    println!("{record}");
    world.phone.set_fault(Some(Fault::FileUnreadableListed { index: 5 }));
    world.change();
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "{object}");
    println!("{}", self::record(&world).await);
}
