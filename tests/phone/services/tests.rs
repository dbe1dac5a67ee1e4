//! The services as the idevice crate sees them.

use std::sync::Arc;

use idevice::{
    IdeviceError, IdeviceService, ReadWrite,
    afc::{
        AfcClient,
        opcode::{AfcFopenMode, AfcLockOp},
    },
    installation_proxy::InstallationProxyClient,
    lockdown::LockdownClient,
    notification_proxy::NotificationProxyClient,
    provider::{IdeviceProvider, UsbmuxdProvider},
    springboardservices::SpringBoardServicesClient,
    usbmuxd::UsbmuxdAddr,
};

use crate::phone::{
    Fault, Phone, PhoneSpec,
    afc::{self, FileFault},
    dataset::DataSetSpec,
    usbmuxd::Usbmuxd,
};

/// A phone that trusts this computer and is plugged in.
pub(crate) struct Bench {
    pub(crate) phone: Phone,
    pub(crate) usbmuxd: Arc<Usbmuxd>,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let usbmuxd = Usbmuxd::start(folder.path()).await.unwrap();
        let phone = Phone::new(PhoneSpec::numbered(7, DataSetSpec::empty(7)));
        phone.pair_with(&usbmuxd).unwrap();
        phone.plug_in();
        usbmuxd.add(&phone);
        Self { phone, usbmuxd: Arc::new(usbmuxd), _folder: folder }
    }

    pub(crate) fn address(&self) -> UsbmuxdAddr {
        UsbmuxdAddr::UnixSocket(self.usbmuxd.socket_path().to_str().unwrap().to_owned())
    }

    /// Plain plists with a service, over lockdownd and TLS as every client.
    pub(crate) async fn service(&self, name: &str) -> Result<Box<dyn ReadWrite>, IdeviceError> {
        let provider = self.provider().await;
        let pairing = provider.get_pairing_file().await?;
        let mut lockdown = LockdownClient::connect(&provider).await?;
        lockdown.start_session(&pairing).await?;
        let (port, _) = lockdown.start_service_with_escrow(name, pairing.escrow_bag.clone()).await?;
        let mut service = provider.connect(port).await?;
        service.start_session(&pairing, false).await?;
        Ok(service.get_socket().unwrap())
    }

    pub(crate) async fn provider(&self) -> UsbmuxdProvider {
        let mut usbmuxd = self.address().connect(1).await.unwrap();
        usbmuxd.get_device(self.phone.udid()).await.unwrap().to_provider(self.address(), "test")
    }
}

#[tokio::test]
async fn afc_keeps_what_is_written() {
    let bench = Bench::new().await;
    let mut afc = AfcClient::connect(&bench.provider().await).await.unwrap();
    afc.mk_dir("/Downloads/new").await.unwrap();
    let mut file = afc.open("/Downloads/new/a.bin", AfcFopenMode::WrOnly).await.unwrap();
    file.write_entire(&[7; 100_000]).await.unwrap();
    file.close().await.unwrap();
    let mut file = afc.open("/Downloads/new/a.bin", AfcFopenMode::RdOnly).await.unwrap();
    assert_eq!(file.read_entire().await.unwrap(), [7; 100_000]);
    file.close().await.unwrap();
    assert_eq!(bench.phone.media().get("/Downloads/new/a.bin").map(|content| content.len()), Some(100_000));
    assert_eq!(afc.get_file_info("/Downloads/new/a.bin").await.unwrap().size, 100_000);
    assert!(afc.remove("/Downloads/new").await.is_err(), "a folder that is not empty stays");
    afc.rename("/Downloads/new", "/Downloads/old").await.unwrap();
    assert_eq!(afc.list_dir("/Downloads/old").await.unwrap(), [".", "..", "a.bin"]);
    afc.remove_all("/Downloads/old").await.unwrap();
    assert!(afc.list_dir("/Downloads/old").await.is_err());
    assert!(afc.list_dir("/DCIM/100APPLE").await.unwrap().len() > 3);
    assert!(afc.get_device_info().await.unwrap().free_bytes > 0);
}

#[tokio::test]
async fn the_sync_lock_has_one_holder() {
    let bench = Bench::new().await;
    let mut afc = AfcClient::connect(&bench.provider().await).await.unwrap();
    let mut file = afc.open(afc::SYNC_LOCK, AfcFopenMode::Rw).await.unwrap();
    let held = bench.phone.media().hold_sync_lock().unwrap();
    let refused = file.lock(AfcLockOp::ExclusiveLock).await.unwrap_err();
    assert!(format!("{refused:?}").contains("OpWouldBlock"), "{refused:?}");
    drop(held);
    file.lock(AfcLockOp::ExclusiveLock).await.unwrap();
    assert!(bench.phone.media().hold_sync_lock().is_none());
    assert!(bench.phone.media().sync_is_locked());
    file.lock(AfcLockOp::Unlock).await.unwrap();
    assert!(!bench.phone.media().sync_is_locked());
    file.close().await.unwrap();
}

