//! `mcp`: the tools of an MCP server, over streamable HTTP or, from the operator's own file only, as a program that speaks on its
//! standard input and output. Both generations of the protocol are spoken: 2026-07-28, and 2025-11-25 with its handshake.
//!
//! What a server says of its tools reaches models, so it is pinned: a definition that changes is not called until somebody has
//! looked at it.

mod gate;
mod program;
mod session;

use super::definition::{How, Part};
use super::http::{check_origin, read_headers};
use super::secret::{Hush, Keys, Reader, Text};
use super::template;
use super::{CLASS, Called, RESULT_BYTES_MAX, answer, part_name};
use crate::egress::EgressPolicy;
use crate::form::{Field, Form};
use globset::Glob;
use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock, ResourceContents, Tool as Offered};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use session::{Open, open};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use tutti_engine::activity::{ActivityError, Effect};
use tutti_engine::ports::outbound::Outbound;

/// Most tools of one server.
const TOOLS_MAX: usize = 128;
const WORDS_MAX: usize = 64;
const TEXT_CHARS_MAX: usize = 2_000;
const DESCRIPTION_CHARS_MAX: usize = 2_000;
/// Most bytes of a tool's schema: every model call carries it.
const SCHEMA_BYTES_MAX: usize = 32 * 1024;

/// A server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Mcp {
    /// Where it listens, or what it is.
    pub at: At,
    /// Which of its tools, by name or glob; all where it names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum At {
    /// Streamable HTTP.
    Url {
        /// Its address.
        url: String,
        /// Headers of every request.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, Text)>,
    },
    /// A program of this machine.
    Program {
        /// The program and its arguments; no shell reads them.
        command: Vec<String>,
        /// All that stands in its environment, besides `PATH`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        env: Vec<(String, Text)>,
        /// Where it works.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dir: Option<PathBuf>,
    },
}

impl Mcp {
    /// Reads `{url, headers?, tools?}`, or `{command, env?, dir?, tools?}` where `policy` is none: in the operator's own file.
    pub fn read(form: &Form<'_>, policy: Option<&EgressPolicy>, reader: &mut Reader<'_>) -> Option<Self> {
        let command = form.field("command");
        let at = if command.is_present() {
            if policy.is_some() {
                command.fail("a program may only be named in the operator's own file (TOOLS_CONFIG_PATH)");
            }
            read_program(form, &command, reader)
        } else {
            let field = form.field("url").required();
            let url = field.text(TEXT_CHARS_MAX);
            if let Some(Err(why)) = url.map(|url| check_origin(url, policy)) {
                field.fail(why);
            }
            let headers = read_headers(&form.field("headers"), &BTreeSet::new(), reader);
            url.map(|url| At::Url { url: url.into(), headers })
        };
        let mut tools = Vec::new();
        for item in form.field("tools").list(TOOLS_MAX).iter().flat_map(|list| list.items()) {
            let Some(pattern) = item.text(200) else { continue };
            match Glob::new(pattern) {
                Ok(_) => tools.push(pattern.to_owned()),
                Err(e) => item.fail(format!("{pattern:?} is no pattern: {e}")),
            }
        }
        form.no_others();
        Some(Self { at: at?, tools })
    }

    fn texts(&self) -> &[(String, Text)] {
        match &self.at {
            At::Url { headers: texts, .. } | At::Program { env: texts, .. } => texts,
        }
    }

    /// The handles of its secrets in the vault.
    pub fn handles(&self) -> impl Iterator<Item = &str> {
        self.texts().iter().filter_map(|(_, text)| text.handle())
    }

    /// As it is shown.
    pub fn view(&self) -> Value {
        let texts: Map<_, _> = self.texts().iter().map(|(name, text)| (name.clone(), text.view())).collect();
        let mut view = match &self.at {
            At::Url { url, .. } => json!({"url": url, "headers": texts}),
            At::Program { command, .. } => json!({"command": command, "env": texts}),
        };
        if !self.tools.is_empty() {
            view["tools"] = json!(self.tools);
        }
        view
    }

