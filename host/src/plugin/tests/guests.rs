//! Components for the tests, hostile ones among them: WebAssembly text around the contract's
//! layout in memory, made into components in the process.

use std::fmt::Write as _;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::plugin::Step;
use crate::plugin::contract;

/// Where the description and other fixed data lie; what is below is for answers.
const DATA: u32 = 4_096;

/// Data laid out as the contract's records are in memory.
pub(in crate::plugin) struct Layout {
    bytes: Vec<u8>,
}

/// A field of a description: name, kind's number and payload, required.
pub(in crate::plugin) type FieldText = (&'static str, u8, u8, bool);

pub(in crate::plugin) const BOOLEAN: u8 = 0;
pub(in crate::plugin) const INTEGER: u8 = 1;
pub(in crate::plugin) const FLOAT: u8 = 2;
pub(in crate::plugin) const DECIMAL: u8 = 3;
pub(in crate::plugin) const TEXT: u8 = 4;
pub(in crate::plugin) const BINARY: u8 = 5;
pub(in crate::plugin) const TIMESTAMP: u8 = 6;
pub(in crate::plugin) const DATE: u8 = 7;

impl Layout {
    fn put(&mut self, bytes: &[u8]) -> u32 {
        while !self.bytes.len().is_multiple_of(8) {
            self.bytes.push(0);
        }
        let at = DATA + u32::try_from(self.bytes.len()).unwrap();
        self.bytes.extend_from_slice(bytes);
        at
    }

    fn text(&mut self, text: &str) -> [u8; 8] {
        let at = self.put(text.as_bytes());
        list(at, text.len())
    }

    fn fields(&mut self, fields: &[FieldText]) -> [u8; 8] {
        let mut all = Vec::new();
        for (name, kind, payload, required) in fields {
            all.extend(self.text(name));
            all.extend([*kind, *payload, u8::from(*required), 0]);
        }
        list(self.put(&all), fields.len())
    }

    fn rules(&mut self, rules: &[&str]) -> [u8; 8] {
        let mut all = Vec::new();
        for name in rules {
            all.extend(self.text(name));
            all.extend(self.text("a rule"));
            all.extend([2, 0, 0, 0]);
        }
        list(self.put(&all), rules.len())
    }
}

fn list(at: u32, len: usize) -> [u8; 8] {
    let mut pair = [0; 8];
    pair[..4].copy_from_slice(&at.to_le_bytes());
    pair[4..].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
    pair
}

/// A component under construction. Bodies are WebAssembly text; each leaves the address of the
/// function's result on the stack. `$rows $columns $count` are the batch's parameters.
pub(in crate::plugin) struct Guest {
    pub step: Step,
    pub reads: Vec<FieldText>,
    pub writes: Vec<FieldText>,
    pub rules: Vec<&'static str>,
    pub keys: Vec<&'static str>,
    pub state: Vec<FieldText>,
    /// `cleanse`, `validate`, `enrich` or `fold`.
    pub body: String,
    pub merge: String,
    pub configure: String,
    /// Pages of memory at the start.
    pub pages: u32,
    /// What stands beside the functions.
    pub top: &'static str,
}

impl Guest {
    pub(in crate::plugin) fn new(step: Step, body: &str) -> Self {
        Self {
            step,
            reads: vec![("quantity", INTEGER, 0, true)],
            writes: Vec::new(),
            rules: vec!["negative"],
            keys: vec!["quantity"],
            state: vec![("sum", INTEGER, 0, true)],
            body: body.to_owned(),
            merge: "unreachable".to_owned(),
            configure: "i32.const 16".to_owned(),
            pages: 2,
            top: "",
        }
    }

    /// The bytes of the component.
    pub(in crate::plugin) fn build(&self) -> Vec<u8> {
        component(self.core(&contract::VERSION.to_string()), self.step.world())
    }

    /// The same, as it was built against a contract of this version, whose text is in a folder.
    pub(in crate::plugin) fn build_against(&self, version: &str, contract: &Path) -> Vec<u8> {
        component_of(self.core(version), self.step.world(), contract)
    }

    fn core(&self, version: &str) -> Vec<u8> {
        let mut layout = Layout { bytes: Vec::new() };
        let mut said = Vec::new();
        said.extend(layout.fields(&self.reads));
        if self.step == Step::Aggregate {
            let names: Vec<u8> = self.keys.iter().flat_map(|key| layout.text(key)).collect();
            said.extend(list(layout.put(&names), self.keys.len()));
            said.extend(layout.fields(&self.state));
            said.extend(layout.fields(&self.state));
        } else {
            said.extend(list(DATA, 0));
            said.extend(layout.fields(&self.writes));
            said.extend(layout.rules(&self.rules));
        }
        let said = layout.put(&said);
        let text = self.text(&layout.bytes, said);
        let ours = format!("@{}", contract::VERSION);
        wat::parse_str(text.replace(&ours, &format!("@{version}"))).unwrap()
    }

    fn text(&self, data: &[u8], said: u32) -> String {
        let interface = contract::interface(self.step.interface());
        let host = contract::interface("host");
        let hex = data.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "\\{byte:02x}").unwrap();
            hex
        });
        let batch = "(param $rows i32) (param $columns i32) (param $count i32)";
        let locals =
            "(result i32) (local $i i32) (local $at i32) (local $value i64) (local $n i32)";
        let calls = if self.step == Step::Aggregate {
            format!(
                r#"(func (export "{interface}#fold") {batch} (param $group i32) (param $len i32) (param $groups i32) {locals} {body})
                   (func (export "{interface}#merge") {batch} (param $rows2 i32) (param $columns2 i32) (param $count2 i32) {locals} {merge})
                   (func (export "{interface}#finish") {batch} {locals} {echo})"#,
                body = self.body,
                merge = self.merge,
                echo = ECHO_BATCH,
            )
        } else {
            let name = self.step.as_str();
            format!(
                r#"(func (export "{interface}#{name}") {batch} {locals} {})"#,
                self.body
            )
        };
        let free = DATA + u32::try_from(data.len()).unwrap();
        let top = self.top;
        let text = "(param $at i32) (param $len i32)";
        format!(
            r#"(module
              (import "{host}" "log" (func $log (param i32 i32 i32)))
              (memory (export "memory") {pages})
              (global $free (mut i32) (i32.const {free}))
              {top}
              (data (i32.const {DATA}) "{hex}")
              (data (i32.const 1024) "it hurts")
              {ALLOC}
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (call $alloc (local.get 3)))
              (func (export "{interface}#configure") {text} (result i32) {configure})
              (func (export "{interface}#describe") (result i32) i32.const {said})
              {calls})"#,
            pages = self.pages,
            configure = self.configure,
        )
    }
}

