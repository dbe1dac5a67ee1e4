//! Pair records and Info.plist, held against those that other programs make with the same phone.

use std::{mem::discriminant, path::Path};

use backstay_tests::{
    phone::{afc::FileFault, dataset::DataSetSpec},
    real::real,
    world::{PATIENCE, World, text},
};
use plist::{Dictionary, Value};
use rsa::{
    RsaPrivateKey,
    pkcs1::EncodeRsaPrivateKey,
    pkcs8::{DecodePrivateKey, LineEnding},
};
use tokio::time::timeout;
use x509_cert::{
    Certificate, Version,
    der::{DecodePem, Encode, oid::db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION},
};

use crate::judged::pymobiledevice3;

const CERTIFICATES: [&str; 3] = ["RootCertificate", "HostCertificate", "DeviceCertificate"];

async fn runs(world: &World, program: &str, address: &str, arguments: &[&str]) {
    let mut command = world.command(program);
    command.args(arguments).env("USBMUXD_SOCKET_ADDRESS", address);
    let output = timeout(PATIENCE, command.output()).await.expect("it hangs").expect(program);
    assert!(output.status.success(), "{program}: {}", text(&output));
}

fn record(world: &World) -> Dictionary {
    plist::from_bytes(&world.usbmuxd.pair_records().read(world.phone.udid()).unwrap()).unwrap()
}

fn save(world: &World, record: &Dictionary) {
    let mut bytes = Vec::new();
    plist::to_writer_xml(&mut bytes, record).unwrap();
    world.usbmuxd.pair_records().save(world.phone.udid(), &bytes).unwrap();
}

fn data<'a>(record: &'a Dictionary, key: &str) -> &'a [u8] {
    record.get(key).and_then(Value::as_data).unwrap_or_else(|| panic!("{key}: {record:?}"))
}

fn certificate(record: &Dictionary, key: &str) -> Certificate {
    Certificate::from_pem(data(record, key)).unwrap()
}

/// The first line of PEM.
fn kind(pem: &[u8]) -> &str {
    std::str::from_utf8(pem).unwrap().lines().next().unwrap()
}

