//! Each rule finds what it is there for: a table of cases, and the same table with each rule taken away.

use super::*;
use crate::vault::name::Name;

const ID: &str = "3d0d7e5fb2ce288813306e4d4636395e047a3d28";
const SHA1: Sha1 = [1; 20];
const OTHER: Sha1 = [2; 20];
const KEY: [u8; 44] = [3; 44];

fn came(size: u64, whole: bool) -> Known {
    Known::Came { size, sha1: Some(SHA1), whole, since: None }
}

fn kept(size: u64, proof: Proof, row: RowChange) -> Known {
    Known::Kept { held: Held { size, digest: Some([7; 32]), sha1: Some(SHA1), proof }, row }
}

/// Without any checksum, as of another program's backup.
fn adopted(size: u64) -> Known {
    let held = Held { size, digest: None, sha1: None, proof: Proof::Missing };
    Known::Kept { held, row: RowChange::Nothing }
}

struct Row {
    what: &'static str,
    listed: Option<u64>,
    digest: Option<&'static [u8]>,
    key: Option<&'static [u8]>,
    /// `None` when the file is missing, `Some(None)` when it is a link or the like.
    stored: Option<Option<u64>>,
    known: Known,
    form: Form,
    rule: Rule,
    verdict: Verdict,
}

/// A plain file without a digest that is as listed, whatever is known of it.
fn row(what: &'static str, known: Known, rule: Rule, verdict: Verdict) -> Row {
    let stored = Some(Some(100));
    Row { what, listed: Some(100), digest: None, key: None, stored, known, form: Form::Fits, rule, verdict }
}

fn table() -> Vec<Row> {
    use Verdict::{Contradicted, Damage, Noted, Whole};
    let doubt = |what| Verdict::Doubt(what, Proof::Missing);
    let changed = "has another size or date in the list than before, and nothing came: it may be incomplete";
    let shorter = "is shorter than its size in the list: it may be incomplete";
    vec![
        Row { stored: None, ..row("missing", came(100, true), Rule::There, Damage("is missing")) },
        Row { stored: Some(None), ..row("a link", came(100, true), Rule::There, Damage("is no file")) },
        Row {
            stored: None,
            ..row(
                "unreadable",
                Known::Unreadable,
                Rule::There,
                doubt("could not be read by the iPhone, and is missing"),
            )
        },
        Row {
            digest: Some(&SHA1),
            ..row(
                "unreadable, an old one there",
                Known::Unreadable,
                Rule::There,
                doubt(
                    "could not be read by the iPhone: what is kept is from an earlier backup, a part of it, or empty",
                ),
            )
        },
        Row {
            digest: Some(&SHA1),
            listed: Some(9),
            ..row("its digest, another size", came(100, true), Rule::Digest, Whole(Proof::Digest))
        },
        Row {
            digest: Some(&SHA1),
            ..row(
                "its digest, carried over",
                kept(100, Proof::Received, RowChange::Facts),
                Rule::Digest,
                Whole(Proof::Digest),
            )
        },
        Row {
            digest: Some(&SHA1),
            ..row("its digest, though cut", came(100, false), Rule::Digest, Whole(Proof::Digest))
        },
        Row { digest: Some(&OTHER), ..row("another digest came", came(100, true), Rule::Digest, Contradicted) },
        Row {
            digest: Some(&OTHER),
            ..row(
                "another digest, carried over",
                kept(100, Proof::Digest, RowChange::Nothing),
                Rule::Digest,
                Damage("is not what the list says it is"),
            )
        },
        Row {
            digest: Some(&OTHER),
            ..row(
                "another digest, kept so",
                kept(100, Proof::Contradicted, RowChange::Nothing),
                Rule::Digest,
                Verdict::Doubt(CONTRADICTED, Proof::Contradicted),
            )
        },
        row("no end", came(100, false), Rule::Complete, Damage("came without its end")),
        row("came", came(100, true), Rule::Received, Whole(Proof::Received)),
        Row {
            listed: Some(4096),
            ..row("came, another size", came(100, true), Rule::Received, Noted(Proof::Received))
        },
        Row { listed: Some(0), ..row("came, a larger copy", came(100, true), Rule::Received, Noted(Proof::Received)) },
        Row {
            listed: Some(100),
            key: Some(&KEY),
            stored: Some(Some(112)),
            ..row("came encrypted", came(112, true), Rule::Received, Whole(Proof::Received))
        },
        Row {
            digest: Some(&SHA1),
            stored: Some(Some(99)),
            ..row("shorter on disk", came(100, true), Rule::Received, Damage("is shorter than it was when it came"))
        },
        row("carried over", kept(100, Proof::Received, RowChange::Nothing), Rule::CarriedOver, Whole(Proof::Received)),
        Row {
            listed: Some(4),
            ..row(
                "carried over, another size",
                kept(100, Proof::Received, RowChange::Nothing),
                Rule::CarriedOver,
                Noted(Proof::Received),
            )
        },
        row(
            "an old one",
            kept(100, Proof::Received, RowChange::Content),
            Rule::CarriedOver,
            Damage("is an older one than the list names"),
        ),
        row(
            "an old one, the new one lost",
            kept(100, Proof::Received, RowChange::FactsAndLost),
            Rule::CarriedOver,
            Damage("is an older one: the new one came and was lost"),
        ),
        row(
            "another date",
            kept(100, Proof::Received, RowChange::Facts),
            Rule::CarriedOver,
            Verdict::Doubt(changed, Proof::Received),
        ),
        Row {
            stored: Some(Some(101)),
            ..row(
                "longer on disk",
                kept(100, Proof::Received, RowChange::Nothing),
                Rule::CarriedOver,
                Damage("is longer than it was when it came"),
            )
        },
        row("made elsewhere", adopted(100), Rule::Form, Whole(Proof::Missing)),
        Row { form: Form::Shorter, ..row("made elsewhere, shorter", adopted(100), Rule::Form, doubt(shorter)) },
        Row { form: Form::Longer, ..row("made elsewhere, longer", Known::Nothing, Rule::Form, Noted(Proof::Missing)) },
        Row { form: Form::Usual, ..row("a database", Known::Nothing, Rule::Form, Noted(Proof::Missing)) },
        Row { form: Form::Broken("is cut"), ..row("cut", Known::Nothing, Rule::Form, Damage("is cut")) },
        Row {
            form: Form::Broken("is cut"),
            ..row(
                "its base can't be read",
                kept(100, Proof::Received, RowChange::Unknown),
                Rule::Form,
                Damage("is cut"),
            )
        },
    ]
}

