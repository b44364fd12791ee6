//! The binary as a worker of the sandbox, and the tool that sends it code.

use crate::tutti::Tutti;
use serde_json::json;
use tutti_agents::form::{Errors, Form};
use tutti_agents::tool::code::{self, Code, Runner};
use tutti_sandbox::{Limits, Sandbox, worker};

fn tool(config: &serde_json::Value) -> Code {
    let errors = Errors::default();
    let read = Form::body(config, &errors).and_then(|form| Code::read(&form));
    errors.or(read).unwrap()
}

#[tokio::test]
async fn a_tool_runs_code_in_workers_that_are_this_binary() {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_tutti").into(), &[worker::COMMAND], 2);
    code::install(Some(Runner { sandbox, most: Limits::default() }));
    let fixed = tool(&json!({"language": "python", "code": "print('hello')\n{'sum': sum(inputs['numbers'])}"}));
    let done = fixed.run(&json!({"numbers": [1, 2, 3]})).await.unwrap();
    assert_eq!(done, json!({"output": {"sum": 6}, "printed": "hello\n"}));

    let free = tool(&json!({"language": "python", "limits": {"timeout_seconds": 0.2}}));
    let done = free.run(&json!({"code": "inputs[::-1]", "inputs": "abc"})).await.unwrap();
    assert_eq!(done["output"], "cba");
    let late = free.run(&json!({"code": "while True: pass"})).await.unwrap_err();
    assert!(late.message.contains("longer than 200 ms") && !late.is_retryable(), "{late}");
    let refused = free.run(&json!({"code": "import os\nos.environ['PATH']"})).await.unwrap_err();
    assert!(refused.message.contains("no environment"), "{refused}");
    let greedy = free.run(&json!({"code": "x = []\nwhile True: x.append('x' * 10_000)"})).await.unwrap_err();
    assert!(greedy.message.contains("bytes of memory") || greedy.message.contains("200 ms"), "{greedy}");
}

#[test]
fn a_worker_without_a_job_ends_and_is_no_command_for_people() {
    let done = Tutti::new().run(&[worker::COMMAND]);
    assert!(done.code == 0 && done.out.contains("no job"), "{done:?}");
    assert!(!Tutti::new().run(&["--help"]).out.contains(worker::COMMAND));
}
