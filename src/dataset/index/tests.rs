use super::*;
use crate::dataset::day_of;

const DAY: i64 = 86_400_000;

fn version(changed_at: i64) -> PublishedVersion {
    PublishedVersion { changed_at, rank: 3, message_at: 0 }
}

/// A machine's sample of a text and a report, made on that day since 1970.
fn entry(text: u8, report: u8, day: i64) -> Entry {
    let key = SampleKey {
        text: [text; 32],
        report: [report; 16],
        event: Uuid::from_u128(u128::from(text) << 8 | u128::from(report)),
    };
    let created_at = day * DAY;
    Entry {
        key,
        version: Some(version(day)),
        created_at,
        day: day_of(created_at).unwrap(),
        human: false,
    }
}

fn day(day: i64) -> Date {
    day_of(day * DAY).unwrap()
}

/// Takes them all, writes them, and gives the index of the snapshot.
fn settled(entries: &[Entry]) -> Index {
    let mut index = Index::default();
    for (row, entry) in entries.iter().enumerate() {
        assert!(matches!(index.sample(*entry, row), Taken::In { .. }));
    }
    index.plan();
    index.settle();
    index
}

fn place(index: &Index, entry: &Entry) -> Option<(Shelf, i64)> {
    let slot = index.slots.get(&entry.key)?;
    Some((slot.next.shelf, slot.next.times_seen))
}

#[test]
fn of_one_text_the_newest_is_shown_and_the_others_are_counted() {
    let (old, new, other) = (entry(1, 1, 1), entry(1, 2, 3), entry(2, 1, 2));
    let index = settled(&[new, old, other]);
    assert_eq!(place(&index, &new), Some((Shelf::Samples, 2)));
    assert_eq!(place(&index, &old), Some((Shelf::Folded, 0)));
    assert_eq!(place(&index, &other), Some((Shelf::Samples, 1)));
}

#[test]
fn a_persons_label_is_shown_before_a_newer_answer_of_the_teacher() {
    let human = Entry { human: true, ..entry(1, 1, 1) };
    let index = settled(&[human, entry(1, 2, 9)]);
    assert_eq!(place(&index, &human), Some((Shelf::Samples, 2)));
    let newer = Entry { human: true, ..entry(1, 3, 2) };
    let index = settled(&[human, newer, entry(1, 2, 9)]);
    assert_eq!(place(&index, &newer), Some((Shelf::Samples, 3)), "the newest of people's");
}

#[test]
fn only_days_that_change_are_written_again() {
    let mut index = settled(&[entry(1, 1, 1), entry(2, 2, 2), entry(3, 3, 3)]);
    assert!(index.plan().is_empty(), "nothing new");
    assert_eq!(index.sample(entry(4, 4, 4), 0), Taken::In { replaced: None, again: false });
    assert_eq!(index.plan(), BTreeMap::from([(day(4), vec![0])]));
    // Of a text of day 2: that day counts one more there, or sets its sample aside.
    index.sample(entry(2, 9, 5), 1);
    let days: Vec<Date> = index.plan().into_keys().collect();
    assert_eq!(days, [day(2), day(4), day(5)]);
}

#[test]
fn the_next_sample_of_the_text_takes_the_place_of_a_retracted_one() {
    let (old, new) = (entry(1, 1, 1), entry(1, 2, 3));
    let mut index = settled(&[old, new]);
    let (waiting, removed) = index.retract([2; 16], None, 0);
    assert!(waiting.is_empty());
    assert_eq!(removed, 1);
    let days: Vec<Date> = index.plan().into_keys().collect();
    assert_eq!(days, [day(1), day(3)]);
    assert_eq!(place(&index, &old), Some((Shelf::Samples, 1)));
    assert_eq!(index.place_of_stored(&new.key), None);
}

#[test]
fn a_retraction_takes_older_versions_before_and_after_it_and_leaves_newer_ones() {
    let mut index = settled(&[entry(1, 1, 1), entry(2, 1, 5)]);
    let unversioned = Entry { version: None, ..entry(3, 1, 2) };
    index.sample(unversioned, 7);
    assert_eq!(index.retract([1; 16], Some(version(3)), 0), (vec![7], 2));
    assert!(index.slots.contains_key(&entry(2, 1, 5).key), "newer than what was retracted");
    assert_eq!(index.sample(entry(4, 1, 3), 8), Taken::Retracted, "late");
    assert!(matches!(index.sample(entry(4, 1, 4), 8), Taken::In { .. }), "a newer version");
    assert!(matches!(index.sample(unversioned, 9), Taken::In { .. }), "cannot be told");
}

#[test]
fn a_null_value_without_a_version_takes_all_that_came_before_it_and_nothing_after() {
    let mut index = settled(&[entry(1, 1, 1), entry(2, 1, 5), entry(1, 2, 1)]);
    assert_eq!(index.retract([1; 16], None, 0).1, 2);
    assert!(matches!(index.sample(entry(1, 1, 1), 0), Taken::In { .. }));
    assert_eq!(index.slots.len(), 2);
}

#[test]
fn a_withdrawn_text_goes_whether_it_came_before_or_comes_after() {
    let gone = entry(1, 1, 1);
    let mut index = settled(&[gone, entry(1, 2, 1)]);
    assert_eq!(index.withdraw([1; 32], gone.key.event, 0).1, 1);
    assert_eq!(index.sample(gone, 0), Taken::Retracted);
    assert_eq!(index.slots.len(), 1, "the same text of another report stays");
    assert_eq!(index.withdraw([9; 32], Uuid::nil(), 0).1, 0);
}

#[test]
fn the_same_event_again_replaces_its_sample_unless_that_counts_more() {
    let first = Entry { human: true, ..entry(1, 1, 1) };
    let mut index = settled(&[first]);
    assert_eq!(index.sample(entry(1, 1, 8), 0), Taken::Less);
    let second = Entry { created_at: 2 * DAY, day: day(2), ..first };
    assert_eq!(index.sample(second, 1), Taken::In { replaced: None, again: true });
    assert_eq!(index.sample(second, 2), Taken::In { replaced: Some(1), again: true });
    // The day that holds the old row loses it.
    assert_eq!(index.plan(), BTreeMap::from([(day(1), vec![]), (day(2), vec![2])]));
    assert_eq!(index.place_of_stored(&first.key), None);
    assert_eq!(index.place_of_new(&first.key).unwrap().times_seen, 1);
}

#[test]
fn what_is_older_than_a_day_goes() {
    let mut index = settled(&[entry(1, 1, 1), entry(2, 2, 2)]);
    assert_eq!(index.expire(day(2)).1, 1);
    assert_eq!(index.plan(), BTreeMap::from([(day(1), vec![])]));
    assert_eq!(index.expire(day(2)).1, 0);
}
