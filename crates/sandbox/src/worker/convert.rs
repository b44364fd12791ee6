//! Values between JSON and Python. What JSON does not have becomes what is nearest to it: tuples and sets are lists, numbers
//! beyond 64 bits, dates and all else the text that Python shows of them.

use monty_types::{DictPairs, MontyObject};
use serde_json::{Number, Value};

/// How deep an output may be nested; readers of JSON stop at 128.
const DEPTH_MAX: usize = 100;

/// As Python sees it.
pub fn from_json(value: &Value) -> MontyObject {
    match value {
        Value::Null => MontyObject::None,
        Value::Bool(yes) => MontyObject::Bool(*yes),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => MontyObject::Int(whole),
            None => MontyObject::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => MontyObject::String(text.clone()),
        Value::Array(items) => MontyObject::List(items.iter().map(from_json).collect()),
        Value::Object(fields) => {
            let pairs: Vec<_> =
                fields.iter().map(|(key, value)| (MontyObject::String(key.clone()), from_json(value))).collect();
            MontyObject::dict(pairs)
        }
    }
}

/// As JSON has it.
///
/// # Errors
/// In words: what has no such form.
pub fn to_json(value: MontyObject) -> Result<Value, String> {
    nested(value, 0)
}

fn nested(value: MontyObject, depth: usize) -> Result<Value, String> {
    if depth > DEPTH_MAX {
        return Err(format!("it is nested more than {DEPTH_MAX} deep"));
    }
    let list = |items: Vec<MontyObject>| -> Result<Value, String> {
        items.into_iter().map(|item| nested(item, depth + 1)).collect()
    };
    let object = |pairs: DictPairs| -> Result<Value, String> {
        let fields = pairs.into_iter().map(|(key, value)| Ok((key.to_string(), nested(value, depth + 1)?)));
        fields.collect::<Result<_, String>>().map(Value::Object)
    };
    match value {
        MontyObject::None => Ok(Value::Null),
        MontyObject::Bool(yes) => Ok(yes.into()),
        MontyObject::Int(whole) => Ok(whole.into()),
        MontyObject::Float(number) => Ok(match Number::from_f64(number) {
            Some(number) => Value::Number(number),
            None => MontyObject::Float(number).py_repr().into(),
        }),
        MontyObject::String(text) | MontyObject::Path(text) | MontyObject::Repr(text) => Ok(text.into()),
        MontyObject::List(items)
        | MontyObject::Tuple(items)
        | MontyObject::Set(items)
        | MontyObject::FrozenSet(items) => list(items),
        MontyObject::NamedTuple { field_names, values, .. } => {
            let fields = field_names.into_iter().zip(values);
            fields
                .map(|(name, value)| Ok((name, nested(value, depth + 1)?)))
                .collect::<Result<_, String>>()
                .map(Value::Object)
        }
        MontyObject::Dict(pairs) => object(pairs),
        MontyObject::ClassInstance(instance) => object(instance.attrs),
        MontyObject::Cycle(..) => Err("it contains itself".into()),
        other => Ok(other.py_repr().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_comes_back_as_it_went() {
        let all = json!({"a": [null, true, -7, 1.5, "é\n"], "b": {"": {}}, "big": i64::MAX});
        assert_eq!(to_json(from_json(&all)).unwrap(), all);
        assert_eq!(to_json(from_json(&json!(u64::MAX))).unwrap(), json!(1.844_674_407_370_955_2e19));
    }

    #[test]
    fn what_json_does_not_have_becomes_what_is_nearest() {
        assert_eq!(to_json(MontyObject::Float(f64::NAN)).unwrap(), json!("nan"));
        assert_eq!(to_json(MontyObject::Tuple(vec![MontyObject::Int(1)])).unwrap(), json!([1]));
        assert_eq!(to_json(MontyObject::Bytes(b"x".to_vec())).unwrap(), json!("b'x'"));
        let pairs = vec![(MontyObject::Int(1), MontyObject::None), (MontyObject::Bool(true), MontyObject::Int(2))];
        assert_eq!(to_json(MontyObject::dict(pairs)).unwrap(), json!({"1": null, "True": 2}));
        let deep = (0..=DEPTH_MAX).fold(MontyObject::None, |inner, _| MontyObject::List(vec![inner]));
        assert!(to_json(deep).unwrap_err().contains("deep"));
        assert!(to_json(MontyObject::Cycle(0, "[...]".into())).unwrap_err().contains("itself"));
    }
}
