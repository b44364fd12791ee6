//! Reading JSON that a stranger wrote: every error at once, each with its path, and no coercion
//! (`"100"`, `100.0` and `true` are not integers).
//!
//! A [`Form`] is one object, a [`Field`] one of its values; both write what is wrong into [`Errors`] and answer `None`, so
//! a reader reads on and reports once.

mod nearest;

pub use nearest::nearest;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cell::RefCell;

/// One step of the path to an offending value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loc {
    /// A field's name (the first one says where: `body`, `query`, `path`, `header`).
    Field(Cow<'static, str>),
    /// An index into a list, or an offset into a text.
    Index(usize),
}

impl From<&'static str> for Loc {
    fn from(name: &'static str) -> Self {
        Self::Field(Cow::Borrowed(name))
    }
}

impl From<String> for Loc {
    fn from(name: String) -> Self {
        Self::Field(Cow::Owned(name))
    }
}

impl From<usize> for Loc {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl Serialize for Loc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Field(name) => serializer.serialize_str(name),
            Self::Index(index) => serializer.serialize_u64(*index as u64),
        }
    }
}

/// One thing that is wrong with a request, in the contract's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where.
    pub loc: Vec<Loc>,
    /// What, as a sentence.
    pub msg: String,
    /// The class, e.g. `value_error.missing`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

impl FieldError {
    /// A value that is of the right type and yet wrong.
    #[must_use]
    pub fn value(loc: Vec<Loc>, msg: impl Into<String>) -> Self {
        Self { loc, msg: msg.into(), kind: "value_error" }
    }

    /// The path for people: `options.max_parallel`, `agents[2].name`.
    #[must_use]
    pub fn path(&self) -> String {
        let mut out = String::new();
        for step in self.loc.iter().skip(1) {
            match step {
                Loc::Index(i) => out.push_str(&format!("[{i}]")),
                Loc::Field(name) => {
                    if !out.is_empty() {
                        out.push('.');
                    }
                    out.push_str(name);
                }
            }
        }
        out
    }
}

/// Where readers put what they find.
#[derive(Debug, Default)]
pub struct Errors(RefCell<Vec<FieldError>>);

impl Errors {
    /// Add one; what was said already is not said again.
    pub fn push(&self, error: FieldError) {
        let mut all = self.0.borrow_mut();
        if !all.contains(&error) {
            all.push(error);
        }
    }

    /// Whether nothing is wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// What was read, unless something was wrong.
    ///
    /// # Errors
    /// All that was found, in the order it was found.
    pub fn or<T>(self, read: Option<T>) -> Result<T, Vec<FieldError>> {
        match read {
            Some(value) if self.is_empty() => Ok(value),
            _ => Err(self.0.into_inner()),
        }
    }

    /// All that was found, in the order it was found.
    #[must_use]
    pub fn into_vec(self) -> Vec<FieldError> {
        self.0.into_inner()
    }
}

/// One JSON object being read.
pub struct Form<'a> {
    fields: &'a Map<String, Value>,
    loc: Vec<Loc>,
    errors: &'a Errors,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Form<'a> {
    /// Reads an object that stands at `loc`; anything else is an error there.
    #[must_use]
    pub fn new(value: &'a Value, loc: Vec<Loc>, errors: &'a Errors) -> Option<Self> {
        let Value::Object(fields) = value else {
            errors.push(FieldError { loc, msg: "value is not a valid dict".into(), kind: "type_error.dict" });
            return None;
        };
        Some(Self { fields, loc, errors, asked: RefCell::default() })
    }

    /// Reads a request's body.
    #[must_use]
    pub fn body(value: &'a Value, errors: &'a Errors) -> Option<Self> {
        Self::new(value, vec!["body".into()], errors)
    }

    /// One field, present or not.
    pub fn field(&self, name: &'static str) -> Field<'a, '_> {
        self.asked.borrow_mut().push(name);
        Field { value: self.fields.get(name), parent: &self.loc, name: name.into(), errors: self.errors }
    }

    /// The names that are there, for objects whose keys are data.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.fields.keys().map(String::as_str)
    }

    /// The value under a name that is data.
    pub fn entry(&self, name: &str) -> Field<'a, '_> {
        Field { value: self.fields.get(name), parent: &self.loc, name: name.to_owned().into(), errors: self.errors }
    }

    /// A field of the contract that this version cannot honour: refused when present, never silently ignored.
    pub fn not_supported(&self, name: &'static str, what: &str) {
        let field = self.field(name);
        if field.is_present() {
            field.fail(format!("{what} not supported in this version"));
        }
    }

    /// Refuses every key that was not asked for, naming the nearest one that was.
    pub fn no_others(&self) {
        let asked = self.asked.borrow();
        for key in self.fields.keys().filter(|key| !asked.contains(&key.as_str())) {
            let hint = nearest(key, asked.iter().copied()).map_or(String::new(), |k| format!("; did you mean {k:?}?"));
            let mut loc = self.loc.clone();
            loc.push(key.clone().into());
            self.errors.push(FieldError { loc, msg: format!("unknown key {key:?}{hint}"), kind: "value_error.extra" });
        }
    }

    /// The names asked for so far, sorted: what [`no_others`](Self::no_others) lets pass.
    #[must_use]
    pub fn asked(&self) -> Vec<&'static str> {
        let mut names = self.asked.borrow().clone();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Where the object stands.
    #[must_use]
    pub fn loc(&self) -> &[Loc] {
        &self.loc
    }

    /// Where errors go.
    #[must_use]
    pub fn errors(&self) -> &'a Errors {
        self.errors
    }
}

/// One value being read: a field of an object or an item of a list. An explicit `null` counts as absent, and is an error
/// where a value is required.
pub struct Field<'a, 'f> {
    value: Option<&'a Value>,
    parent: &'f [Loc],
    name: Loc,
    errors: &'a Errors,
}

