//! Code that goes too far, each in its own way.

use super::{LIMITS, job, run, sandbox};
use std::time::{Duration, Instant};
use tutti_sandbox::{Job, Limits, Stopped};

#[tokio::test]
async fn what_does_not_end_is_ended_at_its_limit() {
    let limits = Limits { time: Duration::from_millis(300), ..LIMITS };
    let endless = [
        "while True: pass",
        "sum(range(10 ** 15))",
        "def f():\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\nf()",
        "s = ''\nwhile True: s = (s + 'x')[-10:]",
        "[x for x in range(10 ** 12) if x < 0]",
        "max(range(10 ** 14))",
    ];
    for code in endless {
        let began = Instant::now();
        let outcome = sandbox().run(Job { limits, ..job(code) }).await;
        assert_eq!(outcome, Err(Stopped::Time { limit_ms: 300 }), "{code}");
        assert!(began.elapsed() < limits.time + Duration::from_secs(2), "{code}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn what_takes_memory_is_stopped_whether_at_once_or_in_small_steps() {
    let greedy = [
        "x = 'a' * 10 ** 10",
        "x = [0] * 10 ** 9",
        "x = 2 ** 50_000_000_000",
        "x = 1 << 10 ** 12",
        "x = bytes(10 ** 10)",
        "x = 'a'.ljust(10 ** 10)",
        "x = list(range(10 ** 9))",
        "x = []\nwhile True: x.append('x' * 1000)",
        "x = {}\ni = 0\nwhile True:\n    x[i] = str(i)\n    i += 1",
        "x = 'ab'\nwhile True: x = x + x",
        "x = []\nwhile True: x = [x, x, list(range(100))]",
        "class A: pass\nx = []\nwhile True:\n    a = A()\n    a.x = 'x' * 100\n    x.append(a)",
        "def f(x):\n    try:\n        while True: x.append('x' * 100_000)\n    except BaseException: pass\nf([])\nf([])",
    ];
    for code in greedy {
        let outcome = run(code).await;
        assert_eq!(outcome, Err(Stopped::Memory { limit_bytes: LIMITS.memory_bytes }), "{code}");
    }
}

#[tokio::test]
async fn what_says_too_much_is_stopped() {
    let talkative = [
        "while True: print('x' * 100)",
        "print('x' * 1_000_000)",
        "print('x' * 10_000)\n'y' * 10_000",
        "'\\0' * 100_000",
        "while True:\n    try: print('x' * 1000)\n    except BaseException: pass",
    ];
    for code in talkative {
        assert_eq!(run(code).await, Err(Stopped::Output { limit_bytes: LIMITS.output_bytes }), "{code}");
    }
    let most = "'x' * 16_000";
    assert!(run(most).await.is_ok());
}

#[tokio::test]
async fn what_is_nested_too_deep_is_refused_in_words() {
    let deep = [
        "def f(n): return f(n + 1)\nf(0)".to_owned(),
        "f = lambda n: sorted([n], key=lambda _: f(n + 1))\nf(0)".into(),
        "a = []\nfor _ in range(200_000): a = [a]\na".into(),
        "(".repeat(100_000),
        "-".repeat(100_000) + "1",
        "[".repeat(5_000) + &"]".repeat(5_000),
        "if 1:\n ".to_owned() + &"not ".repeat(50_000) + "1",
        "import json\njson.loads('[' * 100_000)".into(),
        "import re\nre.match('(' * 50_000, 'x')".into(),
    ];
    for code in deep {
        let outcome = run(&code).await;
        let shown: String = code.chars().take(60).collect();
        assert!(!matches!(outcome, Ok(_) | Err(Stopped::NotAvailable { .. })), "{shown}: {outcome:?}");
    }
    // Shown up to a depth.
    assert!(run("a = []\nfor _ in range(200_000): a = [a]\nlen(str(a)) < 10_000").await.unwrap().output == true);
}
