//! Which key was meant by one that does not exist.

/// The nearest of `candidates` to a misspelt path, if one is near enough to be worth a question.
pub(super) fn nearest(path: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let last = last_part(path);
    let (distance, candidate) = candidates
        .map(|candidate| {
            let name = last_part(&candidate);
            let score = if name == last {
                // The right name in the wrong section.
                1
            } else if name.starts_with(last) && last.len() >= 4 {
                // The name without its unit.
                1
            } else {
                edits(path, &candidate)
            };
            (score, candidate)
        })
        .min_by_key(|(distance, candidate)| (*distance, edits(path, candidate)))?;
    (distance <= (last.chars().count() / 3).max(1)).then_some(candidate)
}

fn last_part(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// How many letters must be put in, taken out or changed to make one text of the other.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, &target) in other.iter().enumerate() {
            let change = diagonal + usize::from(letter != target);
            diagonal = row[column + 1];
            row[column + 1] = change.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] =
        ["http.max_body_bytes", "http.idle_timeout", "tokens.access_lifetime", "redis.url", "issuer"];

    fn suggested(path: &str) -> Option<String> {
        nearest(path, KEYS.iter().map(|&key| key.to_owned()))
    }

    #[test]
    fn a_slip_a_missing_unit_and_a_wrong_section_are_understood() {
        assert_eq!(suggested("http.max_body_byte"), Some("http.max_body_bytes".into()));
        assert_eq!(suggested("http.max_body"), Some("http.max_body_bytes".into()));
        assert_eq!(suggested("htp.idle_timeout"), Some("http.idle_timeout".into()));
        assert_eq!(suggested("access_lifetime"), Some("tokens.access_lifetime".into()));
        assert_eq!(suggested("issuers"), Some("issuer".into()));
        assert_eq!(suggested("database.password"), None);
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("same", "same"), 0);
    }
}
