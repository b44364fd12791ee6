//! `calculate`: arithmetic, so that models need not do it in their heads.

use super::Tool;
use serde_json::{Value, json};
use tutti_engine::activity::Effect;

pub(super) const TOOL: Tool = Tool {
    name: "calculate",
    description: "Computes an arithmetic expression: + - * / % ^, parentheses, decimals, and abs, ceil, floor, max, min, round, sqrt.",
    parameters: || {
        json!({"type": "object", "required": ["expression"], "additionalProperties": false,
            "properties": {"expression": {"type": "string", "minLength": 1, "maxLength": 1000,
                "description": "For example (3 + 4) * 12.5 or round(10 / 3)."}}})
    },
    effect: Effect::Pure,
    run,
};

/// Parentheses, signs and powers within each other, at most.
const DEPTH_MAX: u32 = 64;

fn run(arguments: &Value) -> Result<Value, String> {
    let text = arguments["expression"].as_str().unwrap_or_default();
    let mut parser = Parser { rest: text.trim(), depth: 0 };
    let value = parser.sum()?;
    if !parser.rest.is_empty() {
        return Err(format!("the expression cannot be read from {:?} on", shown(parser.rest)));
    }
    if !value.is_finite() {
        return Err("the result is not a finite number".into());
    }
    Ok(json!({ "result": tidy(value) }))
}

/// Without the last digits of binary fractions: 0.1 + 0.2 is 0.3. Whole numbers have no point.
fn tidy(value: f64) -> Value {
    let is_whole = |value: f64| value.fract() == 0.0 && value.abs() < 9e15;
    // Rounding would take digits away from a large whole number.
    let rounded: f64 = if is_whole(value) { value } else { format!("{value:.12e}").parse().unwrap_or(value) };
    if is_whole(rounded) {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return json!(rounded as i64);
    }
    json!(rounded)
}

fn shown(text: &str) -> String {
    text.chars().take(20).collect()
}

struct Parser<'t> {
    rest: &'t str,
    depth: u32,
}

impl Parser<'_> {
    fn take(&mut self, signs: &[char]) -> Option<char> {
        self.rest = self.rest.trim_start();
        let sign = self.rest.chars().next().filter(|c| signs.contains(c))?;
        self.rest = &self.rest[sign.len_utf8()..];
        Some(sign)
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("the expression is nested more than {DEPTH_MAX} deep"));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn sum(&mut self) -> Result<f64, String> {
        let mut value = self.product()?;
        while let Some(sign) = self.take(&['+', '-']) {
            let next = self.product()?;
            value = if sign == '+' { value + next } else { value - next };
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<f64, String> {
        let mut value = self.signed()?;
        while let Some(sign) = self.take(&['*', '/', '%', '×', '÷']) {
            let next = self.signed()?;
            if next == 0.0 && !matches!(sign, '*' | '×') {
                return Err("division by zero".into());
            }
            value = match sign {
                '*' | '×' => value * next,
                '%' => value % next,
                _ => value / next,
            };
        }
        Ok(value)
    }

    fn signed(&mut self) -> Result<f64, String> {
        match self.take(&['-', '+']) {
            Some('-') => Ok(-self.deeper(Self::signed)?),
            Some(_) => self.deeper(Self::signed),
            None => self.power(),
        }
    }

    fn power(&mut self) -> Result<f64, String> {
        let base = self.atom()?;
        match self.take(&['^']) {
            Some(_) => Ok(base.powf(self.deeper(Self::signed)?)),
            None => Ok(base),
        }
    }

    fn atom(&mut self) -> Result<f64, String> {
        if self.take(&['(']).is_some() {
            let value = self.deeper(Self::sum)?;
            return self.take(&[')']).map(|_| value).ok_or_else(|| "a parenthesis is not closed".into());
        }
        let word = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        if word > 0 {
            let name = &self.rest[..word];
            self.rest = &self.rest[word..];
            return self.call(name);
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(self.rest.len());
        let digits = self.rest[..end].replace('_', "");
        let value = digits.parse().map_err(|_| match self.rest.is_empty() {
            true => "the expression ends too early".to_owned(),
            false => format!("a number is expected at {:?}", shown(self.rest)),
        })?;
        self.rest = &self.rest[end..];
        Ok(value)
    }

    fn call(&mut self, name: &str) -> Result<f64, String> {
        if name == "pi" {
            return Ok(std::f64::consts::PI);
        }
        self.take(&['(']).ok_or_else(|| format!("there is no value named {name:?}"))?;
        let mut given = vec![self.deeper(Self::sum)?];
        while self.take(&[',']).is_some() {
            given.push(self.deeper(Self::sum)?);
        }
        self.take(&[')']).ok_or("a parenthesis is not closed")?;
        match (name, given.as_slice()) {
            ("abs", [x]) => Ok(x.abs()),
            ("ceil", [x]) => Ok(x.ceil()),
            ("floor", [x]) => Ok(x.floor()),
            ("round", [x]) => Ok(x.round()),
            ("sqrt", [x]) if *x >= 0.0 => Ok(x.sqrt()),
            ("min", all) => Ok(all.iter().copied().fold(f64::INFINITY, f64::min)),
            ("max", all) => Ok(all.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            _ => {
                Err(format!("{name} does not take these arguments; there are abs, ceil, floor, max, min, round, sqrt"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn calculate(text: &str) -> Result<Value, String> {
        run(&json!({ "expression": text })).map(|v| v["result"].clone())
    }

    #[test]
    fn arithmetic_is_done_in_the_usual_order() {
        for (text, result) in [
            ("1 + 2 * 3", json!(7)),
            ("(1 + 2) * 3", json!(9)),
            ("0.1 + 0.2", json!(0.3)),
            ("-2 ^ 2", json!(-4)),
            ("2 ^ -1", json!(0.5)),
            ("2 ^ 3 ^ 2", json!(512)),
            ("7 % 4 - 10 / 4", json!(0.5)),
            ("max(1, 2, round(2.6)) + sqrt(16)", json!(7)),
            ("1_000 × 2", json!(2000)),
            ("--3", json!(3)),
            ("1234567890123456 + 1", json!(1_234_567_890_123_457_i64)),
        ] {
            assert_eq!(calculate(text), Ok(result), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_computed_is_said_to_the_model() {
        for (text, part) in [
            ("1 +", "ends too early"),
            ("1 / 0", "division by zero"),
            ("2 $ 3", "cannot be read"),
            ("foo(1)", "does not take"),
            ("x", "no value named"),
            ("(1", "not closed"),
            ("9 ^ 9 ^ 9", "finite"),
            ("1.2.3", "a number is expected"),
        ] {
            assert!(calculate(text).unwrap_err().contains(part), "{text}: {:?}", calculate(text));
        }
        assert!(calculate(&"(".repeat(900)).unwrap_err().contains("nested"));
        assert!(calculate(&"-".repeat(900)).unwrap_err().contains("nested"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[-+*/%^().0-9a-z ,π]{0,80}") {
            let _ = calculate(&text);
        }
    }
}
