//! Which reports run together: length buckets, a token budget and an age guard.
//!
//! A batch is padded to one length, so mixing lengths wastes most of the work (a first-come batch
//! of 32 radiology reports is more than half padding). Reports therefore wait in one first-in
//! first-out queue per length class. When a session is free, never earlier, the class that fills
//! the token budget best is taken; the age guard keeps rare lengths from starving. There is no
//! artificial wait: an idle session takes whatever is there.
//!
//! Pure: no clock and no threads. The caller passes the time.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Items to run together, each of length at most `bucket`.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch<T> {
    /// Length to pad every item to, in tokens.
    pub bucket: usize,
    /// The items: first those of the bucket in order of arrival, then shorter ones that ride along.
    pub items: Vec<T>,
}

impl<T> Batch<T> {
    /// Tokens that the model will compute, padding included.
    pub fn padded_tokens(&self) -> usize {
        self.bucket.saturating_mul(self.items.len())
    }
}

#[derive(Debug)]
struct Waiting<T> {
    item: T,
    since: Instant,
}

#[derive(Debug)]
struct Queue<T> {
    edge: usize,
    waiting: VecDeque<Waiting<T>>,
}

/// Waiting items by length class. Unbounded: the caller's byte budget bounds what is pushed.
#[derive(Debug)]
pub struct Buckets<T> {
    queues: Vec<Queue<T>>,
    batch_tokens: usize,
    max_age: Duration,
    launch_floor_tokens: usize,
    len: usize,
}

impl<T> Buckets<T> {
    /// Empty buckets.
    ///
    /// * `edges`: lengths to pad to, in tokens (`manifest.json`, `length_buckets`). Sorted here;
    ///   zeros and duplicates are dropped; no edge at all means one bucket as large as the budget.
    /// * `batch_tokens`: most padded tokens in one batch. A single item may exceed it, alone.
    /// * `max_age`: an item that has waited longer goes next whatever its bucket holds.
    /// * `launch_floor_tokens`: below this many padded tokens a batch costs the device the same;
    ///   shorter items fill it up. 0 on CPU.
    pub fn new(
        edges: &[usize],
        batch_tokens: usize,
        max_age: Duration,
        launch_floor_tokens: usize,
    ) -> Self {
        let batch_tokens = batch_tokens.max(1);
        let mut edges: Vec<usize> = edges.iter().copied().filter(|edge| *edge > 0).collect();
        edges.sort_unstable();
        edges.dedup();
        if edges.is_empty() {
            edges.push(batch_tokens);
        }
        let queues =
            edges.into_iter().map(|edge| Queue { edge, waiting: VecDeque::new() }).collect();
        Self { queues, batch_tokens, max_age, launch_floor_tokens, len: 0 }
    }

    /// Adds an item of `len` tokens that arrived at `now`.
    ///
    /// An item longer than the last edge goes into the last bucket: the tokenizer has cut every
    /// text to the model's maximum, so this does not happen with a valid manifest.
    pub fn push(&mut self, item: T, len: usize, now: Instant) {
        let at = self.queues.partition_point(|queue| queue.edge < len);
        let at = at.min(self.queues.len().saturating_sub(1));
        if let Some(queue) = self.queues.get_mut(at) {
            queue.waiting.push_back(Waiting { item, since: now });
            self.len += 1;
        }
    }

    /// The next batch to run at `now`; `None` only when nothing waits.
    ///
    /// The oldest item is in it if it has waited for more than `max_age`. Otherwise the bucket with
    /// the most padded tokens, counted up to the budget, is taken; of equals, the one whose head
    /// has waited longest.
    pub fn pop(&mut self, now: Instant) -> Option<Batch<T>> {
        let chosen = self.overdue(now).or_else(|| self.fullest())?;
        let queue = self.queues.get_mut(chosen)?;
        let bucket = queue.edge;
        let room = (self.batch_tokens / bucket).max(1);
        let taken = room.min(queue.waiting.len());
        let mut items = Vec::with_capacity(taken);
        items.extend(queue.waiting.drain(..taken).map(|waiting| waiting.item));

        // Free riders: under the launch floor a larger batch costs nothing. The longest of the
        // shorter items first, since they waste least.
        let wanted = self.launch_floor_tokens.div_ceil(bucket).min(room);
        for shorter in self.queues.iter_mut().take(chosen).rev() {
            let missing = wanted.saturating_sub(items.len()).min(shorter.waiting.len());
            items.extend(shorter.waiting.drain(..missing).map(|waiting| waiting.item));
        }
        self.len -= items.len();
        Some(Batch { bucket, items })
    }

    /// Number of items that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Since when the longest-waiting item waits; for the queue-age metric.
    pub fn oldest(&self) -> Option<Instant> {
        self.queues.iter().filter_map(Queue::head).min()
    }

    /// Takes everything out in no useful order, as after a lost assignment.
    pub fn clear(&mut self) -> Vec<T> {
        self.len = 0;
        let drained = self.queues.iter_mut().flat_map(|queue| queue.waiting.drain(..));
        drained.map(|waiting| waiting.item).collect()
    }

