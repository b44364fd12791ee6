use super::*;
use serde_json::json;

const COLUMNS: usize = 72;

/// The events of a recorded run.
fn recorded(name: &str) -> Vec<Event> {
    let path = format!("{}/tests/it/recorded/{name}.sse", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let read = |block: &str| {
        let line = |name: &str| block.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
        let data = serde_json::from_str(line("data:")?).unwrap();
        Some(Event { seq: line("id:")?.parse().ok(), kind: line("event:")?.to_owned(), data })
    };
    text.split("\n\n").filter_map(read).collect()
}

/// What was told for good, and the members below it after each event but words.
fn frames(events: &[Event]) -> String {
    let mut board = Board::new(Paint::PLAIN, Some(COLUMNS));
    let mut out = String::new();
    let mut before = Vec::new();
    for event in events {
        let told = board.tell(event);
        let lines = board.lines(0, COLUMNS);
        if event.is_end() || (event.kind != "agent.delta" && lines != before) {
            out.push_str(&format!("--- {} {}\n", event.seq.unwrap_or(0), event.kind));
            lines.iter().for_each(|line| out.push_str(&format!("{line}\n")));
            before = lines;
        }
        out.push_str(&told);
    }
    out
}

#[test]
fn recorded_runs_are_drawn_as_written() {
    for name in ["sequential", "concurrent", "handoff", "person", "dynamic", "group_chat"] {
        let now = frames(&recorded(name));
        let path = format!("{}/tests/it/recorded/{name}.board.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(expected == now, "{path} is stale; UPDATE=1 cargo test -p tutti writes it anew. Now:\n{now}");
    }
}

fn event(kind: &str, data: Value) -> Event {
    Event { seq: None, kind: kind.into(), data }
}

fn board(events: &[(&str, Value)]) -> Board {
    let mut board = Board::new(Paint::PLAIN, Some(COLUMNS));
    events.iter().for_each(|(kind, data)| drop(board.tell(&event(kind, data.clone()))));
    board
}

const T0: &str = "2026-01-01T00:00:00Z";

#[test]
fn time_runs_between_events_and_the_end_of_a_text_is_shown() {
    let long = "one two three four five six seven eight nine ten";
    let board = board(&[
        (
            "run.queued",
            json!({"at": T0, "run_id": "r", "workflow": "w", "input": {"agents": ["a", {"name": "long one"}]}}),
        ),
        ("agent.started", json!({"at": T0, "key": "m[a]/ask", "agent": "a"})),
        ("agent.started", json!({"at": T0, "key": "m[b]/ask"})),
        ("agent.delta", json!({"at": T0, "key": "m[b]/ask", "text": long})),
    ]);
    let lines = board.lines(2_500, 44);
    assert_eq!(
        lines,
        ["◌ a         thinking · 2.5 s", "○ long one  waiting", "▸ b         writing · 2.5 s · …ight nine ten"]
    );
    assert!(lines.iter().all(|line| columns(line) <= 44));
    assert!(board.lines(0, 3).iter().all(|line| !line.is_empty()), "a tiny terminal is no panic");
}

#[test]
fn who_is_asked_waits_until_it_is_decided() {
    let of = |id: &str, request: Value| ("approval.requested", json!({"approval_id": id, "request": request}));
    let queued = ("run.queued", json!({"run_id": "r"}));
    let mut board = board(&[queued, of("b", json!({"agent": "boss"})), of("pay", json!({"amount": 5}))]);
    let of_pay = "? a person is asked; waits for a decision on pay";
    assert_eq!(board.lines(0, 80), ["? boss  is asked; waits for an answer", of_pay]);
    board.tell(&event("approval.decided", json!({"approval_id": "b", "decision": "approve"})));
    assert_eq!(board.lines(0, 80), ["✔ boss  done", of_pay]);
    let told = board.tell(&event(
        "approval.requested",
        json!({"approval_id": "it's", "request": {"act": "pay", "wants": "answer"}}),
    ));
    let command = r"tutti runs approve r 'it'\''s' --input TEXT   (or: tutti runs reject)";
    assert_eq!(told, format!("? a person is asked: pay\n  {command}\n"));
}

#[test]
fn a_tool_is_used_by_whose_step_stands_beside_it() {
    let mut board = board(&[
        ("agent.started", json!({"at": T0, "key": "turn[1]/ask", "agent": "a"})),
        ("agent.started", json!({"at": T0, "key": "turn[2]/ask", "agent": "b"})),
        ("tool.called", json!({"at": T0, "key": "turn[1]/tool", "tool": "calculate"})),
        ("step.cancelled", json!({"at": T0, "key": "turn[2]/ask"})),
    ]);
    assert_eq!(board.lines(0, 80), ["⚙ a  uses calculate", "○ b  given up: no longer needed"]);
    board.tell(&event("run.cancelled", json!({})));
    assert_eq!(board.lines(0, 80)[1], "○ b  given up: no longer needed");
}

#[test]
fn hostile_words_cannot_drive_the_terminal() {
    let board = board(&[
        ("agent.started", json!({"at": T0, "key": "k", "agent": "a\u{1b}[2J"})),
        ("agent.delta", json!({"at": T0, "key": "k", "text": "x\u{1b}[2Jy\nz"})),
    ]);
    assert_eq!(board.lines(0, 80), ["▸ a\u{fffd}[2J  writing · 0 ms · x\u{fffd}[2Jy z"]);
}

#[test]
fn a_drawing_goes_over_the_one_before() {
    let mut live = Live::new(Board::new(Paint::PLAIN, None));
    let size = (80, 24);
    let queued = json!({"run_id": "r", "workflow": "w", "input": {"agents": ["a", "b", "c"]}});
    assert_eq!(live.tell(&event("run.queued", queued), size), "run r · w\n○ a  waiting\n○ b  waiting\n○ c  waiting\n");
    let handoff = json!({"from": "a", "to": "b"});
    let drawn = live.tell(&event("handoff", handoff), size);
    assert!(drawn.starts_with("\x1b[3A\r\x1b[J→ a hands over to b\n○ a  waiting\n"), "{drawn:?}");
    assert_eq!(live.tick((80, 4)), "\x1b[3A\r\x1b[J○ a  waiting\n  and 2 more\n");
    assert_eq!(live.tell(&event("agent.delta", json!({"key": "k", "agent": "a", "text": "x"})), size), "");
    live.pause();
    let end = live.tell(&event("run.failed", json!({"error": {"message": "no"}})), (80, 4));
    assert_eq!(end, "○ a  did not finish\n○ b  was not asked\n○ c  was not asked\n✗ failed: no\n");
}
