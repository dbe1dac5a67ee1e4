use super::*;

#[test]
fn an_id_has_the_form_of_a_backup() {
    let id = FileId::of("HomeDomain", "Library/SMS/sms.db");
    assert_eq!(id.hex(), "3d0d7e5fb2ce288813306e4d4636395e047a3d28");
    assert_eq!(id.path(), "3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28");
    assert_eq!(FileId::parse(&id.hex()), Some(id));
}

#[test]
fn content_does_not_depend_on_how_it_is_read() {
    let data = DataSet::generate(&DataSetSpec::uniform(7, 1, 300_001));
    let file = data.file(0).unwrap();
    let whole = file.content();
    assert_eq!(whole.len(), 300_001);
    let mut pieces = vec![0; 300_001];
    for (index, piece) in pieces.chunks_mut(777).enumerate() {
        file.read_into(index as u64 * 777, piece);
    }
    assert!(whole == pieces);
    let changed = data.mutated(Mutation::Change { count: 1 });
    assert!(changed.file(0).unwrap().content() != whole);
}

#[test]
fn mutations_do_what_they_say() {
    let data = DataSet::generate(&DataSetSpec::mixed(3, 500, 4_000_000));
    assert_eq!(data.file_count(), 500);
    assert!(data.files().any(|file| file.size == 0));
    let changed = data.mutated(Mutation::Change { count: 20 });
    let differing = data.entries().iter().zip(changed.entries()).filter(|(a, b)| a.mtime != b.mtime).count();
    assert_eq!(differing, 20);
    assert_eq!(changed.mutated(Mutation::Remove { count: 50 }).file_count(), 450);
    assert_eq!(changed.mutated(Mutation::Add { count: 5, size: 10 }).file_count(), 505);
    let mut ids: Vec<_> = changed.mutated(Mutation::Add { count: 5, size: 10 }).entries().to_vec();
    ids.sort_by_key(|entry| entry.file_id);
    ids.dedup_by_key(|entry| entry.file_id);
    assert_eq!(ids.len(), changed.entries().len() + 5 + 2);
}