fn keys(list: &Dictionary) -> Vec<&str> {
    let mut keys: Vec<&str> = list.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Compares everything of two certificates but keys, signatures and when they were made.
fn same_shape(ours: &Certificate, theirs: &Certificate, what: &str) {
    let (ours, theirs) = (&ours.tbs_certificate, &theirs.tbs_certificate);
    assert_eq!((ours.version, theirs.version), (Version::V3, Version::V3), "{what}");
    assert_eq!((&ours.issuer, &ours.subject), (&theirs.issuer, &theirs.subject), "{what}");
    let lifetime = |of: &x509_cert::TbsCertificate| {
        of.validity.not_after.to_unix_duration().as_secs() - of.validity.not_before.to_unix_duration().as_secs()
    };
    assert!(lifetime(ours).abs_diff(lifetime(theirs)) <= 60, "{what}");
    let key = |of: &x509_cert::TbsCertificate| of.subject_public_key_info.algorithm.clone();
    assert_eq!(key(ours), key(theirs), "{what}");
    let length = |of: &x509_cert::TbsCertificate| of.subject_public_key_info.to_der().unwrap().len();
    assert_eq!(length(ours), length(theirs), "{what}");
    // Which ones, critical or not, and every byte of them: the phone's key is the same for all.
    let extensions = |of: &x509_cert::TbsCertificate| {
        let mut extensions = of.extensions.clone().unwrap();
        extensions.sort_by_key(|extension| extension.extn_id);
        extensions
    };
    assert_eq!(extensions(ours), extensions(theirs), "{what}");
}

/// The phone is strict with the shape of certificates, and both programs get their session.
#[tokio::test(flavor = "multi_thread")]
async fn a_pair_record_has_the_shape_that_other_programs_give_it() {
    let world = World::unpaired(DataSetSpec::uniform(601, 10, 100)).await;
    world.phone.plug_in();
    assert!(world.backstay(&["pair"]).await.status.success());
    let ours = record(&world);
    assert_eq!(world.back_up_once().await.0, 0);
    let again = || {
        world.phone.trust().forget_all();
        world.usbmuxd.pair_records().delete(world.phone.udid()).unwrap();
    };

    again();
    let address = world.usbmuxd.address();
    for command in ["pair", "validate"] {
        runs(&world, "idevicepair", &address, &["-u", world.phone.udid(), command]).await;
    }
    let theirs = record(&world);
    assert_eq!(keys(&ours), keys(&theirs));
    for (key, their) in &theirs {
        let our = ours.get(key).unwrap();
        assert_eq!(discriminant(our), discriminant(their), "{key}");
        if matches!(their, Value::Data(_)) && key != "EscrowBag" {
            assert_eq!(kind(data(&ours, key)), kind(data(&theirs, key)), "{key}");
        }
    }
    for key in ["SystemBUID", "WiFiMACAddress"] {
        assert_eq!(ours.get(key), theirs.get(key));
    }
    assert_eq!(data(&ours, "EscrowBag").len(), 32);
    let host_id = |record: &Dictionary| record.get("HostID").unwrap().as_string().unwrap().to_owned();
    let is_upper_uuid = |text: &str| uuid::Uuid::parse_str(text).is_ok() && text == text.to_uppercase();
    assert!(is_upper_uuid(&host_id(&ours)) && is_upper_uuid(&host_id(&theirs)));
    for key in CERTIFICATES {
        let (our, their) = (certificate(&ours, key), certificate(&theirs, key));
        same_shape(&our, &their, key);
        assert_eq!(our.tbs_certificate.serial_number, their.tbs_certificate.serial_number);
        // Debian's idevicepair 1.3 still signs with SHA-1; newer ones sign as we do.
        assert_eq!(our.signature_algorithm.oid, SHA_256_WITH_RSA_ENCRYPTION);
    }

    again();
    let socket = world.usbmuxd.socket_path().display().to_string();
    for command in ["pair", "info"] {
        runs(&world, &pymobiledevice3(), &socket, &["lockdown", command]).await;
    }
    let theirs = record(&world);
    for key in CERTIFICATES {
        let (our, their) = (certificate(&ours, key), certificate(&theirs, key));
        same_shape(&our, &their, key);
        assert_eq!(our.signature_algorithm, their.signature_algorithm, "{key}");
    }
}

/// Records that other programs and other phones leave behind, over the cable and over Wi-Fi.
#[tokio::test(flavor = "multi_thread")]
async fn unusual_pair_records_are_as_good() {
    let world = World::unpaired(DataSetSpec::uniform(602, 10, 100)).await;
    let backs_up = async |what: &str| {
        for plug in [backstay_tests::phone::Phone::plug_in, backstay_tests::phone::Phone::appear_on_wifi] {
            plug(&world.phone);
            let (code, object) = world.back_up_once().await;
            assert_eq!(code, 0, "{what}: {object}");
            world.judge();
            world.phone.unplug();
        }
    };
    world.phone.pair_without_escrow_bag(&world.usbmuxd).unwrap();
    assert!(!record(&world).contains_key("EscrowBag"));
    backs_up("no EscrowBag").await;

    world.phone.pair_with_host_id(&world.usbmuxd, "30142955-444094379208051516").unwrap();
    backs_up("a HostID that is no UUID").await;

    let mut changed = record(&world);
    for key in ["HostPrivateKey", "RootPrivateKey"] {
        let pem = std::str::from_utf8(data(&changed, key)).unwrap();
        let pem = RsaPrivateKey::from_pkcs8_pem(pem).unwrap().to_pkcs1_pem(LineEnding::LF).unwrap();
        assert_eq!(kind(pem.as_bytes()), "-----BEGIN RSA PRIVATE KEY-----");
        changed.insert(key.into(), Value::Data(pem.as_bytes().to_vec()));
    }
    save(&world, &changed);
    backs_up("keys as GnuTLS writes them").await;

    changed.remove("WiFiMACAddress");
    save(&world, &changed);
    backs_up("no address of the phone's Wi-Fi").await;
}

/// A phone whose Wi-Fi is broken tells no address, and is paired all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_without_a_wifi_address_is_paired() {
    let world = World::unpaired(DataSetSpec::uniform(603, 10, 100)).await;
    world.phone.set_lockdown_value("", "WiFiAddress", None);
    world.phone.plug_in();
    let output = world.backstay(&["pair"]).await;
    assert!(output.status.success(), "{}", text(&output));
    assert!(!record(&world).contains_key("WiFiMACAddress"));
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "{object}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_says_nothing_of_encryption_does_not_encrypt() {
    let world = World::new(DataSetSpec::uniform(604, 10, 100)).await;
    world.phone.set_lockdown_value("com.apple.mobile.backup", "WillEncrypt", None);
    assert!(world.phone.lockdown_value("com.apple.mobile.backup", "WillEncrypt").is_none());
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "{object}");
    world.judge();
    let status = text(&world.backstay(&["encryption", "status"]).await);
    assert!(status.contains("does not encrypt its backups"), "{status}");
}

fn info(backup: &Path) -> Dictionary {
    plist::from_file(backup.join("Info.plist")).unwrap()
}

