//! The conversation with a phone in the same process, whose clock runs only while everybody waits.

use backstay_shared::overview::Progress;
use tokio::io::DuplexStream;

use super::*;
use crate::transfer::value::Value;

const UDID: &str = "00008120-001A2D3E0C40201E";
const BYTES_PER_SECOND: u64 = 50_000;

/// A conversation on a folder of its own, and the phone's end of it.
fn conversation(base: &std::path::Path) -> (Conversation<DuplexStream>, Frames<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(256 * 1024);
    std::fs::create_dir_all(base.join(UDID)).unwrap();
    let (_, passcode_sheet) = watch::channel(Sheet::default());
    let plan = Plan {
        base: base.to_owned(),
        aside: None,
        udid: UDID.parse().unwrap(),
        digests: Digests::default(),
        unreadable: HashMap::new(),
        order: Order::Backup { full: false },
        passcode_sheet,
        cancel: CancellationToken::new(),
    };
    let meter = Meter::new(watch::Sender::new(Progress::start()));
    (Conversation::new(ours, plan, meter).unwrap(), Frames::new(theirs, Arc::default()))
}

async fn greets(phone: &mut Frames<DuplexStream>) {
    phone.send_message(vec!["DLMessageVersionExchange".into(), 400.into(), 0.into()]).await.unwrap();
    phone.message().await.unwrap();
    phone.send_message(vec!["DLMessageDeviceReady".into()]).await.unwrap();
    phone.message().await.unwrap();
    ends(phone, 0).await;
    phone.message().await.unwrap();
}

async fn ends(phone: &mut Frames<DuplexStream>, code: i64) {
    let result = [("ErrorCode".to_owned(), plist::Value::from(code))].into_iter().collect();
    phone.send_message(vec!["DLMessageProcessMessage".into(), plist::Value::Dictionary(result)]).await.unwrap();
}

async fn carried_out(conversation: &mut Conversation<DuplexStream>) -> Result<(), TransferError> {
    conversation.carry_out(std::future::pending(), &mut |_, _| false).await
}

/// A list of files over a link on which it takes as long as the largest of 1.2 GB at half a megabyte a second: forty minutes
/// to the phone, in which it says nothing, and forty back. The clock stands while a task computes.
#[tokio::test(start_paused = true)]
async fn a_list_of_files_takes_forty_minutes_each_way() {
    let folder = tempfile::tempdir().unwrap();
    let (mut conversation, mut phone) = conversation(folder.path());
    // A file without blocks takes no room.
    let bytes = 120_000_000_u64;
    let list = std::fs::File::create(folder.path().join(UDID).join("Manifest.db")).unwrap();
    list.set_len(bytes).unwrap();
    let began = Instant::now();
    let talk = async {
        greets(&mut phone).await;
        let paths = plist::Value::Array(vec![format!("{UDID}/Manifest.db").into()]);
        phone.send_message(vec!["DLMessageDownloadFiles".into(), paths, empty(), 0.into()]).await.unwrap();
        let name = phone.number().await.unwrap();
        phone.exactly(name as usize).await.unwrap();
        let (mut came, mut paid) = (0_u64, 0_u64);
        loop {
            let length = phone.number().await.unwrap() as usize;
            if phone.code().await.unwrap() != 0x0c {
                break;
            }
            came += phone.exactly(length - 1).await.unwrap().len() as u64;
            if came - paid >= BYTES_PER_SECOND {
                let seconds = (came - paid) as f64 / BYTES_PER_SECOND as f64;
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                paid = came;
            }
        }
        assert_eq!((came, phone.number().await.unwrap()), (bytes, 0));
        phone.message().await.unwrap();
        let there = began.elapsed();
        assert!(there > SILENCE_MAX, "{there:?}");
        let announced = vec!["DLMessageUploadFiles".into(), empty(), 0.into(), bytes.into()];
        phone.send_message(announced).await.unwrap();
        for text in ["/var/tmp/Manifest.db", &format!("{UDID}/Manifest.db")] {
            phone.send(&(text.len() as u32).to_be_bytes()).await.unwrap();
            phone.send(text.as_bytes()).await.unwrap();
        }
        let mut block = (BYTES_PER_SECOND as u32 + 1).to_be_bytes().to_vec();
        block.push(0x0c);
        block.resize(5 + BYTES_PER_SECOND as usize, 0);
        for _ in 0..bytes / BYTES_PER_SECOND {
            phone.send(&block).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        phone.send(&[0, 0, 0, 1, 0, 0, 0, 0, 0]).await.unwrap();
        phone.message().await.unwrap();
        ends(&mut phone, 0).await;
        // The goodbye.
        phone.message().await.unwrap();
    };
    let run = async {
        let ended = carried_out(&mut conversation).await;
        let moved = (conversation.sent.bytes, conversation.received.bytes);
        // The phone waits no longer for a host that has ended.
        drop(conversation);
        ended.map(|()| moved)
    };
    let (ended, ()) = tokio::join!(run, talk);
    assert_eq!(ended.unwrap(), (bytes, bytes));
}

/// A path outside its folder is refused to the phone by its name, as a file that can't be read is.
#[tokio::test(start_paused = true)]
async fn an_odd_path_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (mut conversation, mut phone) = conversation(folder.path());
    let talk = async {
        greets(&mut phone).await;
        let paths = plist::Value::Array(vec!["../odd".into()]);
        phone.send_message(vec!["DLMessageDownloadFiles".into(), paths, empty(), 0.into()]).await.unwrap();
        let name = phone.number().await.unwrap() as usize;
        assert_eq!((name, &phone.exactly(name).await.unwrap()[..]), (6, &b"../odd"[..]));
        let length = phone.number().await.unwrap() as usize;
        assert_eq!(phone.code().await.unwrap(), 0x06);
        phone.exactly(length - 1).await.unwrap();
        assert_eq!(phone.number().await.unwrap(), 0, "the list ends");
        phone.message().await.unwrap();
        ends(&mut phone, 0).await;
        phone.message().await.unwrap();
    };
    let (ended, ()) = tokio::join!(carried_out(&mut conversation), talk);
    ended.unwrap();
}

