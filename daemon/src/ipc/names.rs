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

#[cfg(test)]
mod tests {
    use super::*;

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
