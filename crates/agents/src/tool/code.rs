//! `code`: Python, run in a process of its own that can compute and nothing else. Off unless the operator says otherwise.
//!
//! Either the definition holds the code, and a call's arguments are its `inputs`; or the model writes it, and says
//! `{code, inputs?}`.

use super::CLASS;
use crate::form::Form;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tutti_engine::activity::ActivityError;
use tutti_sandbox::{Job, Limits, Sandbox, Stopped};

/// Most bytes that a call may print and give back: a tool's result is bounded as JSON, where text is longer.
pub const OUTPUT_BYTES_MAX: usize = 32 * 1024;
const CODE_CHARS_MAX: usize = 100_000;
const MEMORY_BYTES_MIN: i64 = 8 << 20;
const SECONDS_MAX: u32 = 300;
/// What to do where it is off.
const OFF: &str = "this server runs no code; its operator allows it with CODE_ENABLED=true";

/// Who runs code in this process.
#[derive(Debug, Clone)]
pub struct Runner {
    /// Where.
    pub sandbox: Sandbox,
    /// How far a call may go at most.
    pub most: Limits,
}

static INSTALLED: RwLock<Option<Arc<Runner>>> = RwLock::new(None);

/// Makes it the process's; none where code is not run.
pub fn install(runner: Option<Runner>) {
    *INSTALLED.write().unwrap_or_else(PoisonError::into_inner) = runner.map(Arc::new);
}

fn installed() -> Option<Arc<Runner>> {
    INSTALLED.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The config of a tool of this kind. Stored: fields are only ever added, with defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// What is run; where there is none, the model gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// How long a call may run, in milliseconds, within what the operator allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    /// How many bytes of memory it may take, within what the operator allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<usize>,
}

impl Code {
    /// Reads `{language, code?, limits?: {timeout_seconds?, memory_bytes?}}`. Where code is not run, none is registered.
    #[must_use]
    pub fn read(form: &Form<'_>) -> Option<Self> {
        let language = form.field("language").required();
        let is_known = language.choice(&[("python", ())]);
        if is_known.is_some() && installed().is_none() {
            language.fail(OFF);
        }
        let code = form.field("code").text(CODE_CHARS_MAX).map(String::from);
        let limits = form.field("limits").form();
        let (timeout_ms, memory_bytes) = limits.map_or((None, None), |form| {
            let timeout_ms = form.field("timeout_seconds").seconds(SECONDS_MAX);
            let memory = form.field("memory_bytes").integer(MEMORY_BYTES_MIN, i64::from(u32::MAX));
            form.no_others();
            (timeout_ms, memory.and_then(|bytes| usize::try_from(bytes).ok()))
        });
        form.no_others();
        is_known.map(|()| Self { code, timeout_ms, memory_bytes })
    }

    /// The config as it is shown.
    #[must_use]
    pub fn view(&self) -> Value {
        let mut view = json!({"language": "python"});
        if let Some(code) = &self.code {
            view["code"] = json!(code);
        }
        if let Some(ms) = self.timeout_ms {
            #[expect(clippy::cast_precision_loss, reason = "at most 300 000")]
            let seconds = ms as f64 / 1_000.0;
            view["limits"]["timeout_seconds"] = json!(seconds);
        }
        if let Some(bytes) = self.memory_bytes {
            view["limits"]["memory_bytes"] = json!(bytes);
        }
        view
    }

    /// JSON Schema of the arguments, where the model writes the code.
    #[must_use]
    pub fn parameters() -> Value {
        json!({
            "type": "object",
            "properties": {
                "code": {
                    "type": "string",
                    "description": "Python. The value of its last expression is the result, what it prints is given back, \
                        too. Modules: json, re, math, itertools, functools, collections, datetime, dataclasses, base64. \
                        No files, no network, no clock, no other modules."
                },
                "inputs": {"description": "Any JSON; the code finds it under the name inputs."}
            },
            "required": ["code"],
            "additionalProperties": false
        })
    }

