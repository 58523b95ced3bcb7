//! What a step costs, and where memory goes.

use crate::libraries::{Counters, contexts, counters, isolated, limit_memory};
use crate::plan::{Collected, Plan, generate, greedy, rows};
use inferhost_plugin_api::{ErrorKind, OpenSession, Rows};
use serde_json::json;

/// What each step of a greedy call has cost, the prefill left out.
fn steps(session: &mut OpenSession, rows: &[Vec<u32>]) -> Vec<Counters> {
    let mut seen = Vec::new();
    let mut look = || seen.push(counters());
    let mut sink = Collected(vec![Vec::new(); rows.len()], &mut look);
    session.generate(Rows::new(rows).batch(), &greedy(9), &mut sink).unwrap();
    let cost = |pair: &[Counters]| Counters {
        device_allocations: pair[1].device_allocations - pair[0].device_allocations,
        pinned_allocations: pair[1].pinned_allocations - pair[0].pinned_allocations,
        device_bytes: pair[1].device_bytes - pair[0].device_bytes,
        synchronisations: pair[1].synchronisations - pair[0].synchronisations,
        uploads: pair[1].uploads - pair[0].uploads,
        uploaded_bytes: pair[1].uploaded_bytes - pair[0].uploaded_bytes,
        downloads: pair[1].downloads - pair[0].downloads,
        downloaded_bytes: pair[1].downloaded_bytes - pair[0].downloaded_bytes,
        launches: pair[1].launches - pair[0].launches,
        graph_launches: pair[1].graph_launches - pair[0].graph_launches,
        captures: pair[1].captures - pair[0].captures,
    };
    seen.windows(2).map(cost).collect()
}

#[test]
fn a_step_waits_once_and_brings_one_token_a_row() {
    isolated("memory::a_step_waits_once_and_brings_one_token_a_row", || {
        let rows = rows(&[5, 3, 5], 1);
        let once =
            Counters { synchronisations: 1, downloads: 1, downloaded_bytes: 12, ..Counters::default() };
        let mut plain = Plan::default().open(json!({"cuda_graph": false}));
        for _ in 0..2 {
            assert_eq!(steps(&mut plain, &rows), [Counters { launches: 1, ..once }; 8]);
        }
        drop(plain);
        let mut captured = Plan::default().open(json!({}));
        // A step that is captured is launched, and recorded; it allocates nothing itself.
        assert_eq!(steps(&mut captured, &rows), [Counters { launches: 2, captures: 1, ..once }; 8]);
        for _ in 0..2 {
            assert_eq!(steps(&mut captured, &rows), [Counters { graph_launches: 1, ..once }; 8]);
        }
    });
}

#[test]
fn a_repeated_call_allocates_nothing() {
    isolated("memory::a_repeated_call_allocates_nothing", || {
        let mut session = Plan::default().open(json!({}));
        let allocated = || (counters().device_allocations, counters().pinned_allocations);
        generate(&mut session, &rows(&[5, 9], 1), &greedy(6)).unwrap();
        let before = allocated();
        for lengths in [[5, 9], [9, 9], [2, 3], [1, 9]] {
            generate(&mut session, &rows(&lengths, 2), &greedy(6)).unwrap();
        }
        assert_eq!(allocated(), before);
    });
}

#[test]
fn a_session_leaves_nothing() {
    isolated("memory::a_session_leaves_nothing", || {
        for _ in 0..3 {
            let mut session = Plan::default().open(json!({}));
            generate(&mut session, &rows(&[5, 9], 1), &greedy(6)).unwrap();
            assert!(counters().device_bytes > 0 && contexts() > 1);
            drop(session);
            assert_eq!((counters().device_bytes, contexts()), (0, 0));
        }
    });
}

#[test]
fn a_call_for_which_there_is_no_memory_leaves_room_for_the_next() {
    isolated("memory::a_call_for_which_there_is_no_memory_leaves_room_for_the_next", || {
        let plan = Plan::default();
        let mut session = plan.open(json!({}));
        let small = rows(&[4], 1);
        let expected = plan.model.generate(&small, &greedy(6));
        assert_eq!(generate(&mut session, &small, &greedy(6)).unwrap(), expected);
        limit_memory(usize::try_from(counters().device_bytes).unwrap() + 1000);
        let large = rows(&[12, 12, 12, 12], 1);
        let error = generate(&mut session, &large, &greedy(20)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::OutOfMemory, "{}", error.message);
        assert!(error.message.contains("bytes on the device"), "{}", error.message);
        for _ in 0..2 {
            assert_eq!(generate(&mut session, &small, &greedy(6)).unwrap(), expected);
        }
        limit_memory(usize::MAX);
        assert_eq!(
            generate(&mut session, &large, &greedy(20)).unwrap(),
            plan.model.generate(&large, &greedy(20))
        );
        limit_memory(10_000);
        let error = plan.folder();
        let error = crate::plan::open(&error, json!({})).err().unwrap();
        assert_eq!(error.kind, ErrorKind::OutOfMemory, "{}", error.message);
    });
}
