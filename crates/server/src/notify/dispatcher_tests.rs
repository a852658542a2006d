use std::collections::HashMap;

use super::*;

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn lane(sink: &str, meeting: usize) -> Lane {
    Lane { sink: sink.to_owned(), meeting: format!("m{meeting}") }
}

fn failure(why: &str) -> Failure {
    Failure { why: why.to_owned(), for_good: false }
}

/// A store, its sinks and a clock. The dispatcher comes and goes.
struct World {
    dispatcher: Dispatcher,
    now: Timestamp,
    rows: BTreeMap<i64, Pending>,
    dead: BTreeMap<i64, String>,
    next: i64,
    /// What is under way, and when it answers. Hanging sinks answer after their time limit.
    flights: Vec<(Timestamp, Pending)>,
    down: BTreeSet<String>,
    arrived: HashMap<Lane, Vec<i64>>,
    most_in_flight: usize,
    random: fastrand::Rng,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            dispatcher: Dispatcher::new(seed),
            now: START,
            rows: BTreeMap::new(),
            dead: BTreeMap::new(),
            next: 1,
            flights: Vec::new(),
            down: BTreeSet::new(),
            arrived: HashMap::new(),
            most_in_flight: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    fn commit(&mut self, lane: Lane) -> i64 {
        let (id, now) = (self.next, self.now);
        self.next += 1;
        let row = Pending { id, sequence: id, lane, attempts: 0, since: now, due: now };
        self.rows.insert(id, row);
        self.dispatcher.handle_committed();
        self.settle();
        id
    }

    fn settle(&mut self) {
        while let Some(output) = self.dispatcher.poll_output() {
            match output {
                Output::Read { after } => {
                    let rows = self.rows.range(after + 1..).map(|(_, row)| row.clone()).take(PAGE).collect();
                    self.dispatcher.handle_pending(rows, self.now);
                }
                Output::ReadLane { lane, after } => {
                    let of_lane = self.rows.range(after + 1..).filter(|(_, row)| row.lane == lane);
                    let rows = of_lane.map(|(_, row)| row.clone()).take(WINDOW).collect();
                    self.dispatcher.handle_lane(&lane, rows, self.now);
                }
                Output::Deliver(row) => {
                    assert!(!self.flights.iter().any(|(_, other)| other.lane == row.lane), "two in one lane");
                    let hangs = self.down.contains(&row.lane.sink);
                    let takes = if hangs { 10_000 } else { self.random.i64(1..20) };
                    self.flights.push((later(self.now, SignedDuration::from_millis(takes)), row));
                    self.most_in_flight = self.most_in_flight.max(self.flights.len());
                }
                Output::Settle { id, verdict } => match verdict {
                    Verdict::Delivered => drop(self.rows.remove(&id)),
                    Verdict::Again { attempts, due, .. } => {
                        let row = self.rows.get_mut(&id).unwrap();
                        (row.attempts, row.due) = (attempts, due);
                    }
                    Verdict::Dead { why, .. } => {
                        self.rows.remove(&id);
                        self.dead.insert(id, why);
                    }
                },
            }
        }
    }

    /// Lets time pass; false when nothing will ever happen by itself.
    fn step(&mut self) -> bool {
        let answer = self.flights.iter().map(|(at, _)| *at).min();
        let Some(next) = answer.into_iter().chain(self.dispatcher.poll_timeout()).min() else { return false };
        self.now = self.now.max(next);
        let (done, rest) = std::mem::take(&mut self.flights).into_iter().partition(|(at, _)| *at <= self.now);
        self.flights = rest;
        let mut done: Vec<(Timestamp, Pending)> = done;
        done.sort_by_key(|(at, _)| *at);
        for (_, row) in done {
            let result = if self.down.contains(&row.lane.sink) {
                Err(failure("timed out"))
            } else {
                self.arrived.entry(row.lane.clone()).or_default().push(row.id);
                Ok(())
            };
            self.dispatcher.handle_result(&row.lane, result, self.now);
        }
        self.dispatcher.handle_timeout(self.now);
        self.settle();
        true
    }

    fn until(&mut self, at: SignedDuration) {
        let at = later(START, at);
        while self.now < at && self.step() {}
        self.now = self.now.max(at);
    }

    /// The process dies. Of what was under way, some had arrived, and nobody knows which.
    fn kill(&mut self) {
        for (_, row) in std::mem::take(&mut self.flights) {
            if self.random.bool() && !self.down.contains(&row.lane.sink) {
                self.arrived.entry(row.lane.clone()).or_default().push(row.id);
            }
        }
        self.dispatcher = Dispatcher::new(self.random.u64(..));
        self.settle();
    }

    /// What arrived in a lane, without what its consumer had seen before.
    fn first_arrivals(&self, lane: &Lane) -> Vec<i64> {
        let mut seen = BTreeSet::new();
        self.arrived.get(lane).into_iter().flatten().copied().filter(|id| seen.insert(*id)).collect()
    }
}