/// A phone that asks for room again and again would have the whole history.
#[tokio::test(start_paused = true)]
async fn room_is_made_three_times() {
    let folder = tempfile::tempdir().unwrap();
    let (mut conversation, mut phone) = conversation(folder.path());
    let mut asked = 0;
    let talk = async {
        greets(&mut phone).await;
        let mut codes = Vec::new();
        for _ in 0..4 {
            phone.send_message(vec!["DLMessagePurgeDiskSpace".into(), (3_u64 << 30).into()]).await.unwrap();
            let Value::List(answer) = Value::parse(&phone.message().await.unwrap()).unwrap() else { panic!("a list") };
            codes.push(answer[1].integer().unwrap());
        }
        assert_eq!(codes, [0, 0, 0, -1]);
        ends(&mut phone, 0).await;
        phone.message().await.unwrap();
    };
    let mut make_room = |missing, welcome| {
        assert_eq!((missing, welcome), (1 << 30, 3 << 30));
        asked += 1;
        true
    };
    let (ended, ()) = tokio::join!(conversation.carry_out(std::future::pending(), &mut make_room), talk);
    ended.unwrap();
    assert_eq!(asked, 3);
}

/// The same patience after any message, and for the silence of either side.
#[tokio::test(start_paused = true)]
async fn silence_has_one_limit() {
    for (bytes_before, minutes, is_stalled) in
        [(0, 30, false), (1 << 20, 30, false), (0, 32, true), (1 << 20, 32, true)]
    {
        let folder = tempfile::tempdir().unwrap();
        let (mut conversation, mut phone) = conversation(folder.path());
        let talk = async {
            greets(&mut phone).await;
            let mut upload = Vec::new();
            for text in ["/var/tmp/x", &format!("{UDID}/x")] {
                upload.extend_from_slice(&(text.len() as u32).to_be_bytes());
                upload.extend_from_slice(text.as_bytes());
            }
            upload.extend_from_slice(&(bytes_before as u32 + 1).to_be_bytes());
            upload.push(0x0c);
            upload.resize(upload.len() + bytes_before, 7);
            let announced = vec!["DLMessageUploadFiles".into(), empty(), 0.into(), 0.into()];
            phone.send_message(announced).await.unwrap();
            phone.send(&upload).await.unwrap();
            tokio::time::sleep(Duration::from_secs(60) * minutes).await;
            // The host may have gone.
            drop(phone.send(&[0, 0, 0, 1, 0, 0, 0, 0, 0]).await);
            if phone.message().await.is_ok() {
                ends(&mut phone, 0).await;
                // The goodbye.
                phone.message().await.unwrap();
            }
        };
        let run = async {
            let ended = carried_out(&mut conversation).await;
            drop(conversation);
            ended
        };
        let (ended, ()) = tokio::join!(run, talk);
        let stalled = matches!(ended, Err(TransferError::Stalled { seconds }) if seconds >= 31 * 60);
        assert_eq!((stalled, ended.is_ok()), (is_stalled, !is_stalled), "{bytes_before}, {minutes} min: {ended:?}");
    }
}