    /// Its headers, or its environment, with their secrets.
    async fn filled(&self, keys: &Keys) -> Result<Vec<(String, String)>, String> {
        let mut filled = Vec::new();
        for (name, text) in self.texts() {
            let text = template::fill(&text.open().await?, &Value::Null, keys, |_, _| Ok(String::new()))?;
            filled.push((name.clone(), text));
        }
        Ok(filled)
    }

    /// The tools of a set called `set` as the server has them now, and a word about what was left out.
    ///
    /// # Errors
    /// In words: it cannot be reached, or has none.
    pub async fn parts(
        &self,
        set: &str,
        outbound: &Arc<dyn Outbound>,
        keys: &Keys,
    ) -> Result<(Vec<Part>, Option<String>), String> {
        let open = Box::pin(self.open(outbound, keys)).await?;
        let globs: Vec<_> = self.tools.iter().filter_map(|p| Some(Glob::new(p).ok()?.compile_matcher())).collect();
        let wanted = |name: &str| globs.is_empty() || globs.iter().any(|glob| glob.is_match(name));
        let (mut parts, mut left_out, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        for tool in open.offered.iter().filter(|tool| wanted(&tool.name)) {
            match part(set, tool, &mut names) {
                Ok(part) => parts.push(part),
                Err(why) => left_out.push(format!("{} ({why})", tool.name)),
            }
        }
        if parts.len() > TOOLS_MAX {
            return Err(format!("{} tools are more than {TOOLS_MAX}; choose some with \"tools\"", parts.len()));
        }
        if parts.is_empty() {
            let words: Vec<_> = open.offered.iter().take(20).map(|tool| tool.name.as_ref()).collect();
            return Err(format!("the server has no such tool; it has: {}", words.join(", ")));
        }
        let note = (!left_out.is_empty()).then(|| format!("left out: {}", left_out.join(", ")));
        Ok((parts, note))
    }

    async fn open(&self, outbound: &Arc<dyn Outbound>, keys: &Keys) -> Result<Arc<Open>, String> {
        let filled = self.filled(keys).await?;
        let opened = Box::pin(open(self, &filled, outbound)).await;
        let hush = Hush::new(keys, filled.into_iter().map(|(_, text)| text));
        opened.map_err(|why| format!("the server cannot be reached: {}", hush.text(&why)))
    }

    /// Calls one of its tools, whose definition had this hash when somebody looked at it.
    ///
    /// # Errors
    /// [`Changed`](Failed::Changed) where the definition is another one now.
    pub async fn call(&self, called: &Called<'_>, tool: &str, hash: &str) -> Result<Value, Failed> {
        let open = Box::pin(self.open(&called.cx.outbound, called.keys)).await;
        let open = open
            .map_err(|why| Failed::Error(ActivityError::retry(CLASS, format!("{} failed: {why}", called.service))))?;
        match open.offered.iter().find(|offered| offered.name == tool) {
            None => return Err(Failed::Changed("the server no longer has it".into())),
            Some(offered) if hash_of(offered) != hash => {
                return Err(Failed::Changed("the server has changed its definition since it was approved".into()));
            }
            Some(_) => {}
        }
        let arguments = called.arguments.as_object().cloned().unwrap_or_default();
        let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let filled = self.filled(called.keys).await.map_err(|why| Failed::Error(called.failed(&why)))?;
        let hush = Hush::new(called.keys, filled.into_iter().map(|(_, text)| text));
        let result = Box::pin(open.call(request)).await;
        let result = result.and_then(|result| read(result).map_err(|why| ActivityError::fatal(CLASS, why).sent()));
        let hidden = |e: ActivityError| called.named(ActivityError { message: hush.text(&e.message), ..e });
        let result = result.map(|value| hush.value(value)).map_err(hidden);
        result.map_err(Failed::Error)
    }
}

/// Ends every session with a server of this process, and the programs that it started.
pub fn close() {
    session::close_all();
}

/// Why a call came to nothing.
pub(super) enum Failed {
    /// The tool is not the one that somebody looked at.
    Changed(String),
    /// Anything else.
    Error(ActivityError),
}

fn read_program(form: &Form<'_>, field: &Field<'_, '_>, reader: &mut Reader<'_>) -> Option<At> {
    let mut command = Vec::new();
    let list = field.list(WORDS_MAX)?;
    for item in list.items() {
        command.extend(item.string().map(String::from));
    }
    if command.is_empty() {
        field.fail("command is a list: the program, then its arguments");
    }
    let mut env = Vec::new();
    if let Some(form) = form.field("env").form() {
        for name in form.keys() {
            if let Some(text) = reader.text(&form.entry(name), &format!("env.{name}"), true) {
                env.push((name.to_owned(), text));
            }
        }
    }
    let dir = form.field("dir").text(TEXT_CHARS_MAX).map(PathBuf::from);
    (!command.is_empty()).then_some(At::Program { command, env, dir })
}

/// A tool as the server has it now.
fn part(set: &str, tool: &Offered, names: &mut BTreeSet<String>) -> Result<Part, String> {
    let parameters = Value::Object(tool.input_schema.as_ref().clone());
    if parameters.to_string().len() > SCHEMA_BYTES_MAX {
        return Err(format!("the schema of its arguments has more than {SCHEMA_BYTES_MAX} bytes"));
    }
    jsonschema::validator_for(&parameters).map_err(|e| format!("its arguments have no usable schema: {e}"))?;
    let text = tool.description.as_deref().or(tool.title.as_deref()).unwrap_or(&tool.name);
    let hints = tool.annotations.as_ref();
    // Hints of a server that somebody approved with them; where it says nothing, the worst is taken.
    let effect = match hints.map(|hints| (hints.read_only_hint, hints.idempotent_hint)) {
        Some((Some(true), _)) => Effect::Pure,
        Some((_, Some(true))) => Effect::Idempotent,
        _ => Effect::AtMostOnce,
    };
    Ok(Part {
        name: part_name(set, &tool.name, names),
        description: text.chars().take(DESCRIPTION_CHARS_MAX).collect(),
        parameters,
        effect,
        how: Some(How::Remote { tool: tool.name.to_string(), hash: hash_of(tool) }),
        disabled: None,
    })
}

/// What a tool is pinned by: all that the server says of it, in whatever order it says it.
fn hash_of(tool: &Offered) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut names: Vec<_> = fields.keys().collect();
                names.sort();
                names.into_iter().map(|name| (name.clone(), sorted(&fields[name]))).collect::<Map<_, _>>().into()
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    let said = json!({"name": tool.name, "title": tool.title, "description": tool.description,
        "input": tool.input_schema, "output": tool.output_schema, "annotations": tool.annotations});
    Sha256::digest(sorted(&said).to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A result as data: what is structured, else its texts.
fn read(result: CallToolResult) -> Result<Value, String> {
    let texts: Vec<String> = result.content.iter().map(text_of).collect();
    let text = texts.join("\n");
    if result.is_error == Some(true) {
        return Err(if text.is_empty() {
            "the server did not say why".into()
        } else {
            text.chars().take(2_000).collect()
        });
    }
    match result.structured_content {
        Some(value) if !value.is_null() && value.to_string().len() <= RESULT_BYTES_MAX => answer::within(value),
        _ => answer::within(Value::String(text)),
    }
}

fn text_of(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[image {}, {} bytes as base64]", image.mime_type, image.data.len()),
        ContentBlock::Audio(audio) => format!("[audio {}, {} bytes as base64]", audio.mime_type, audio.data.len()),
        ContentBlock::ResourceLink(link) => format!("[resource {}]", link.uri),
        ContentBlock::Resource(resource) => match &resource.resource {
            ResourceContents::TextResourceContents { text, .. } => text.clone(),
            ResourceContents::BlobResourceContents { uri, .. } => format!("[resource {uri}]"),
            _ => "[resource]".into(),
        },
        _ => "[something else]".into(),
    }
}
