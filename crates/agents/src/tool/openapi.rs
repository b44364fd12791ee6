//! `openapi`: a whole API from its document. Each operation that is chosen becomes a tool; what a call sends is made as for `http`.

mod document;
mod operation;

use super::definition::{How, Part};
use super::http::{Auth, Http, check_origin, origin, read_headers};
use super::secret::{Reader, Text};
use crate::egress::EgressPolicy;
use crate::form::{Field, Form, nearest};
use crate::yaml::yaml_to_json;
use document::Document;
use futures_util::StreamExt;
use globset::{Glob, GlobSet, GlobSetBuilder};
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tutti_engine::ports::outbound::{OutRequest, Outbound};
use url::Url;

/// Most operations of one set: more is more than a model can choose from.
const OPERATIONS_MAX: usize = 128;
const PATTERNS_MAX: usize = 256;
/// Most bytes of a document that is fetched.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// How long a document may be silent while it is fetched.
const FETCH_IDLE: Duration = Duration::from_secs(20);
const TEXT_CHARS_MAX: usize = 2_000;

/// An API, without its document: what was chosen of it stands in the set's parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenApi {
    /// Where its document is; none where it stood in the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The server that is called, in the place of the document's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Which operations, by id or glob; all where it names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<String>,
    /// Credentials by security scheme.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auth: Vec<(String, Text)>,
    /// Headers of every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Text)>,
}

/// Stands for a document that is not shown.
pub const GIVEN: &str = "given with the tool";

