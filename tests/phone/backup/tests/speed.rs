//! How fast the phone is when the host does nothing: it must never be what a benchmark measures.

use std::time::Instant;

use super::memory_host::MemoryHost;
use crate::phone::{Phone, PhoneSpec, dataset::DataSetSpec};

async fn measure(count: usize, size: u64) {
    let phone = Phone::new(PhoneSpec::numbered(1, DataSetSpec::uniform(1, count, size)));
    phone.plug_in();
    let mut host = MemoryHost::new();
    for kind in ["full", "nothing changed"] {
        let start = Instant::now();
        host.backup(&phone).await.unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let bytes = *phone.bytes_sent().borrow() as f64;
        phone.set_fault(None);
        println!(
            "{count} files of {size}, {kind}: {seconds:.3} s, {:.0} files/s, {:.0} MB/s",
            count as f64 / seconds,
            bytes / seconds / 1e6
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints numbers; run with --release --nocapture"]
async fn speed() {
    measure(50_000, 8192).await;
    measure(8, 256 << 20).await;
}