fn judge(row: &Row, rules: &[(Rule, Judge)]) -> (Rule, Verdict) {
    let record = Record { size: row.listed, digest: row.digest, key: row.key, ..Record::default() };
    let file = ManifestFile { file_id: ID, domain: "HomeDomain", relative_path: "x", record };
    let found = row.stored.map(|size| Found { name: Name::of_file_id(ID).unwrap(), size });
    let form = |_| Ok(row.form);
    Case { file: &file, here: found.as_ref(), known: row.known, form: &form }.judge_by(rules).unwrap()
}

#[test]
fn every_case_is_judged_by_its_rule() {
    for row in table() {
        assert_eq!(judge(&row, RULES), (row.rule, row.verdict), "{}", row.what);
    }
}

/// None of the rules is there for nothing: without it something is judged otherwise.
#[test]
fn without_any_one_rule_something_is_missed() {
    for (index, (rule, _)) in RULES.iter().enumerate() {
        let rest: Vec<_> =
            RULES.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, rule)| *rule).collect();
        let missed: Vec<_> = table().into_iter().filter(|row| judge(row, &rest).1 != row.verdict).collect();
        assert!(missed.iter().any(|row| row.rule == *rule), "{rule:?} finds nothing that the others do not find");
        println!("without {rule:?}: {}", missed.iter().map(|row| row.what).collect::<Vec<_>>().join("; "));
    }
}

#[test]
fn a_database_is_at_least_as_long_as_its_pages() {
    let header = |pages: u32, counted_at: u32| {
        let mut header = [0; sqlite_file::HEADER_BYTES];
        header[..16].copy_from_slice(b"SQLite format 3\0");
        header[16..18].copy_from_slice(&4096_u16.to_be_bytes());
        header[24..28].copy_from_slice(&5_u32.to_be_bytes());
        header[28..32].copy_from_slice(&pages.to_be_bytes());
        header[92..96].copy_from_slice(&counted_at.to_be_bytes());
        header
    };
    let form = |listed: Option<u64>, length, header: [u8; 100]| {
        let read = |buffer: &mut [u8; 100]| {
            *buffer = header;
            Ok(())
        };
        form_of(listed, length, read).unwrap()
    };
    let cut = Form::Broken("is a database that is cut off");
    let text = [b'x'; 100];
    for (listed, length, header, expected) in [
        (Some(8192), 8192, header(2, 5), Form::Fits),
        (Some(8192), 12_288, header(3, 5), Form::Usual),
        (Some(12_288), 8192, header(2, 5), Form::Usual),
        (Some(8192), 8192, header(3, 5), cut),
        (Some(12_288), 8192, header(3, 5), cut),
        (Some(12_288), 8000, header(3, 5), cut),
        // Its count of pages is out of date.
        (Some(12_288), 8192, header(3, 4), Form::Usual),
        (Some(10), 100, text, Form::Longer),
        (Some(1000), 100, text, Form::Shorter),
        (Some(1000), 50, text, Form::Shorter),
        (None, 100, text, Form::Fits),
    ] {
        assert_eq!(form(listed, length, header), expected, "{listed:?} {length}");
    }
}

/// What came in an earlier try is what the phone had then.
#[test]
fn what_came_earlier_has_its_time() {
    let later = Verdict::Doubt(
        "has a later date in the list than the try in which it came: it may be an older one",
        Proof::Missing,
    );
    for (digest, modified, form, verdict) in [
        (None, Some(900), Form::Fits, Verdict::Whole(Proof::Received)),
        (None, Some(1050), Form::Fits, Verdict::Whole(Proof::Received)),
        (None, Some(1061), Form::Fits, later),
        (None, None, Form::Fits, Verdict::Whole(Proof::Received)),
        (None, Some(900), Form::Broken("is torn"), Verdict::Damage("is torn")),
        (Some(&SHA1[..]), Some(5000), Form::Fits, Verdict::Whole(Proof::Digest)),
    ] {
        let record = Record { size: Some(100), modified, digest, ..Record::default() };
        let file = ManifestFile { file_id: ID, domain: "HomeDomain", relative_path: "x", record };
        let here = Found { name: Name::of_file_id(ID).unwrap(), size: Some(100) };
        let known = Known::Came { size: 100, sha1: Some(SHA1), whole: true, since: Some(1000) };
        let case = Case { file: &file, here: Some(&here), known, form: &|_| Ok(form) };
        assert_eq!(case.judge().unwrap().1, verdict, "{digest:?}, {modified:?}, {form:?}");
    }
}
