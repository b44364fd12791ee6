use super::*;
use futures_util::FutureExt;
use tutti_engine::conformance::bus;

fn core() -> Arc<Core> {
    let health = Arc::new(Health::new("the air".into(), "nobody hears", &["air"]));
    health.set("air", Ok(()));
    Core::new(health)
}

/// Carries what one says to the other.
async fn carry(from: Arc<Core>, to: Arc<Core>) {
    let mut outgoing = Outgoing::of(&from);
    loop {
        for text in outgoing.next().await {
            assert!(text.len() <= TEXT_MAX);
            assert!(!to.hear(&text));
            assert!(from.hear(&text), "who says it hears it, too, and knows it");
        }
    }
}

fn pair() -> [Hub; 2] {
    let (a, b) = (core(), core());
    let there = tokio::spawn(carry(Arc::clone(&a), Arc::clone(&b))).abort_handle();
    let back = tokio::spawn(carry(Arc::clone(&b), Arc::clone(&a))).abort_handle();
    [Hub::new(a, vec![there]), Hub::new(b, vec![back])]
}

#[tokio::test]
async fn two_hubs_in_one_process_keep_the_contract() {
    let mut failed = Vec::new();
    for case in bus::cases() {
        let [a, b] = pair();
        let ran = tokio::time::timeout(Duration::from_secs(30), case.run([Arc::new(a), Arc::new(b)])).await;
        failed.extend(ran.unwrap_or_else(|_| Err(format!("{}: did not end", case.name))).err());
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

#[tokio::test]
async fn the_first_word_goes_at_once_and_the_next_are_gathered() {
    let hub = Hub::new(core(), Vec::new());
    let mut outgoing = Outgoing::of(&hub.core);
    hub.wake(RunNo(1), 1);
    let first = outgoing.next().now_or_never().expect("after a silence nothing is waited for");
    let before = Instant::now();
    assert!(first[0].ends_with(" w1.1"));
    hub.wake(RunNo(1), 2);
    hub.wake(RunNo(1), 7);
    hub.wake(RunNo(1), 5);
    hub.wake(RunNo(2), ENDED);
    hub.call(Call::Mail(RunNo(3)));
    hub.call(Call::Mail(RunNo(3)));
    hub.call(Call::Look);
    let second = outgoing.next().await;
    assert!(before.elapsed() + Duration::from_millis(1) >= GATHER, "{:?}", before.elapsed());
    assert_eq!(second.len(), 1);
    let (id, words) = second[0].split_once(' ').unwrap();
    assert_eq!((id.len(), words), (16, "m3 l w1.7 e2"));
    assert!(outgoing.next().now_or_never().is_none());
}

#[tokio::test]
async fn closing_waits_until_all_has_left() {
    let [a, b] = pair();
    a.call(Call::Look);
    a.close().await;
    assert_eq!(b.calls().now_or_never(), Some(vec![Call::Look]));
}

#[tokio::test]
async fn closing_does_not_wait_for_ever() {
    let hub = Hub::new(core(), Vec::new());
    hub.call(Call::Look);
    hub.close().await;
    hub.core.health.set("air", Err("gone".into()));
    hub.close().await;
}

#[test]
fn strange_texts_do_no_harm() {
    let core = core();
    for text in ["", " ", "x", "0 q7 w w1 w1. w.1 wx.1 m mx e é 5", "zz m1", "1  m", "\u{1F980} l"] {
        assert!(!core.hear(text));
    }
    // What is known beside what is not is heard.
    core.hear("7 q9 m5 zzz");
    assert_eq!(core.calls().now_or_never().unwrap(), [Call::Mail(RunNo(1)), Call::Mail(RunNo(5)), Call::Look]);
}

#[test]
fn what_nobody_asks_for_is_bounded() {
    let core = core();
    for run in 0..200_000 {
        core.hear(&format!("7 m{run}"));
    }
    let heard = core.calls().now_or_never().unwrap();
    assert!(heard.len() <= HEARD_MAX + 1 && heard.contains(&Call::Look));
}
