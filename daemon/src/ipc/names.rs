//! Which phone a person means.

use backstay_shared::protocol::Refusal;

/// Finds the phone by a name, a UDID or a unique part of either, without regard to case; the index of it.
///
/// # Errors
/// When none or several fit.
pub fn choose(known: &[(String, String)], wanted: &str) -> Result<usize, Refusal> {
    let lower = wanted.to_lowercase();
    let fits = |test: &dyn Fn(&str) -> bool| -> Vec<usize> {
        let both = |(name, udid): &(String, String)| test(&name.to_lowercase()) || test(&udid.to_lowercase());
        known.iter().enumerate().filter(|(_, phone)| both(phone)).map(|(index, _)| index).collect()
    };
    let exact = fits(&|text| text == lower);
    let exact = if exact.is_empty() { as_told_apart(known, &lower) } else { exact };
    let found = if exact.is_empty() { fits(&|text| text.contains(&lower)) } else { exact };
    let describe = |(name, udid): &(String, String)| format!("{name} ({udid})");
    match found[..] {
        [only] => Ok(only),
        [] => {
            let known = known.iter().map(describe).collect();
            Err(Refusal::NoSuchPhone { name: wanted.to_owned(), known })
        }
        _ => {
            let known = found.iter().map(|index| describe(&known[*index])).collect();
            Err(Refusal::Ambiguous { name: wanted.to_owned(), known })
        }
    }
}

/// Those that a list with more phones in it calls so.
fn as_told_apart(known: &[(String, String)], lower: &str) -> Vec<usize> {
    let parts = lower.strip_suffix(')').and_then(|text| text.rsplit_once(" ("));
    let Some((name, end)) = parts.filter(|(_, end)| end.len() >= DIGITS) else { return Vec::new() };
    let is_so = |(known, udid): &(String, String)| known.to_lowercase() == name && udid.to_lowercase().ends_with(end);
    known.iter().enumerate().filter(|(_, phone)| is_so(phone)).map(|(index, _)| index).collect()
}

/// The digits of a UDID that tell two phones of one name apart, unless they are the same.
const DIGITS: usize = 4;

/// What phones are called where several are listed: one whose name is another's, too, has the end of its UDID behind it,
/// which is enough to name it by.
pub fn told_apart(phones: &[(String, String)]) -> Vec<String> {
    let same = |one: &str, other: &str| one.trim().to_lowercase() == other.trim().to_lowercase();
    let end = |udid: &str, digits: usize| udid.get(udid.len().saturating_sub(digits)..).unwrap_or(udid).to_owned();
    let called = |(name, udid): &(String, String)| {
        // One phone may be there twice, by cable and over Wi-Fi.
        let others = phones.iter().filter(|(called, other)| other != udid && same(called, name));
        let others: Vec<&str> = others.map(|(_, udid)| udid.as_str()).collect();
        if others.is_empty() {
            return name.clone();
        }
        let unique = |digits: &usize| others.iter().all(|other| end(other, *digits) != end(udid, *digits));
        let digits = (DIGITS..udid.len()).find(unique).unwrap_or(udid.len());
        format!("{name} ({})", end(udid, digits))
    };
    phones.iter().map(called).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_of_one_name_are_told_apart_by_their_udids() {
        let phones = [
            ("Anna's iPhone", "00008120-001A2D3E0C40201E"),
            ("Ben", "00008120-001A2D3E0C402F00"),
            ("anna's iPhone", "00008120-001A2D3E0C4020FF"),
            ("Anna's iPhone", "00008120-001A2D3E0C4120FF"),
        ];
        let phones = phones.map(|(name, udid)| (name.to_owned(), udid.to_owned()));
        let told = told_apart(&phones);
        assert_eq!(told, ["Anna's iPhone (201E)", "Ben", "anna's iPhone (020FF)", "Anna's iPhone (120FF)"]);
        let known: Vec<_> = told.iter().cloned().zip(phones.iter().map(|(_, udid)| udid.clone())).collect();
        for (index, name) in told.iter().enumerate() {
            assert_eq!(choose(&known, name), Ok(index), "{name}");
            assert_eq!(choose(&phones[index..=index], name), Ok(0), "{name}, where no other is known");
        }
        assert_eq!(choose(&known, "201e"), Ok(0));
        assert!(matches!(choose(&known, "Anna's iPhone"), Err(Refusal::Ambiguous { known, .. }) if known.len() == 3));
    }

    #[test]
    fn a_part_is_enough_when_it_is_unique() {
        let phone = |name: &str, udid: &str| (name.to_owned(), udid.to_owned());
        let known =
            [phone("Anna", "00008120-000A"), phone("Anna's old one", "00008110-000B"), phone("Ben", "5d2b8bcf")];
        assert_eq!(choose(&known, "anna"), Ok(0), "the whole name wins over a part");
        assert_eq!(choose(&known, "old"), Ok(1));
        assert_eq!(choose(&known, "5D2B"), Ok(2));
        assert!(matches!(choose(&known, "0000"), Err(Refusal::Ambiguous { known, .. }) if known.len() == 2));
        assert!(matches!(choose(&known, "Carla"), Err(Refusal::NoSuchPhone { known, .. }) if known.len() == 3));
    }
}
