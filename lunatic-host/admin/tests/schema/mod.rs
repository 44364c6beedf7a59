//! The part of JSON Schema that the description of the door uses: checks values, and makes up some.

use serde_json::{Map, Value, json};

/// A description in the format OpenAPI 3.1.
pub(crate) struct Description(pub(crate) Value);

/// All words of JSON Schema that are understood here. A schema with another word would not be checked as it says.
const WORDS: [&str; 12] = [
    "$ref",
    "additionalProperties",
    "anyOf",
    "default",
    "description",
    "enum",
    "items",
    "minimum",
    "properties",
    "required",
    "summary",
    "type",
];

impl Description {
    /// The schema of a component.
    pub(crate) fn component(&self, name: &str) -> &Value {
        let schema = &self.0["components"]["schemas"][name];
        assert!(schema.is_object(), "there is no schema {name}");
        schema
    }

    /// The schema or answer that a reference stands for.
    pub(crate) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(to) => {
                let found = self.0.pointer(to.trim_start_matches('#'));
                found.unwrap_or_else(|| panic!("{to} does not exist"))
            }
            None => schema,
        }
    }

    /// Panics if a value is not as the schema says. `at` says which value it is.
    pub(crate) fn check(&self, at: &str, schema: &Value, value: &Value) {
        let words = schema.as_object().unwrap_or_else(|| panic!("{at} has no schema"));
        for word in words.keys() {
            assert!(WORDS.contains(&word.as_str()), "{at}: the word {word} is not checked");
        }
        if schema["$ref"].is_string() {
            return self.check(at, self.resolve(schema), value);
        }
        if let Some(any) = schema["anyOf"].as_array() {
            let fits = |schema: &&Value| self.fits_type(self.resolve(schema), value);
            let schema = any.iter().find(fits);
            return self.check(
                at,
                schema.unwrap_or_else(|| panic!("{at}: {value} is none of these")),
                value,
            );
        }
        assert!(self.fits_type(schema, value), "{at}: {value} is not {}", schema["type"]);
        if let Some(allowed) = schema["enum"].as_array() {
            assert!(allowed.contains(value), "{at}: {value} is none of {allowed:?}");
        }
        for (place, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check(&format!("{at}[{place}]"), &schema["items"], item);
        }
        if let Some(fields) = value.as_object() {
            self.check_fields(at, schema, fields);
        }
    }

    fn check_fields(&self, at: &str, schema: &Value, fields: &Map<String, Value>) {
        for required in schema["required"].as_array().into_iter().flatten() {
            let name = required.as_str().expect("names are texts");
            assert!(fields.contains_key(name), "{at}.{name} is missing");
        }
        for (name, value) in fields {
            let at = format!("{at}.{name}");
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Bool(false)) => panic!("{at} is not described"),
                (Value::Null, Value::Null) => {}
                (Value::Null, other) | (other, _) => self.check(&at, other, value),
            }
        }
    }

    fn fits_type(&self, schema: &Value, value: &Value) -> bool {
        let is = |name: &Value| match name.as_str() {
            Some("null") => value.is_null(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.is_u64() || value.is_i64(),
            Some("number") => value.is_number(),
            Some("string") => value.is_string(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            other => panic!("{other:?} is no type"),
        };
        match &schema["type"] {
            Value::Array(names) => names.iter().any(is),
            name => is(name),
        }
    }

    /// A value with all fields of a schema, none of them null.
    pub(crate) fn example(&self, schema: &Value) -> Value {
        let schema = self.resolve(schema);
        if let Some(any) = schema["anyOf"].as_array() {
            return self.example(&any[0]);
        }
        let kind = match &schema["type"] {
            Value::Array(names) => &names[0],
            name => name,
        };
        match kind.as_str() {
            Some("boolean") => json!(true),
            Some("integer") => json!(7),
            Some("number") => json!(1.5),
            Some("string") => json!("text"),
            Some("array") => json!([self.example(&schema["items"])]),
            Some("object") => match schema["properties"].as_object() {
                Some(fields) => fields
                    .iter()
                    .map(|(name, of)| (name.clone(), self.example(of)))
                    .collect(),
                None => json!({ "one": self.example(&schema["additionalProperties"]) }),
            },
            other => panic!("{other:?} is no type of an example"),
        }
    }
}
