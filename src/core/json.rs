//! Writing JSON (RFC 8259): objects made key by key.

/// One JSON object in the making.
#[derive(Clone, Debug)]
pub struct Object {
    made: String,
}

impl Default for Object {
    fn default() -> Object {
        Object { made: String::from("{") }
    }
}

impl Object {
    fn key(&mut self, key: &str) {
        if self.made.len() > 1 {
            self.made.push(',');
        }
        quote(&mut self.made, key);
        self.made.push(':');
    }

    pub fn text(mut self, key: &str, value: &str) -> Object {
        self.key(key);
        quote(&mut self.made, value);
        self
    }

    /// A value that is JSON already.
    pub fn raw(mut self, key: &str, value: &str) -> Object {
        self.key(key);
        self.made.push_str(value);
        self
    }

    pub fn number(self, key: &str, value: u64) -> Object {
        self.raw(key, &value.to_string())
    }

    pub fn numbers(self, pairs: &[(&str, u64)]) -> Object {
        pairs.iter().fold(self, |object, (key, value)| object.number(key, *value))
    }

    /// A list of values that are JSON already.
    pub fn list(mut self, key: &str, values: &[String]) -> Object {
        self.key(key);
        self.made.push('[');
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.made.push(',');
            }
            self.made.push_str(value);
        }
        self.made.push(']');
        self
    }

    pub fn end(mut self) -> String {
        self.made.push('}');
        self.made
    }
}

/// A JSON string (RFC 8259, section 7).
fn quote(made: &mut String, text: &str) {
    made.push('"');
    for c in text.chars() {
        match c {
            '"' => made.push_str("\\\""),
            '\\' => made.push_str("\\\\"),
            '\n' => made.push_str("\\n"),
            '\r' => made.push_str("\\r"),
            '\t' => made.push_str("\\t"),
            c if c < ' ' => made.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => made.push(c),
        }
    }
    made.push('"');
}