#[test]
fn no_event_is_lost_or_out_of_order_over_outages_and_kills() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        let mut expected: HashMap<Lane, Vec<i64>> = HashMap::new();
        for _ in 0..600 {
            match world.random.u32(0..100) {
                0 => world.kill(),
                1 => drop(world.down.insert("a".into())),
                2 | 3 => world.down.clear(),
                4..30 => {
                    world.step();
                }
                _ => {
                    let sink = *world.random.choice(["a", "b", "c"].iter()).unwrap();
                    let lane = lane(sink, world.random.usize(0..7));
                    let id = world.commit(lane.clone());
                    expected.entry(lane).or_default().push(id);
                }
            }
        }
        world.down.clear();
        while world.step() {}
        assert!(world.rows.is_empty() && world.dead.is_empty(), "seed {seed}");
        for (lane, ids) in &expected {
            assert_eq!(&world.first_arrivals(lane), ids, "seed {seed}, {lane:?}");
        }
        assert_eq!(world.dispatcher.lanes.len(), 0, "seed {seed}");
        assert!(world.dispatcher.sinks.is_empty(), "seed {seed}");
        assert_eq!((world.dispatcher.in_flight, world.dispatcher.failing_in_flight), (0, 0), "seed {seed}");
    }
}

#[test]
fn hanging_sinks_take_no_place_from_others() {
    let mut world = World::new(1);
    // More sinks that hang than there are places in flight.
    for number in 0..200 {
        let sink = format!("hangs{number}");
        world.down.insert(sink.clone());
        for meeting in 0..20 {
            world.commit(lane(&sink, meeting));
        }
    }
    // They have had their first failures.
    world.until(SignedDuration::from_secs(60));
    assert!(world.most_in_flight <= MOST_IN_FLIGHT);
    let begun = world.now;
    let ids: Vec<i64> = (0..50).map(|_| world.commit(lane("works", 1))).collect();
    while world.first_arrivals(&lane("works", 1)).len() < ids.len() {
        assert!(world.step());
    }
    assert_eq!(world.first_arrivals(&lane("works", 1)), ids);
    let took = world.now.duration_since(begun);
    assert!(took < SignedDuration::from_secs(2), "{took}");
}

#[test]
fn it_is_tried_less_and_less_often_for_a_day_and_given_up_then() {
    let mut world = World::new(3);
    world.down.insert("a".into());
    let first = world.commit(lane("a", 1));
    let mut attempts = Vec::new();
    while world.dead.is_empty() {
        let before = world.rows[&first].attempts;
        assert!(world.step());
        if world.rows.get(&first).is_none_or(|row| row.attempts > before) {
            attempts.push(world.now.duration_since(START).as_secs());
        }
    }
    assert_eq!(world.dead[&first], "timed out");
    // The first answer came after ten seconds; then half a second to a second more.
    assert!((20..=21).contains(&attempts[1]), "{attempts:?}");
    let pauses: Vec<i64> = attempts.windows(2).map(|pair| pair[1] - pair[0] - 10).collect();
    assert!(pauses.iter().all(|pause| *pause <= 300), "{pauses:?}");
    assert!(pauses[20..pauses.len() - 1].iter().all(|pause| *pause >= 150), "{pauses:?}");
    let gave_up = attempts.last().copied().unwrap();
    assert!((86_400..86_420).contains(&gave_up), "{gave_up}");
    // What comes after it goes.
    world.down.clear();
    let second = world.commit(lane("a", 1));
    while world.step() {}
    assert_eq!(world.first_arrivals(&lane("a", 1)), [second]);
    // And what was given up, when an operator says so.
    let row = Pending {
        id: first,
        sequence: first,
        lane: lane("a", 1),
        attempts: 0,
        since: world.now,
        due: world.now,
    };
    world.rows.insert(first, row);
    world.dispatcher.handle_replay();
    world.settle();
    while world.step() {}
    assert_eq!(world.first_arrivals(&lane("a", 1)), [second, first]);
}

#[test]
fn what_cannot_get_better_is_given_up_at_once() {
    let mut world = World::new(4);
    let id = world.commit(lane("a", 1));
    let (_, row) = world.flights.pop().unwrap();
    let failure = Failure { why: "not allowed".into(), for_good: true };
    world.dispatcher.handle_result(&row.lane, Err(failure), world.now);
    world.settle();
    assert_eq!(world.dead[&id], "not allowed");
    assert_eq!(world.dispatcher.lanes.len(), 0);
}

#[test]
fn a_sink_that_comes_back_is_served_at_once() {
    let mut world = World::new(5);
    world.down.insert("a".into());
    for meeting in 0..300 {
        world.commit(lane("a", meeting));
    }
    world.until(SignedDuration::from_secs(3_600));
    world.down.clear();
    let begun = world.now;
    while !world.rows.is_empty() {
        assert!(world.step());
    }
    // One attempt at a time while it fails: the next comes soon, and then all go.
    let took = world.now.duration_since(begun);
    assert!(took < SignedDuration::from_secs(20), "{took}");
}

#[test]
fn memory_is_bounded_and_what_stays_in_the_store_goes_too() {
    let mut world = World::new(6);
    world.down.insert("a".into());
    for meeting in 0..MOST_LANES + 500 {
        world.commit(lane("a", meeting));
    }
    for _ in 0..10 * WINDOW {
        world.commit(lane("a", 1));
    }
    assert!(world.dispatcher.lanes.len() <= MOST_LANES);
    let longest = world.dispatcher.lanes.values().map(|queue| queue.rows.len()).max();
    assert_eq!(longest, Some(WINDOW));
    world.down.clear();
    while !world.rows.is_empty() {
        assert!(world.step());
    }
    let mut expected: Vec<i64> =
        (0..10 * WINDOW).map(|n| i64::try_from(MOST_LANES + 501 + n).unwrap()).collect();
    expected.insert(0, 2);
    assert_eq!(world.first_arrivals(&lane("a", 1)), expected);
}
