//! What code can do.

use super::{job, run, sandbox};
use serde_json::{Value, json};
use tutti_sandbox::{Job, Stopped};

#[tokio::test]
async fn the_last_expression_is_the_output() {
    let code = "import json, re, math\n\
        words = re.findall(r'\\w+', inputs['text'])\n\
        print(len(words), 'words')\n\
        {'longest': max(words, key=len), 'root': math.sqrt(inputs['n']), 'pairs': {w: len(w) for w in words}}";
    let inputs = json!({"text": "one three", "n": 16});
    let done = sandbox().run(Job { inputs, ..job(code) }).await.unwrap();
    assert_eq!(done.output, json!({"longest": "three", "root": 4.0, "pairs": {"one": 3, "three": 5}}));
    assert_eq!(done.printed, "2 words\n");
    assert_eq!(run("x = 1").await.unwrap().output, Value::Null);
    assert_eq!(run("10 ** 30").await.unwrap().output, json!("1000000000000000000000000000000"));
}

#[tokio::test]
async fn what_is_wrong_with_the_code_says_where() {
    let Err(Stopped::Syntax { line, message }) = run("a = 1\nb = = 2").await else { panic!() };
    assert!(line == 2 && message.contains("SyntaxError"), "{line}: {message}");
    let wrong = run("def f(n):\n    return 1 / n\nprint('so far')\nf(0)").await.unwrap_err().to_string();
    for part in [
        "printed before that:\nso far",
        "File \"code.py\", line 4, in <module>",
        "line 2, in f",
        "ZeroDivisionError: division by zero",
    ] {
        assert!(wrong.contains(part), "{wrong}");
    }
    let Err(Stopped::Exception { message, .. }) = run("raise MemoryError('mine')").await else { panic!() };
    assert_eq!(message, "MemoryError: mine");
    assert!(matches!(run("a = []\na.append(a)\na").await, Err(Stopped::Value { .. })));
    let long = run("raise ValueError('x' * 100_000)").await.unwrap_err().to_string();
    assert!(long.len() < 10_000 && long.ends_with('x'), "{}", long.len());
}

#[tokio::test]
async fn a_job_that_is_too_large_is_not_started() {
    let large = Job { inputs: json!("x".repeat(9 << 20)), ..job("1") };
    assert!(matches!(sandbox().run(large).await, Err(Stopped::NotAvailable { .. })));
}