impl OpenApi {
    /// Reads `{document, server?, operations?, auth?, headers?}`; answers the document, too, where it stands there.
    pub fn read<'a>(
        form: &Form<'a>,
        policy: Option<&EgressPolicy>,
        reader: &mut Reader<'_>,
    ) -> Option<(Self, Option<&'a Value>)> {
        let field = form.field("document").required();
        let inline = field.value().filter(|value| value.is_object());
        let url = if inline.is_some() { None } else { field.text(TEXT_CHARS_MAX) };
        let server = form.field("server");
        let base = server.text(TEXT_CHARS_MAX);
        for (field, url) in [(&field, url), (&server, base)] {
            if let Some(Err(why)) = url.map(|url| check_origin(url, policy)) {
                field.fail(why);
            }
        }
        let mut operations = Vec::new();
        for item in form.field("operations").list(PATTERNS_MAX).iter().flat_map(|list| list.items()) {
            let Some(pattern) = item.text(200) else { continue };
            match Glob::new(pattern) {
                Ok(_) => operations.push(pattern.to_owned()),
                Err(e) => item.fail(format!("{pattern:?} is no pattern: {e}")),
            }
        }
        let mut auth = Vec::new();
        if let Some(form) = form.field("auth").form() {
            for scheme in form.keys() {
                if let Some(text) = reader.text(&form.entry(scheme), &format!("auth.{scheme}"), true) {
                    auth.push((scheme.to_owned(), text));
                }
            }
        }
        let headers = read_headers(&form.field("headers"), &BTreeSet::new(), reader);
        form.no_others();
        (inline.is_some() || url.is_some()).then(|| {
            let api = Self { document: url.map(Into::into), server: base.map(Into::into), operations, auth, headers };
            (api, inline)
        })
    }

    /// The handles of its secrets in the vault.
    pub fn handles(&self) -> impl Iterator<Item = &str> {
        self.auth.iter().chain(&self.headers).filter_map(|(_, text)| text.handle())
    }

    /// As it is shown.
    pub fn view(&self) -> Value {
        let mut view = json!({"document": self.document.as_deref().unwrap_or(GIVEN)});
        if let Some(server) = &self.server {
            view["server"] = json!(server);
        }
        if !self.operations.is_empty() {
            view["operations"] = json!(self.operations);
        }
        for (name, texts) in [("auth", &self.auth), ("headers", &self.headers)] {
            if !texts.is_empty() {
                view[name] = texts.iter().map(|(name, text)| (name.clone(), text.view())).collect();
            }
        }
        view
    }

    /// Fetches the document through the gate.
    ///
    /// # Errors
    /// In words.
    pub async fn fetch(&self, outbound: &dyn Outbound) -> Result<Value, String> {
        let url = self.document.clone().ok_or("the document was given with the tool; give it again")?;
        let request = OutRequest {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: Default::default(),
            idle: FETCH_IDLE,
            body_bytes_max: DOCUMENT_BYTES_MAX,
        };
        let read = async {
            let mut response = outbound.send(request).await.map_err(|e| e.to_string())?;
            if !(200..300).contains(&response.status) {
                return Err(format!("it answered {}", response.status));
            }
            let mut body = Vec::new();
            while let Some(piece) = response.body.next().await {
                body.extend_from_slice(&piece.map_err(|e| e.to_string())?);
            }
            Ok(body)
        };
        // A drop now and then is no silence, and would keep it open for days.
        let body = tokio::time::timeout(FETCH_IDLE * 3, read).await.map_err(|_| "it took too long".to_owned())??;
        if let Ok(value) = serde_json::from_slice(&body) {
            return Ok(value);
        }
        let text = String::from_utf8(body).map_err(|_| "it is neither JSON nor YAML".to_owned())?;
        yaml_to_json(&text).map_err(|e| format!("it is neither JSON nor YAML: {e}"))
    }

    /// The tools of a set called `set`, and a word about what was left out.
    ///
    /// # Errors
    /// All that is wrong with the document, or with what was chosen of it, in words.
    pub fn parts(
        &self,
        set: &str,
        document: &Value,
        policy: Option<&EgressPolicy>,
    ) -> Result<(Vec<Part>, Option<String>), Vec<String>> {
        let document = Document::new(document).map_err(|why| vec![why])?;
        let server = self.server(&document).map_err(|why| vec![why])?;
        if let Err(why) = check_origin(&server, policy) {
            return Err(vec![format!("its server {server} cannot be called: {why}")]);
        }
        let (auth, mut wrong) = self.schemes(&document);
        let wanted = self.wanted();
        let (mut parts, mut left_out, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        let all = document.operations();
        for (found, pattern) in self.operations.iter().map(|pattern| (matches(pattern, &all), pattern)) {
            if !found {
                let hint = nearest(pattern, all.iter().map(|op| op.id.as_str()));
                let hint = hint.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
                wrong.push(format!("no operation is called {pattern:?}{hint}"));
            }
        }
        for found in all.iter().filter(|op| wanted.as_ref().is_none_or(|set| set.is_match(&op.id))) {
            match operation::compile(&document, found, &auth) {
                Ok(Some(compiled)) => {
                    let name = super::part_name(set, &found.id, &mut names);
                    let http = Http { url: format!("{server}{}", compiled.path), ..compiled.http };
                    let http = Http { headers: [self.headers.clone(), http.headers].concat(), ..http };
                    let how = Some(How::Request(Box::new(http)));
                    let operation::Compiled { description, parameters, effect, .. } = compiled;
                    parts.push(Part { name, description, parameters, effect, how, disabled: None });
                }
                Ok(None) => left_out.push(found.id.clone()),
                Err(why) => wrong.push(format!("operation {:?}: {why}", found.id)),
            }
        }
        if parts.len() > OPERATIONS_MAX {
            let count = parts.len();
            wrong.push(format!("{count} operations are more than {OPERATIONS_MAX}; choose some with \"operations\""));
        }
        if parts.is_empty() && wrong.is_empty() {
            wrong.push("it has no operation that could be called".into());
        }
        if !wrong.is_empty() {
            wrong.truncate(20);
            return Err(wrong);
        }
        let note = (!left_out.is_empty())
            .then(|| format!("left out, since they take something else than JSON or a form: {}", left_out.join(", ")));
        Ok((parts, note))
    }

    /// The address of the server without a slash at its end.
    fn server(&self, document: &Document<'_>) -> Result<String, String> {
        let server = self.server.clone().or_else(|| document.server()).unwrap_or_else(|| "/".into());
        let is_whole = origin(&server).is_some();
        let whole = match &self.document {
            _ if is_whole => server,
            Some(base) => Url::parse(base).and_then(|base| base.join(&server)).map_err(|e| e.to_string())?.into(),
            None => return Err(format!("its server {server:?} is no whole address; name one with \"server\"")),
        };
        Ok(whole.trim_end_matches('/').to_owned())
    }

    fn wanted(&self) -> Option<GlobSet> {
        let mut set = GlobSetBuilder::new();
        for glob in self.operations.iter().filter_map(|pattern| Glob::new(pattern).ok()) {
            set.add(glob);
        }
        if self.operations.is_empty() { None } else { set.build().ok() }
    }

    /// The credentials by scheme, and the schemes that the document does not have.
    fn schemes(&self, document: &Document<'_>) -> (Vec<(String, Auth)>, Vec<String>) {
        let (mut auth, mut wrong) = (Vec::new(), Vec::new());
        for (scheme, text) in &self.auth {
            match document.place(scheme) {
                Ok(place) => auth.push((scheme.clone(), Auth { place, text: text.clone() })),
                Err(why) => wrong.push(why),
            }
        }
        (auth, wrong)
    }
}

fn matches(pattern: &str, all: &[document::Operation<'_>]) -> bool {
    let glob = Glob::new(pattern).map(|glob| glob.compile_matcher());
    glob.is_ok_and(|glob| all.iter().any(|op| glob.is_match(&op.id)))
}

/// Puts what is wrong with a document at the field that gave it.
pub(super) fn tell(field: &Field<'_, '_>, wrong: Vec<String>) {
    for why in wrong {
        field.fail(why);
    }
}

#[cfg(test)]
mod tests;