    fn overdue(&self, now: Instant) -> Option<usize> {
        let heads = self.queues.iter().enumerate();
        let (at, since) =
            heads.filter_map(|(at, queue)| Some((at, queue.head()?))).min_by_key(|(_, s)| *s)?;
        (now.saturating_duration_since(since) > self.max_age).then_some(at)
    }

    fn fullest(&self) -> Option<usize> {
        let heads = self.queues.iter().enumerate();
        let heads = heads.filter_map(|(at, queue)| Some((at, queue, queue.head()?)));
        let best = heads.max_by_key(|(_, queue, since)| {
            let padded = queue.edge.saturating_mul(queue.waiting.len());
            (padded.min(self.batch_tokens), Reverse(*since))
        });
        best.map(|(at, _, _)| at)
    }
}

impl<T> Queue<T> {
    /// Since when the item at the head waits. Time of arrival never decreases within a queue.
    fn head(&self) -> Option<Instant> {
        self.waiting.front().map(|waiting| waiting.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EDGES: [usize; 5] = [16, 32, 64, 128, 256];
    const MAX_AGE: Duration = Duration::from_millis(50);

    /// Item: (number, length, time of arrival).
    type Item = (usize, usize, Instant);

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Pop,
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            5 => (1usize..=256).prop_map(Step::Push),
            1 => Just(Step::Pop),
            1 => (0u64..80_000).prop_map(Step::Wait),
        ];
        prop::collection::vec(step, 0..300)
    }

    fn check_batch(batch: &Batch<Item>, budget: usize) {
        assert!(!batch.items.is_empty());
        assert!(batch.items.iter().all(|(_, len, _)| *len <= batch.bucket));
        assert!(batch.items.len() == 1 || batch.padded_tokens() <= budget);
        for edge in EDGES {
            let class = |len: &usize| EDGES.into_iter().find(|e| e >= len) == Some(edge);
            let numbers: Vec<_> =
                batch.items.iter().filter(|(_, l, _)| class(l)).map(|(n, ..)| *n).collect();
            assert!(numbers.is_sorted(), "a length class leaves in order of arrival");
        }
    }

    proptest! {
        #[test]
        fn every_item_leaves_once_in_a_legal_batch(
            steps in steps(), budget in 1usize..2_000, floor in 0usize..600,
        ) {
            let mut buckets = Buckets::new(&EDGES, budget, MAX_AGE, floor);
            let mut now = Instant::now();
            let (mut pushed, mut seen) = (0, Vec::new());
            let mut last_of_class = [None; EDGES.len()];
            let drain = std::iter::repeat_n(Step::Pop, 300);
            for step in steps.into_iter().chain(drain) {
                match step {
                    Step::Push(len) => {
                        buckets.push((pushed, len, now), len, now);
                        pushed += 1;
                    }
                    Step::Wait(micros) => now += Duration::from_micros(micros),
                    Step::Pop => {
                        let oldest = buckets.oldest();
                        let before = buckets.len();
                        let Some(batch) = buckets.pop(now) else {
                            prop_assert_eq!(before, 0);
                            continue;
                        };
                        check_batch(&batch, budget);
                        prop_assert_eq!(buckets.len() + batch.items.len(), before);
                        let oldest = oldest.unwrap();
                        if now - oldest > MAX_AGE {
                            prop_assert!(batch.items.iter().any(|(_, _, at)| *at == oldest));
                        }
                        for (number, len, _) in batch.items {
                            let class = EDGES.iter().position(|e| *e >= len).unwrap();
                            prop_assert!(last_of_class[class] < Some(number));
                            last_of_class[class] = Some(number);
                            seen.push(number);
                        }
                    }
                }
            }
            prop_assert!(buckets.is_empty(), "300 pops empty at most 300 items");
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..pushed).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_fullest_bucket_goes_first_and_fills_the_budget() {
        let now = Instant::now();
        let mut buckets = Buckets::new(&EDGES, 128, MAX_AGE, 0);
        buckets.push('l', 100, now);
        for _ in 0..9 {
            buckets.push('s', 10, now);
        }
        let first = buckets.pop(now).unwrap();
        assert_eq!((first.bucket, first.items.len()), (128, 1), "both fill 128; the older goes");
        let second = buckets.pop(now).unwrap();
        assert_eq!((second.bucket, second.items.len()), (16, 8));
    }

    #[test]
    fn shorter_items_ride_along_under_the_launch_floor() {
        let now = Instant::now();
        let mut buckets = Buckets::new(&EDGES, 1024, MAX_AGE, 256);
        buckets.push("long", 60, now);
        for short in ["a", "b"] {
            buckets.push(short, 10, now);
        }
        buckets.push("middle", 30, now);
        let batch = buckets.pop(now).unwrap();
        assert_eq!(batch, Batch { bucket: 64, items: vec!["long", "middle", "a", "b"] });
    }

    #[test]
    fn a_text_beyond_the_last_edge_and_missing_edges_are_survived() {
        let now = Instant::now();
        let mut buckets = Buckets::new(&[], 64, MAX_AGE, 0);
        buckets.push((), 10_000, now);
        assert_eq!(buckets.pop(now).unwrap().bucket, 64);
        buckets.push((), 1, now);
        assert_eq!(buckets.clear().len(), 1);
        assert!(buckets.pop(now).is_none());
    }
}
