use super::*;

const A: [u8; 16] = [1; 16];
const B: [u8; 16] = [2; 16];

fn number(content: [u8; 16]) -> u128 {
    u128::from_le_bytes(content)
}

/// Room for ten keys.
fn index() -> Index {
    let mut index = Index::new(10 * BYTES_A_KEY);
    index.for_key(&["id".to_owned()]);
    index.add(1, "f", [(7, number(A))].into_iter());
    index
}

fn fates(index: &Index, date: &[i32], key: &[KeyHash], content: &[[u8; 16]]) -> Vec<Fate> {
    index.judge(&Found::default(), date, key, content)
}

#[test]
fn the_same_key_with_other_content_is_a_conflict_not_a_duplicate() {
    let fates = fates(&index(), &[1, 1, 2], &[7, 7, 7], &[A, B, A]);
    assert_eq!(fates, [Fate::Duplicate, Fate::Conflict, Fate::First]);
}

#[test]
fn rows_of_one_batch_meet_each_other() {
    let fates = fates(&index(), &[3, 3, 3], &[9, 9, 9], &[A, A, B]);
    assert_eq!(fates, [Fate::First, Fate::Duplicate, Fate::Conflict]);
}

#[test]
fn a_date_that_is_not_needed_makes_room() {
    let mut index = index();
    index.add(2, "g", (0..10).map(|key| (key, 0)));
    let needed = HashSet::from([2]);
    assert_eq!(index.make_room(&needed), Ok(Room::Enough));
    assert!(!index.knows(1, "f"));
    assert!(index.knows(2, "g"));
}

#[test]
fn a_needed_date_over_the_cap_answers_by_filters_and_what_is_looked_up() {
    let mut index = index();
    let needed = HashSet::from([1]);
    index.add(1, "g", (0..10).map(|key| (key + 100, number(A))));
    assert_eq!(index.make_room(&needed), Ok(Room::ReadAgain));
    assert!(!index.knows(1, "f") && !index.knows(1, "g"));
    index.most_bytes = 4_096;
    index.add(1, "f", [(7, number(A))].into_iter());
    index.add(1, "g", (0..10).map(|key| (key + 100, number(A))));
    assert_eq!(index.make_room(&needed), Ok(Room::Enough));

    let suspects = index.suspects(&[1, 1, 1, 2], &[7, 101, 55, 7]);
    assert_eq!(suspects["f"], HashSet::from([7]));
    assert_eq!(suspects["g"], HashSet::from([101]));
    assert_eq!(suspects.len(), 2);
    let mut found = Found::default();
    found.add(1, 7, number(A));
    found.add(1, 101, number(A));
    let fates = index.judge(&found, &[1, 1, 1, 1], &[7, 101, 55, 55], &[A, B, A, A]);
    assert_eq!(
        fates,
        [
            Fate::Duplicate,
            Fate::Conflict,
            Fate::First,
            Fate::Duplicate
        ]
    );
}

#[test]
fn filters_of_files_that_are_gone_are_forgotten() {
    let mut index = index();
    index.add(1, "g", (0..10).map(|key| (key + 100, 0)));
    assert_eq!(index.make_room(&HashSet::from([1])), Ok(Room::ReadAgain));
    index.add(1, "f", [(7, 0)].into_iter());
    index.keep_live(1, |file| file != "f");
    assert!(!index.knows(1, "f"));
}

#[test]
fn dates_that_do_not_even_fit_as_filters_are_an_error() {
    let mut index = Index::new(16);
    index.for_key(&["id".to_owned()]);
    let needed = HashSet::from([1]);
    index.add(1, "f", (0..10).map(|key| (key, 0)));
    assert_eq!(index.make_room(&needed), Ok(Room::ReadAgain));
    index.add(1, "f", (0..10).map(|key| (key, 0)));
    assert!(index.make_room(&needed).is_err());
}

#[test]
fn a_packed_file_is_known_if_all_that_it_holds_was() {
    let mut index = index();
    index.add(1, "g", std::iter::empty());
    index.replaced(1, &["f".to_owned(), "g".to_owned()], "fg");
    assert!(index.knows(1, "fg") && !index.knows(1, "f") && !index.knows(1, "g"));
    index.replaced(1, &["fg".to_owned(), "unread".to_owned()], "all");
    assert!(!index.knows(1, "all") && !index.knows(1, "fg"));
    assert_eq!(fates(&index, &[1], &[7], &[A]), [Fate::Duplicate]);
    index.replaced(2, &["h".to_owned()], "i");
    assert!(!index.knows(2, "i"), "a date that is not here");
}
