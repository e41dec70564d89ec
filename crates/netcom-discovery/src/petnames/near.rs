//! Guesses what a mistyped name was meant to be.

use netcom_identity::Petname;

/// The name that takes the fewest slips of the finger to reach, if they are few enough.
pub(super) fn nearest<'a>(name: &Petname, names: impl Iterator<Item = &'a str>) -> Option<Petname> {
    let typed: Vec<char> = name.as_str().chars().collect();
    let allowed = if typed.len() <= 4 { 1 } else { 2 };
    let close = names.filter_map(|other| {
        let meant: Vec<char> = other.chars().collect();
        let slips = distance(&typed, &meant);
        (typed.len().abs_diff(meant.len()) <= allowed && slips <= allowed).then_some((slips, other))
    });
    close.min().and_then(|(_, other)| other.parse().ok())
}

pub(super) fn did_you_mean(suggestion: &Option<Petname>) -> String {
    match suggestion {
        Some(name) => format!(", did you mean {name}?"),
        None => String::new(),
    }
}

/// How many letters are missing, too many, wrong, or swapped with their neighbour.
fn distance(one: &[char], other: &[char]) -> usize {
    let width = other.len() + 1;
    let mut before = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut current = vec![row + 1; width];
        for (column, meant) in other.iter().enumerate() {
            let wrong = last[column] + usize::from(letter != meant);
            let best = wrong.min(last[column + 1] + 1).min(current[column] + 1);
            let is_swapped =
                row > 0 && column > 0 && letter == &other[column - 1] && one[row - 1] == *meant;
            current[column + 1] = if is_swapped { best.min(before[column - 1] + 1) } else { best };
        }
        before = std::mem::replace(&mut last, current);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_two_slips_are_forgiven() {
        let names = ["alice", "bob", "carol", "dave"];
        for (typed, meant) in [
            ("alcie", Some("alice")),
            ("alic", Some("alice")),
            ("bobb", Some("bob")),
            ("carrrol", Some("carol")),
            ("dvae", Some("dave")),
            ("zzz", None),
            ("eve", None),
        ] {
            let found = nearest(&typed.parse().unwrap(), names.into_iter());
            assert_eq!(found.as_ref().map(Petname::as_str), meant, "{typed}");
        }
    }
}