impl<'a, 'f> Field<'a, 'f> {
    /// Whether there is a value.
    #[must_use]
    pub fn is_present(&self) -> bool {
        matches!(self.value, Some(v) if !v.is_null())
    }

    /// Says so when there is none.
    #[must_use]
    pub fn required(self) -> Self {
        self.require();
        self
    }

    /// Says so when there is none.
    pub fn require(&self) {
        match self.value {
            None => self.wrong("field required", "value_error.missing"),
            Some(Value::Null) => self.wrong("none is not an allowed value", "type_error.none.not_allowed"),
            Some(_) => {}
        }
    }

    /// Any value but `null`.
    #[must_use]
    pub fn value(&self) -> Option<&'a Value> {
        self.value.filter(|v| !v.is_null())
    }

    /// A text.
    #[must_use]
    pub fn string(&self) -> Option<&'a str> {
        self.typed(Value::as_str, "str type expected", "type_error.str")
    }

    /// A text with something in it, at most `chars_max` characters.
    #[must_use]
    pub fn text(&self, chars_max: usize) -> Option<&'a str> {
        let text = self.string()?;
        if text.trim().is_empty() {
            self.fail(format!("{} must not be empty", self.word()));
            return None;
        }
        if text.len() > chars_max && text.chars().count() > chars_max {
            self.fail(format!("{} must have at most {chars_max} characters", self.word()));
            return None;
        }
        Some(text)
    }

    /// A whole number from `min` to `max`.
    #[must_use]
    pub fn integer(&self, min: i64, max: i64) -> Option<i64> {
        let whole = |v: &Value| v.as_i64().or(v.as_u64().map(|_| i64::MAX));
        let number = self.typed(whole, "value is not a valid integer", "type_error.integer")?;
        if (min..=max).contains(&number) {
            return Some(number);
        }
        self.fail(format!("{} must be an integer from {min} to {max}", self.word()));
        None
    }

    /// A time in seconds, decimals allowed, above 0 and at most `max`; answered in milliseconds (at least 1).
    #[must_use]
    pub fn seconds(&self, max: u32) -> Option<u64> {
        let number = self.typed(Value::as_f64, "value is not a valid float", "type_error.float")?;
        if number > 0.0 && number <= f64::from(max) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 < number <= u32::MAX")]
            return Some(((number * 1_000.0).round() as u64).max(1));
        }
        self.fail(format!("{} must be above 0 and at most {max} seconds", self.word()));
        None
    }

    /// A number from `min` to `max`.
    #[must_use]
    pub fn number(&self, min: f64, max: f64) -> Option<f32> {
        let number = self.typed(Value::as_f64, "value is not a valid float", "type_error.float")?;
        if (min..=max).contains(&number) {
            #[expect(clippy::cast_possible_truncation, reason = "sampling settings need no more digits")]
            return Some(number as f32);
        }
        self.fail(format!("{} must be a number from {min} to {max}", self.word()));
        None
    }

    /// `true` or `false`.
    #[must_use]
    pub fn boolean(&self) -> Option<bool> {
        self.typed(Value::as_bool, "value could not be parsed to a boolean", "type_error.bool")
    }

    /// One word of a list, for what it stands for.
    #[must_use]
    pub fn choice<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let word = self.string()?;
        if let Some((_, meaning)) = words.iter().find(|(known, _)| *known == word) {
            return Some(*meaning);
        }
        let known: Vec<_> = words.iter().map(|(known, _)| *known).collect();
        self.fail(format!("{word:?} is not one of: {}", known.join(", ")));
        None
    }

    /// An object.
    #[must_use]
    pub fn form(&self) -> Option<Form<'a>> {
        Form::new(self.value()?, self.loc(), self.errors)
    }

    /// A list of at most `items_max` values.
    #[must_use]
    pub fn list(&self, items_max: usize) -> Option<List<'a>> {
        let items = self.typed(Value::as_array, "value is not a valid list", "type_error.list")?;
        if items.len() > items_max {
            self.fail(format!("{} must have at most {items_max} items", self.word()));
            return None;
        }
        Some(List { items, loc: self.loc(), errors: self.errors })
    }

    /// Says that the value is wrong.
    pub fn fail(&self, msg: impl Into<String>) {
        self.errors.push(FieldError::value(self.loc(), msg));
    }

    /// The path to this value.
    #[must_use]
    pub fn loc(&self) -> Vec<Loc> {
        self.parent.iter().cloned().chain([self.name.clone()]).collect()
    }

    fn typed<T>(&self, read: impl Fn(&'a Value) -> Option<T>, msg: &str, kind: &'static str) -> Option<T> {
        let value = self.value()?;
        let read = read(value);
        if read.is_none() {
            self.wrong(msg, kind);
        }
        read
    }

    fn wrong(&self, msg: &str, kind: &'static str) {
        self.errors.push(FieldError { loc: self.loc(), msg: msg.into(), kind });
    }

    /// The last name on the path, for sentences.
    fn word(&self) -> &str {
        let names = [&self.name].into_iter().chain(self.parent.iter().rev());
        names.filter_map(|l| if let Loc::Field(name) = l { Some(&**name) } else { None }).next().unwrap_or("value")
    }
}

/// A JSON list being read.
pub struct List<'a> {
    items: &'a [Value],
    loc: Vec<Loc>,
    errors: &'a Errors,
}

impl<'a> List<'a> {
    /// Its items, each required.
    pub fn items(&self) -> impl Iterator<Item = Field<'a, '_>> {
        self.items.iter().enumerate().map(|(i, value)| {
            Field { value: Some(value), parent: &self.loc, name: i.into(), errors: self.errors }.required()
        })
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests;