fn string<'a>(info: &'a Dictionary, key: &str) -> Option<&'a str> {
    info.get(key).map(|value| value.as_string().unwrap_or_else(|| panic!("{key} is no text: {value:?}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn info_plist_has_all_that_idevicebackup2_writes_and_more() {
    let world = World::new(DataSetSpec::uniform(605, 10, 100)).await;
    let elsewhere = world.folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let arguments = ["-u", world.phone.udid(), "backup", elsewhere.to_str().unwrap()];
    runs(&world, "idevicebackup2", &world.usbmuxd.address(), &arguments).await;
    let theirs = info(&elsewhere.join(world.phone.udid()));
    assert_eq!(world.back_up_once().await.0, 0);
    let ours = info(&world.latest());
    assert!(theirs.len() >= 21, "{:?}", keys(&theirs));
    for (key, their) in &theirs {
        let our = ours.get(key).unwrap_or_else(|| panic!("{key} is missing"));
        assert_eq!(discriminant(our), discriminant(their), "{key}");
        if !["GUID", "Last Backup Date"].contains(&key.as_str()) {
            assert_eq!(our, their, "{key}");
        }
    }
    assert_eq!(
        ours.get("iBooks Data 2").unwrap().as_data(),
        world.phone.media().get("Books/iBooksData2.plist").as_deref()
    );
    let second = world.phone.lockdown_value("", "InternationalMobileEquipmentIdentity2").unwrap();
    assert_eq!(string(&ours, "IMEI 2"), second.as_string());
    assert_ne!(ours.get("IMEI 2"), ours.get("IMEI"));
    assert_eq!(string(&ours, "Product Name"), Some("iPhone 14 Pro"));

    // Each backup has a GUID of its own, as those of idevicebackup2 have.
    assert_eq!(world.back_up_once().await.0, 0);
    let again = info(&world.latest());
    for guid in [string(&ours, "GUID").unwrap(), string(&again, "GUID").unwrap(), string(&theirs, "GUID").unwrap()] {
        let is_upper_hex = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
        assert!(guid.len() == 32 && guid.bytes().all(is_upper_hex), "{guid}");
    }
    assert_ne!(ours.get("GUID"), again.get("GUID"));

    if let Some(file) = real("mvt-ios14/Info.plist") {
        let real: Dictionary = plist::from_file(file).unwrap();
        for (key, value) in &real {
            let our = ours.get(key).unwrap_or_else(|| panic!("a real one has {key}"));
            assert_eq!(discriminant(our), discriminant(value), "{key}");
        }
    }
}

/// What is not to be had is left out; the backup is whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_phone_does_not_tell_is_left_out_of_info_plist() {
    let world = World::new(DataSetSpec::uniform(606, 10, 100)).await;
    let phone = &world.phone;
    phone.refuse("StartService", Some("com.apple.springboardservices"), "ServiceProhibited");
    phone.refuse("GetValue", Some("com.apple.iTunes"), "MissingValue");
    phone.set_lockdown_value("com.apple.mobile.iTunes", "MinITunesVersion", None);
    phone.set_lockdown_value("", "PhoneNumber", Some(5_u64.into()));
    phone.set_lockdown_value("", "InternationalMobileEquipmentIdentity2", None);
    phone.set_lockdown_value("", "ProductType", Some("iPhone99,11".into()));
    let media = phone.media();
    media.set_file_fault("/Books/iBooksData2.plist", Some(FileFault::PermissionDenied));
    media.set_file_fault("/iTunes_Control/iTunes/iTunesPrefs", Some(FileFault::IoErrorAt { bytes: 10 }));
    media.put("/iTunes_Control/iTunes/VoiceMemos.plist", Vec::new());
    media.put_made("/iTunes_Control/iTunes/IC-Info.sidb", 1, 40 << 20);
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "{object}");
    world.judge();
    let told = info(&world.latest());
    for key in ["Phone Number", "IMEI 2", "Product Name", "iBooks Data 2"] {
        assert!(!told.contains_key(key), "{key}: {:?}", told.get(key));
    }
    let dictionary = |key: &str| told.get(key).unwrap().as_dictionary().unwrap();
    assert_eq!(keys(dictionary("iTunes Files")), ["IC-Info.sidv", "iTunesPrefs.plist"]);
    assert!(dictionary("iTunes Settings").is_empty());
    assert_eq!(string(&told, "iTunes Version"), Some("10.0.1"));
    let app = dictionary("Applications").get("com.example.diary").unwrap().as_dictionary().unwrap();
    assert_eq!(keys(app), ["ApplicationSINF", "iTunesMetadata"]);
    assert_eq!(told.get("Installed Applications").unwrap().as_array().unwrap().len(), 3);

    phone.refuse("StartService", Some("com.apple.mobile.installation_proxy"), "InvalidService");
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "{object}");
    let told = info(&world.latest());
    assert!(told.get("Applications").unwrap().as_dictionary().unwrap().is_empty());
}