    /// Runs it: `{output, printed}`.
    ///
    /// # Errors
    /// What the model that called it may mend, or that code is not run here.
    pub async fn run(&self, arguments: &Value) -> Result<Value, ActivityError> {
        let failed = |message: &str| ActivityError::fatal(CLASS, message);
        let Some(runner) = installed() else { return Err(failed(OFF)) };
        let (code, inputs) = match &self.code {
            Some(code) => (code.as_str(), arguments),
            None => (arguments["code"].as_str().ok_or_else(|| failed("code: field required"))?, &arguments["inputs"]),
        };
        if code.len() > CODE_CHARS_MAX {
            return Err(failed(&format!("code must have at most {CODE_CHARS_MAX} bytes")));
        }
        let job = Job { code: code.to_owned(), inputs: inputs.clone(), limits: self.limits(&runner.most) };
        match runner.sandbox.run(job).await {
            Ok(done) => Ok(json!({"output": done.output, "printed": done.printed})),
            // No process could be started, which may pass.
            Err(why @ Stopped::NotAvailable { .. }) => Err(ActivityError::retry(CLASS, why.to_string())),
            Err(why) => Err(failed(&why.to_string())),
        }
    }

    fn limits(&self, most: &Limits) -> Limits {
        Limits {
            time: self.timeout_ms.map_or(most.time, |ms| most.time.min(Duration::from_millis(ms))),
            memory_bytes: self.memory_bytes.map_or(most.memory_bytes, |bytes| most.memory_bytes.min(bytes)),
            output_bytes: most.output_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::{Errors, FieldError};

    fn read(config: &Value) -> Result<Code, Vec<FieldError>> {
        let errors = Errors::default();
        let read = Form::body(config, &errors).and_then(|form| Code::read(&form));
        errors.or(read)
    }

    /// One test, because what is installed holds for the whole process.
    #[tokio::test]
    async fn it_is_off_until_it_is_allowed_and_read_with_every_fault_at_once() {
        let config = json!({"language": "python"});
        assert!(read(&config).unwrap_err()[0].msg.contains("CODE_ENABLED=true"));
        let refused = Code::default().run(&json!({"code": "1"})).await.unwrap_err();
        assert!(refused.message.contains("CODE_ENABLED=true") && !refused.is_retryable());

        let sandbox = Sandbox::new("/does/not/exist".into(), &[], 1);
        install(Some(Runner { sandbox, most: Limits::default() }));
        let full = json!({"language": "python", "code": "inputs", "limits": {"timeout_seconds": 0.5, "memory_bytes": 16 << 20}});
        let code = read(&full).unwrap();
        assert_eq!(code.view(), full);
        assert_eq!(serde_json::from_value::<Code>(json!(code)).unwrap(), code);
        assert_eq!(read(&config).unwrap().view(), config);
        let limits = code.limits(&Limits { time: Duration::from_millis(100), ..Limits::default() });
        assert_eq!((limits.time, limits.memory_bytes), (Duration::from_millis(100), 16 << 20), "within the operator's");

        let wrong = json!({"language": "ruby", "cod": "1", "limits": {"timeout_seconds": 0, "memory": 1}});
        let wrong: Vec<_> = read(&wrong).unwrap_err().iter().map(|e| format!("{}: {}", e.path(), e.msg)).collect();
        let parts = ["\"ruby\"", "timeout_seconds must be above 0", "\"memory_bytes\"?", "\"code\"?"];
        assert!(wrong.len() == 4 && parts.iter().all(|part| wrong.iter().any(|w| w.contains(part))), "{wrong:?}");

        let missing = Code::default().run(&json!({})).await.unwrap_err();
        assert!(missing.message.contains("code") && !missing.is_retryable());
        let not_now = code.run(&json!({})).await.unwrap_err();
        assert!(not_now.is_retryable() && not_now.message.contains("cannot be run here"), "{not_now}");
        install(None);
    }
}
