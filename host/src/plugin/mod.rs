//! The sandbox: components and what may come back from them. The only place that names wasmtime.