#[tokio::test]
async fn notifications_go_both_ways() {
    let bench = Bench::new().await;
    let mut proxy = NotificationProxyClient::connect(&bench.provider().await).await.unwrap();
    proxy.observe_notification("com.example.seen").await.unwrap();
    proxy.post_notification("com.example.unseen").await.unwrap();
    proxy.post_notification("com.example.seen").await.unwrap();
    assert_eq!(proxy.receive_notification().await.unwrap(), "com.example.seen");
    assert_eq!(bench.phone.posted_notifications(), ["com.example.unseen", "com.example.seen"]);
    bench.phone.notifications().send("com.example.seen".into()).unwrap();
    assert_eq!(proxy.receive_notification().await.unwrap(), "com.example.seen");
    let cancel = "com.apple.itunes-client.syncCancelRequest";
    proxy.observe_notification(cancel).await.unwrap();
    proxy.post_notification("com.example.seen").await.unwrap();
    assert_eq!(proxy.receive_notification().await.unwrap(), "com.example.seen");
    bench.phone.cancel_on_phone();
    assert_eq!(proxy.receive_notification().await.unwrap(), cancel);
    proxy.shutdown().await.unwrap();
}

#[tokio::test]
async fn apps_and_icons_are_listed() {
    let bench = Bench::new().await;
    let mut proxy = InstallationProxyClient::connect(&bench.provider().await).await.unwrap();
    let apps = proxy.get_apps(Some("User"), None).await.unwrap();
    assert!(apps.contains_key("com.example.diary") && !apps.contains_key("com.apple.mobilesafari"), "{apps:?}");
    assert_eq!(proxy.browse(None).await.unwrap().len(), 5);
    let mut springboard = SpringBoardServicesClient::connect(&bench.provider().await).await.unwrap();
    let icon = springboard.get_icon_pngdata("com.example.diary".into()).await.unwrap();
    assert!(icon.starts_with(b"\x89PNG"));
    assert_eq!(springboard.get_icon_state(None).await.unwrap().as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_locked_phone_wants_the_escrow_bag() {
    let bench = Bench::new().await;
    let provider = bench.provider().await;
    bench.phone.set_fault(Some(Fault::Locked));
    let refused = AfcClient::connect(&provider).await.err().unwrap();
    assert!(matches!(refused, IdeviceError::PasswordProtected), "{refused:?}");
    let mut lockdown = LockdownClient::connect(&provider).await.unwrap();
    let pairing = provider.get_pairing_file().await.unwrap();
    lockdown.start_session(&pairing).await.unwrap();
    let locked = lockdown.get_value(Some("PasswordProtected"), None).await.unwrap();
    assert_eq!(locked.as_boolean(), Some(true));
    let wrong = lockdown.start_service_with_escrow("com.apple.afc", Some(vec![0; 32])).await;
    assert!(wrong.is_err());
    lockdown.start_service_with_escrow("com.apple.afc", pairing.escrow_bag.clone()).await.unwrap();
}

#[tokio::test]
async fn files_give_trouble_on_demand() {
    let bench = Bench::new().await;
    let media = bench.phone.media();
    let path = "/DCIM/100APPLE/IMG_0001.JPG";
    let mut afc = AfcClient::connect(&bench.provider().await).await.unwrap();
    for (fault, error) in [
        (FileFault::PermissionDenied, "PermDenied"),
        (FileFault::Vanished, "ObjectNotFound"),
        (FileFault::WouldBlock, "OpWouldBlock"),
        (FileFault::IoErrorAt { bytes: 1000 }, "IoError"),
    ] {
        media.set_file_fault(path, Some(fault));
        assert!(afc.list_dir("/DCIM/100APPLE").await.unwrap().contains(&"IMG_0001.JPG".to_owned()));
        let read = async {
            let mut file = afc.open(path, AfcFopenMode::RdOnly).await?;
            let read = file.read_entire().await;
            file.close().await?;
            read
        };
        let refused = read.await.unwrap_err();
        assert!(format!("{refused:?}").contains(error), "{refused:?}");
    }
    media.set_file_fault(path, None);
    media.disconnect_after(30_000);
    let mut file = afc.open(path, AfcFopenMode::RdOnly).await.unwrap();
    assert!(file.read_entire().await.is_err());
    // idevice panics over a file that is dropped and can't be closed any more.
    std::mem::forget(file);
    let mut afc = AfcClient::connect(&bench.provider().await).await.unwrap();
    let mut file = afc.open(path, AfcFopenMode::RdOnly).await.unwrap();
    assert!(file.read_entire().await.unwrap().len() > 30_000);
    file.close().await.unwrap();
}

#[tokio::test]
async fn originals_may_be_in_icloud_only() {
    let bench = Bench::new().await;
    bench.phone.media().optimise_storage(1200, 3);
    let mut afc = AfcClient::connect(&bench.provider().await).await.unwrap();
    assert_eq!(afc.list_dir("/DCIM/101APPLE").await.unwrap()[2..], ["IMG_0198.JPG", "IMG_0199.JPG", "IMG_0200.JPG"]);
    assert_eq!(afc.list_dir("/DCIM/100APPLE").await.unwrap().len(), 2);
    assert_eq!(afc.list_dir("/PhotoData/Thumbnails/V2/DCIM/100APPLE").await.unwrap().len(), 1002);
    assert!(bench.phone.media().take_away("/DCIM/101APPLE/IMG_0200.JPG"));
    assert_eq!(afc.list_dir("/DCIM/101APPLE").await.unwrap().len(), 4);
}
