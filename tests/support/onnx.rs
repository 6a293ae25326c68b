//! Networks in ONNX, written by hand: `sigmoid(row · weights + bias)`, and what can be wrong with one.
#![allow(dead_code, reason = "each test binary uses a part")]

/// A field with a number.
fn number(field: u64, value: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(value, out);
}

/// A field with bytes: a text, a message, numbers packed.
fn bytes(field: u64, value: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

fn message(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut out);
    out
}

/// `TensorProto` of floats.
fn tensor(name: &str, dims: &[u64], floats: &[f32]) -> Vec<u8> {
    message(|out| {
        dims.iter().for_each(|dim| number(1, *dim, out));
        number(2, 1, out);
        bytes(8, name.as_bytes(), out);
        bytes(9, &floats.iter().flat_map(|float| float.to_le_bytes()).collect::<Vec<u8>>(), out);
    })
}

/// `ValueInfoProto` of floats: any number of rows of so many.
fn value(name: &str, width: u64) -> Vec<u8> {
    let rows = message(|out| bytes(2, b"N", out));
    let columns = message(|out| number(1, width, out));
    let shape = message(|out| [rows, columns].iter().for_each(|dim| bytes(1, dim, out)));
    let tensor = message(|out| {
        number(1, 1, out);
        bytes(2, &shape, out);
    });
    let kind = message(|out| bytes(1, &tensor, out));
    message(|out| {
        bytes(1, name.as_bytes(), out);
        bytes(2, &kind, out);
    })
}

/// `NodeProto`.
fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    message(|out| {
        inputs.iter().for_each(|input| bytes(1, input.as_bytes(), out));
        bytes(2, output.as_bytes(), out);
        bytes(4, operator.as_bytes(), out);
    })
}

/// `ModelProto` of a graph that makes `probability` of `row` by these nodes.
fn model(nodes: &[Vec<u8>], weights: &[f32], bias: f32) -> Vec<u8> {
    let width = weights.len() as u64;
    let graph = message(|out| {
        nodes.iter().for_each(|node| bytes(1, node, out));
        bytes(2, b"clicks", out);
        bytes(5, &tensor("weights", &[width, 1], weights), out);
        bytes(5, &tensor("bias", &[1], &[bias]), out);
        bytes(11, &value("row", width), out);
        bytes(12, &value("probability", 1), out);
    });
    let operators = message(|out| {
        bytes(1, b"", out);
        number(2, 13, out);
    });
    message(|out| {
        number(1, 8, out);
        bytes(7, &graph, out);
        bytes(8, &operators, out);
    })
}

/// `sigmoid(row · weights + bias)`.
pub fn logistic(weights: &[f32], bias: f32) -> Vec<u8> {
    let nodes = [
        node("MatMul", &["row", "weights"], "products"),
        node("Add", &["products", "bias"], "odds"),
        node("Sigmoid", &["odds"], "probability"),
    ];
    model(&nodes, weights, bias)
}

/// `row · weights + bias`.
pub fn linear(weights: &[f32], bias: f32) -> Vec<u8> {
    let nodes =
        [node("MatMul", &["row", "weights"], "products"), node("Add", &["products", "bias"], "probability")];
    model(&nodes, weights, bias)
}

/// `sigmoid((row - mean of all rows) · weights + bias)`.
pub fn beside_others(weights: &[f32], bias: f32) -> Vec<u8> {
    let nodes = [
        node("MatMul", &["row", "weights"], "products"),
        // Of all, since no axis is named.
        node("ReduceMean", &["products"], "mean"),
        node("Sub", &["products", "mean"], "apart"),
        node("Add", &["apart", "bias"], "odds"),
        node("Sigmoid", &["odds"], "probability"),
    ];
    model(&nodes, weights, bias)
}

/// One with an operator that nobody knows.
pub fn unknown(weights: &[f32]) -> Vec<u8> {
    model(&[node("Divine", &["row", "weights"], "probability")], weights, 0.0)
}
