//! The core by itself: one input at a time.

use crate::activities::registry;
use bytes::Bytes;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tutti_engine::event::Kind;
use tutti_engine::journal::body::{Inbox, Signal};
use tutti_engine::journal::decode_part;
use tutti_engine::memory::store::Disk;
use tutti_engine::ports::store::InboxItem;
use tutti_engine::run::{RunId, RunNo, Submit, Time};
use tutti_engine::shard::core::{Core, CoreOptions};
use tutti_engine::shard::wire::{Adopt, Input, Start};

/// A run that is offered although its shard holds it was offered because of a message: the message is taken.
#[test]
fn a_held_run_that_is_offered_takes_its_messages() {
    let next = Cell::new(2);
    let numbers = Rc::new(move || RunNo(next.replace(next.get() + 1)));
    let options = CoreOptions { park_after: Duration::from_secs(1_000_000), ..CoreOptions::default() };
    let mut core = Core::new(registry(), options, numbers);
    let (mut disk, now, run) = (Disk::default(), Time(1_700_000_000_000), RunNo(1));
    let submit = Submit::new("patient", Bytes::from_static(b"null"));
    let start = Start { run, id: RunId::new(now, [1; 10]), version: 1, submit, defer: false, ahead: Vec::new() };
    core.handle(Input::Start(Box::new(start)), now);
    let mut settle = |core: &mut Core| {
        while let Some(batch) = core.flush() {
            disk.submit(batch.no, batch.transitions);
            let (no, receipts) = disk.commit().unwrap();
            core.handle(Input::Receipts(no, receipts), now);
        }
        let rows = disk.journal(run, 0);
        let frames = rows.iter().flat_map(|r| decode_part(r.at, r.first, r.last - r.first + 1, &r.body).unwrap());
        (disk.run(run).cloned().unwrap(), rows.clone(), frames.map(|f| f.kind).collect::<Vec<_>>())
    };
    let (row, rows, _) = settle(&mut core);
    assert!(core.holds(run), "it waits in memory");
    let payload = serde_json::value::to_raw_value("hello").unwrap();
    let body = serde_json::to_vec(&Signal { name: "word".into(), payload }).unwrap();
    let item = InboxItem { run, dedup: "signal:word:1".into(), kind: Inbox::Signal as u8, body: body.into() };
    for _ in 0..2 {
        let adopt = Adopt {
            row: row.clone(),
            rows: rows.clone(),
            blobs: Vec::new(),
            inbox: vec![item.clone()],
            recalled: None,
        };
        core.handle(Input::Adopt(Box::new(adopt)), now);
    }
    let (_, _, kinds) = settle(&mut core);
    assert_eq!(kinds.iter().filter(|k| **k == Kind::SignalReceived).count(), 1, "{kinds:?}");
    assert!(kinds.contains(&Kind::ApprovalRequested), "the workflow went on: {kinds:?}");
}
