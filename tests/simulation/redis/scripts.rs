//! Scripts, in the Lua that Redis has: the product's own text runs, not a copy of what it means.

use std::cell::RefCell;
use std::collections::BTreeMap;

use mlua::{Function, Lua, MultiValue, Table, Value, Variadic};

use super::commands::{self, Moment};
use super::keyspace::Keyspace;
use super::resp::Reply;

thread_local! {
    /// One interpreter for all servers of a thread: scripts keep nothing between two calls.
    static INTERPRETER: Interpreter = Interpreter::new();
    /// What the script that runs works on.
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

struct Interpreter {
    lua: Lua,
    compiled: RefCell<BTreeMap<Vec<u8>, Function>>,
}

struct Running {
    keyspace: Keyspace,
    at: Moment,
    information: String,
}

/// Whether a script may be run although memory is full.
pub(crate) fn allows_out_of_memory(code: &[u8]) -> bool {
    let first = code.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first.windows(b"allow-oom".len()).any(|word| word == b"allow-oom")
}

/// Runs a script on the keys. `information` is what `INFO` says to it.
pub(crate) fn run(
    keyspace: &mut Keyspace,
    code: &[u8],
    keys: &[Vec<u8>],
    arguments: &[Vec<u8>],
    at: Moment,
    information: String,
) -> Reply {
    RUNNING.set(Some(Running { keyspace: std::mem::take(keyspace), at, information }));
    let outcome = INTERPRETER.with(|interpreter| interpreter.call(code, keys, arguments));
    *keyspace = RUNNING.take().expect("set above and taken by nobody else").keyspace;
    outcome.unwrap_or_else(|error| {
        // `redis.call` raises what a command answers as an error.
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        Reply::error(line.strip_prefix("runtime error: ").unwrap_or(line))
    })
}

impl Interpreter {
    fn new() -> Self {
        let lua = Lua::new();
        prepare(&lua).expect("these are plain functions and tables");
        Self { lua, compiled: RefCell::default() }
    }

    fn call(&self, code: &[u8], keys: &[Vec<u8>], arguments: &[Vec<u8>]) -> mlua::Result<Reply> {
        let compiled = self.compiled.borrow().get(code).cloned();
        let function = if let Some(function) = compiled {
            function
        } else {
            // The first line says what kind of script it is, and is no Lua.
            let body = code.iter().position(|byte| *byte == b'\n').map_or(code, |end| &code[end..]);
            let function = self.lua.load(body).into_function()?;
            self.compiled.borrow_mut().insert(code.to_vec(), function.clone());
            function
        };
        self.lua.globals().set("KEYS", self.list(keys)?)?;
        self.lua.globals().set("ARGV", self.list(arguments)?)?;
        reply(&function.call::<Value>(())?)
    }

    fn list(&self, texts: &[Vec<u8>]) -> mlua::Result<Table> {
        let texts = texts.iter().map(|text| self.lua.create_string(text)).collect::<mlua::Result<Vec<_>>>()?;
        self.lua.create_sequence_from(texts)
    }
}

/// What Redis gives to scripts beside the language.
fn prepare(lua: &Lua) -> mlua::Result<()> {
    let redis = lua.create_table()?;
    redis.set("call", lua.create_function(|lua, words: Variadic<Value>| call(lua, &words))?)?;
    redis.set(
        "error_reply",
        lua.create_function(|lua, text: mlua::LuaString| {
            let table = lua.create_table()?;
            table.set("err", text)?;
            Ok(table)
        })?,
    )?;
    lua.globals().set("redis", redis)?;
    let structs = lua.create_table()?;
    structs.set(
        "pack",
        lua.create_function(|lua, (format, high, low): (String, f64, f64)| {
            assert_eq!(format, ">I4I4", "scripts pack nothing else");
            let mut packed = word(high).to_be_bytes().to_vec();
            packed.extend(word(low).to_be_bytes());
            lua.create_string(packed)
        })?,
    )?;
    lua.globals().set("struct", structs)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as the C of Redis does")]
fn word(number: f64) -> u32 {
    number as u64 as u32
}

/// `redis.call`.
fn call(lua: &Lua, words: &[Value]) -> mlua::Result<Value> {
    let words = words.iter().map(text).collect::<mlua::Result<Vec<_>>>()?;
    let Some((name, arguments)) = words.split_first() else {
        return Err(mlua::Error::runtime("ERR Please specify at least one argument for this redis.call() call"));
    };
    let name = String::from_utf8_lossy(name).to_uppercase();
    let answer = RUNNING.with_borrow_mut(|running| {
        let Running { keyspace, at, information } = running.as_mut().expect("a script runs");
        if name == "INFO" {
            return Reply::bulk(information);
        }
        assert!(commands::is_data(&name), "a script calls {name}, which the fake server does not have");
        commands::execute(keyspace, &name, arguments, *at, true)
    });
    value(lua, answer)
}

/// What Redis makes of an argument: numbers are written with 17 digits, if they need them.
fn text(value: &Value) -> mlua::Result<Vec<u8>> {
    match value {
        Value::String(text) => Ok(text.as_bytes().to_vec()),
        Value::Integer(number) => Ok(number.to_string().into()),
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e17 => Ok(format!("{number:.0}").into()),
        _ => Err(mlua::Error::runtime("ERR Lua redis lib command arguments must be strings or integers")),
    }
}

/// What a script sees of a reply.
fn value(lua: &Lua, reply: Reply) -> mlua::Result<Value> {
    Ok(match reply {
        Reply::Status(text) => {
            let table = lua.create_table()?;
            table.set("ok", text)?;
            Value::Table(table)
        }
        Reply::Error(text) => return Err(mlua::Error::runtime(text)),
        #[expect(clippy::cast_precision_loss, reason = "numbers are doubles in this Lua")]
        Reply::Integer(number) => Value::Number(number as f64),
        Reply::Bulk(bytes) => Value::String(lua.create_string(bytes)?),
        Reply::Null | Reply::Later => Value::Boolean(false),
        Reply::Array(items) | Reply::Push(items) => {
            let items = items.into_iter().map(|item| value(lua, item)).collect::<mlua::Result<Vec<_>>>()?;
            Value::Table(lua.create_sequence_from(items)?)
        }
        Reply::Map(pairs) => {
            let items = pairs.into_iter().flat_map(|(name, it)| [name, it]).map(|item| value(lua, item));
            let items = items.collect::<mlua::Result<MultiValue>>()?;
            Value::Table(lua.create_sequence_from(items)?)
        }
    })
}

/// What is answered for what a script returned.
fn reply(value: &Value) -> mlua::Result<Reply> {
    Ok(match value {
        Value::Boolean(true) => Reply::Integer(1),
        Value::Integer(number) => Reply::Integer(*number),
        #[expect(clippy::cast_possible_truncation, reason = "Redis cuts off the fraction")]
        Value::Number(number) => Reply::Integer(*number as i64),
        Value::String(text) => Reply::Bulk(text.as_bytes().to_vec()),
        Value::Table(table) => {
            if let Some(error) = table.get::<Option<String>>("err")? {
                return Ok(Reply::Error(error));
            }
            if table.get::<Option<String>>("ok")?.is_some() {
                return Ok(Reply::OK);
            }
            let items = table.sequence_values::<Value>().map(|item| reply(&item?));
            Reply::Array(items.collect::<mlua::Result<_>>()?)
        }
        _ => Reply::Null,
    })
}