/// Turns a core module of one of our worlds into a component.
pub(in crate::plugin) fn component(core: Vec<u8>, world: &str) -> Vec<u8> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    component_of(core, world, &wit)
}

fn component_of(mut core: Vec<u8>, world: &str, contract: &Path) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(contract).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .unwrap()
        .encode()
        .unwrap()
}

/// Hands out memory and never takes any back; grows it as it must.
const ALLOC: &str = r"
    (func $alloc (param $size i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get $size)))
      (block $enough
        (loop $more
          (br_if $enough (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
          (br_if $enough (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
          (br $more)))
      (local.get $at))
    (func $deep (param $by i32) (result i32)
      (i32.add (call $deep (i32.add (local.get $by) (i32.const 1))) (local.get $by)))";

/// Answers with the columns that it was given, and no verdicts: as `result<judged, string>`.
pub(in crate::plugin) const ECHO: &str = r"
    (i32.store8 (i32.const 64) (i32.const 0))
    (i32.store (i32.const 68) (local.get $columns))
    (i32.store (i32.const 72) (local.get $count))
    (i32.store (i32.const 76) (i32.const 0))
    (i32.store (i32.const 80) (i32.const 0))
    (i32.const 64)";

/// Answers with the batch that it was given: as `result<batch, string>`.
pub(in crate::plugin) const ECHO_BATCH: &str = r"
    (i32.store8 (i32.const 64) (i32.const 0))
    (i32.store (i32.const 68) (local.get $rows))
    (i32.store (i32.const 72) (local.get $columns))
    (i32.store (i32.const 76) (local.get $count))
    (i32.const 64)";

/// Answers with the text of `text_len` bytes at 1024 as an error.
pub(in crate::plugin) const REFUSE: &str = r"
    (i32.store8 (i32.const 64) (i32.const 1))
    (i32.store (i32.const 68) (i32.const 1024))
    (i32.store (i32.const 72) (i32.const 8))
    (i32.const 64)";

/// Goes through the integers of the first column. `each` is WebAssembly text that meets `$value`
/// at row `$i`; then come no columns and the `$n` verdicts that were put at 131072 and beyond.
pub(in crate::plugin) fn each_row(each: &str) -> String {
    format!(
        r"(local.set $at (i32.load (i32.add (local.get $columns) (i32.const 4))))
          (block $done
            (loop $next
              (br_if $done (i32.ge_u (local.get $i) (local.get $rows)))
              (local.set $value (i64.load (i32.add (local.get $at) (i32.shl (local.get $i) (i32.const 3)))))
              {each}
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (br $next)))
          (i32.store8 (i32.const 64) (i32.const 0))
          (i32.store (i32.const 68) (i32.const 2048))
          (i32.store (i32.const 72) (local.get $n))
          (i32.const 64)"
    )
}

/// Within `each_row`: what is done where the value is `value`.
pub(in crate::plugin) fn at_value(value: i64, then: &str) -> String {
    format!("(if (i64.eq (local.get $value) (i64.const {value})) (then {then}))")
}

/// Within `each_row`: a verdict about a row, given as text for its number; at most 100 of them.
pub(in crate::plugin) fn verdict(row: &str, rule: u32) -> String {
    let at = "(i32.add (i32.const 2048) (i32.shl (local.get $n) (i32.const 4)))";
    format!(
        r"(i32.store {at} {row})
          (i32.store16 offset=4 {at} (i32.const {rule}))
          (i32.store offset=8 {at} (i32.const 1024))
          (i32.store offset=12 {at} (i32.const 8))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))"
    )
}
